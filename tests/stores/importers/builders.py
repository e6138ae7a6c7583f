"""Stores with videos of known length, and annotation files as text."""

from collections.abc import Mapping
from pathlib import Path

from reelbank.stores.store import Store, open_store
from tests.stores.builders import commit_lines, unit


def store_of(folder: Path, ends: Mapping[str, float | None]) -> Store:
    """A store that holds these videos, each with its end in seconds."""
    store = open_store(folder / "store", create=True)
    lines = [
        {"video_id": video, "source": video, "digest": "d0", "status": "ok", "end_seconds": end}
        for video, end in ends.items()
    ]
    commit_lines(store, "video", [unit(video, "video") for video in ends], {"videos": lines})
    return store


def written(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """The files on disk, in the order given."""
    paths = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        paths.append(path)
    return paths
