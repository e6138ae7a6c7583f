"""What a file's name says: its split and its version."""

import re
from collections.abc import Iterable
from pathlib import Path

from reelbank.stores.importers.label_set import ReadOptions

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_VERSION = re.compile(r"(?:^|_)v(\d+(?:\.\d+)*)(?=_|$)")


def words_of(path: Path) -> set[str]:
    """Words of the file's name without its suffix, in small letters."""
    return set(re.split(r"[^a-z0-9]+", path.stem.lower()))


def split_of(path: Path, options: ReadOptions) -> str | None:
    """The split that was asked for, else the one that the file's name holds, else None."""
    if options.split is not None:
        return options.split
    found = {_SPLITS[word] for word in words_of(path) if word in _SPLITS}
    if len(found) > 1:
        raise ValueError(
            f"{path.name} names the splits {' and '.join(sorted(found))}; say which with --split"
        )
    return next(iter(found), None)


def version_of(paths: Iterable[Path], options: ReadOptions) -> str:
    """The version that was asked for, else the one that the files' names hold."""
    if options.version is not None:
        return options.version
    names = [path.name for path in paths]
    found = {match[1] for name in names if (match := _VERSION.search(Path(name).stem))}
    if len(found) != 1:
        said = f"name the versions {', '.join(sorted(found))}" if found else "name no version"
        raise ValueError(f"{', '.join(names)} {said}; give one with --version")
    return found.pop()
