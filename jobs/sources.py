"""Which files an INPUT names, and what each video is called in the store."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    ".264 .265 .3g2 .3gp .asf .avi .divx .dv .f4v .flv .h264 .h265 .hevc .ivf .m1v .m2ts .m2v .m4v "
    ".mjpeg .mjpg .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .obu .ogm .ogv .rm .rmvb .ts .vob .webm "
    ".wmv .y4m".split()
)
"""What a folder is searched for; a file that is named itself may have any suffix."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file that is to be extracted."""

    video_id: str
    """Path below the INPUT folder with '/' and suffix; a lone file: its name."""
    path: str
    """Absolute path."""


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """Videos that `inputs` (files, folders, text files of paths) name, sorted by id.

    Raises ValueError for a missing path, an input without any video, or a name that is not text.
    """
    found: dict[tuple[str, str], Source] = {}
    for text in inputs:
        sources = list(_of_input(Path(text)))
        if not sources:
            raise ValueError(
                f"{text}: no video found; expected a file ending in one of "
                f"{', '.join(sorted(VIDEO_SUFFIXES))} (a file named itself may end in anything)"
            )
        for source in sources:
            found[source.video_id, source.path] = source
    return sorted(found.values(), key=lambda source: (source.video_id, source.path))


def _of_input(path: Path) -> Iterator[Source]:
    if path.is_dir():
        yield from (_source(name.relative_to(path), name) for name in _walk(path))
    elif not path.exists():
        raise ValueError(f"{path}: no such file or folder; check the INPUT path")
    elif path.suffix.lower() in (".txt", ".lst"):
        yield from _listed(path)
    else:
        yield _source(Path(path.name), path)


def _listed(path: Path) -> Iterator[Source]:
    """Paths of a text file, one a line, relative to its folder; '#' starts a comment line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a list of paths must be UTF-8 text ({error.reason})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name = path.parent / line.strip()
        if not name.is_file():
            raise ValueError(
                f"{path}, line {number}: no such file: {line.strip()!r}; correct or drop the line"
            )
        inside = name.resolve().is_relative_to(path.parent.resolve())
        relative = name.resolve().relative_to(path.parent.resolve()) if inside else Path(name.name)
        yield _source(relative, name)


def _source(relative: Path, path: Path) -> Source:
    video_id = relative.as_posix()
    try:
        video_id.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{video_id!r}: the name is not valid Unicode; rename the file") from error
    return Source(video_id, os.path.abspath(path))


def _walk(folder: Path) -> Iterator[Path]:
    """Files with a video's suffix; links are followed, a folder that was seen before is not."""
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from _videos(Path(root), sorted(names))


def _refuse(error: OSError) -> None:
    """A folder that cannot be searched must not pass for an empty one."""
    raise error


def _videos(root: Path, names: Iterable[str]) -> Iterator[Path]:
    return (root / name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES)
