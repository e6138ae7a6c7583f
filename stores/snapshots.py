"""Snapshots: all commits up to a moment in one file, so that opening reads one file and the rest.

Derived from the commits and never needed: where one is missing or damaged the commits are read.
"""

import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files

COMMITS_PER_SNAPSHOT = 64
_KEPT = 2
_SCHEMA = pa.schema([pa.field("name", pa.string()), pa.field("commit", pa.string())])


def write_snapshot(files: Files, commits: Iterable[Commit]) -> None:
    """Write what is known; quietly nothing where another writer did or the disk is full."""
    ordered = sorted(commits, key=lambda commit: commit.order)
    table = pa.table(
        {
            "name": [commit.name for commit in ordered],
            "commit": [commit.to_json().decode() for commit in ordered],
        },
        schema=_SCHEMA,
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    try:
        files.create(layout.snapshot_path(len(ordered)), buffer.getvalue())
        for size in snapshot_sizes(files)[_KEPT:]:
            files.remove(layout.snapshot_path(size))
    except OSError:
        return


def snapshot_sizes(files: Files) -> list[int]:
    """How many commits each snapshot covers, falling."""
    found = (layout.parse_snapshot_name(name) for name in files.list_names(layout.SNAPSHOTS))
    return sorted((size for size in found if size is not None), reverse=True)


def read_snapshot(files: Files) -> dict[str, Commit]:
    """Commits by file name, from the newest snapshot that can be read; empty where none can."""
    for size in snapshot_sizes(files):
        try:
            data = files.read(layout.snapshot_path(size))
            table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
            texts = table["commit"].to_pylist()
            commits = [Commit.from_json(text) for text in texts]
        except (OSError, ValueError, KeyError):
            continue
        return {commit.name: commit for commit in commits}
    return {}
