"""Where an export goes: a new file or folder that appears whole, at the end, or not at all."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reelbank.stores.store import Store


@contextmanager
def new_output(output: Path, store: Store, *, is_folder: bool) -> Iterator[Path]:
    """A temporary, empty file or folder beside `output`; takes its name when all is done.

    Raises ValueError where there is something already, and where it would lie inside the store.
    What an error leaves half-made is removed.
    """
    _check_place(output, store)
    check_free(output, is_folder=is_folder)
    temporary = output.parent / f".{output.name[:100]}.writing-{secrets.token_hex(6)}"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir() if is_folder else temporary.touch()
    except OSError as error:
        raise ValueError(f"--output {output} cannot be written: {error.strerror}") from error
    try:
        yield temporary
        _sync(temporary)
        # Again: it took a while. A rename fails where a folder is filled even after this.
        check_free(output, is_folder=is_folder)
        os.replace(temporary, output)
        _sync_one(output.parent)
    finally:
        _remove(temporary)


def check_free(output: Path, *, is_folder: bool) -> None:
    """ValueError, with the remedy, where the output would take the place of something."""
    if not os.path.lexists(output):
        return
    if output.is_symlink() or os.path.ismount(output):
        raise ValueError(f"--output {output} is a link or a mount; name a new place, say inside it")
    if output.is_dir() != is_folder:
        found, wanted = ("folder", "file") if output.is_dir() else ("file", "folder")
        raise ValueError(f"--output {output} is a {found}; this format writes a {wanted}")
    if is_folder:
        if any(output.iterdir()):
            raise ValueError(f"--output {output} is not empty; name another folder, or empty it")
    elif output.stat().st_size:
        raise ValueError(f"--output {output} is there already; name another file, or remove it")


def _check_place(output: Path, store: Store) -> None:
    # A path keeps one slash of two; a single letter is a drive.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(output)):
        raise ValueError(
            f"--output {output}: an export is written to a local path; copy it from there"
        )
    if not output.name:
        raise ValueError(f"--output {output} names no file or folder; give it a name")
    if not store.files.is_local:
        return
    root, place = Path(store.files.root).resolve(), output.resolve()
    if place.is_relative_to(root):
        raise ValueError(f"--output {output} lies inside the store {root}; name a place outside")


def _sync(path: Path) -> None:
    """What the name promises lies on the disk before the name does."""
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_one(Path(folder, name))
        _sync_one(Path(folder))
    if path.is_file():
        _sync_one(path)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
