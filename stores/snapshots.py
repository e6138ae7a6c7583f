"""Snapshots: all commits up to a moment in one file, and beside them the names of those since.

Whoever opens a store lists this one folder, and reads the newest snapshot and the commits that are
announced beside it, however many commits there are. That is all there is, because:

- A commit is announced, by an empty file with its name, before it is created.
- Snapshots are numbered. Number n + 1 is created by one writer alone, which knows all that number
  n tells of; only then the announcements go of what number n tells of. So whoever knows a snapshot,
  and listed the folder before the next but one was there, has seen or knows every commit.
- A collection raises the epoch before it deletes the first commit, and ends with a snapshot of a
  new epoch. A snapshot from before the epoch says nothing about what is there.

Derived from the commits and never needed: where no snapshot can be trusted, all commits are listed.
"""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.columns import CommitColumns
from reelbank.stores.files import Files

COMMITS_PER_SNAPSHOT = 64
_EPOCH = b"epoch"


@dataclass(frozen=True, slots=True)
class News:
    """What one listing of the folder tells."""

    announced: Mapping[str, Sequence[str]]
    """File names of commits that came or may come -> paths of what announces them."""
    serials: tuple[int, ...]
    """Numbers of the snapshots, falling."""
    old: tuple[str, ...]
    """Paths of snapshots without a number, newest first."""
    epochs: tuple[int, ...]
    """Numbers of the collections, falling."""

    @property
    def newest(self) -> int:
        """Number of the newest snapshot; 0 where there is none."""
        return self.serials[0] if self.serials else 0

    @property
    def epoch(self) -> int:
        """Number of the last collection; 0 where there was none."""
        return self.epochs[0] if self.epochs else 0

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all snapshots, newest first."""
        return (*map(layout.snapshot_path, self.serials), *self.old)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One snapshot that could be read."""

    path: str
    serial: int
    """Its number; 0: it has none, and says nothing about what else there is."""
    epoch: int
    """The last collection that its writer knew to be over, or whose end it is."""
    columns: CommitColumns


def read_news(files: Files) -> News:
    """List the folder."""
    announced: dict[str, list[str]] = defaultdict(list)
    serials, old, epochs = [], [], []
    for name in files.list_names(layout.SNAPSHOTS):
        path = f"{layout.SNAPSHOTS}/{name}"
        if (commit := layout.parse_announcement_name(name)) is not None:
            announced[commit].append(path)
        elif (serial := layout.parse_snapshot_name(name)) is not None:
            serials.append(serial)
        elif (epoch := layout.parse_epoch_name(name)) is not None:
            epochs.append(epoch)
        elif (size := layout.parse_old_snapshot_name(name)) is not None:
            old.append((size, path))
    return News(
        dict(announced),
        tuple(sorted(serials, reverse=True)),
        tuple(path for _, path in sorted(old, reverse=True)),
        tuple(sorted(epochs, reverse=True)),
    )


def newest_snapshot(files: Files, news: News) -> Snapshot | None:
    """The newest that can be read; None where none can."""
    found = (read_snapshot(files, path) for path in news.paths)
    return next((one for one in found if one is not None), None)


def read_snapshot(files: Files, path: str) -> Snapshot | None:
    """One snapshot; None where it is gone or damaged."""
    try:
        data = files.read(path)
        table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
        columns = CommitColumns(table)
        epoch = int((table.schema.metadata or {}).get(_EPOCH, 0))
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None
    serial = layout.parse_snapshot_name(path.rpartition("/")[2])
    return Snapshot(path, serial or 0, epoch, columns)


def names_in(files: Files, path: str) -> set[str] | None:
    """File names of the commits of a snapshot; None where it cannot be read."""
    try:
        data = io.BytesIO(files.read(path))
        return set(pq.read_table(data, columns=["name"])["name"].to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None


def write_snapshot(files: Files, serial: int, columns: pa.Table, *, epoch: int) -> bool:
    """Write what is known; quietly False where another writer was first or the disk is full."""
    buffer = io.BytesIO()
    table = columns.replace_schema_metadata({_EPOCH: str(epoch)})
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    try:
        return files.create(layout.snapshot_path(serial), buffer.getvalue())
    except OSError:
        return False


def drop_old(files: Files, news: News, serial: int) -> None:
    """With snapshot `serial` there, take away what it and the one before it make superfluous."""
    paths = [layout.snapshot_path(one) for one in news.serials if one < serial - 1]
    before = names_in(files, layout.snapshot_path(serial - 1)) if news.newest else None
    for name in before or ():
        paths += news.announced.get(name, ())
    try:
        files.remove_many([*paths, *news.old])
    except OSError:
        return
