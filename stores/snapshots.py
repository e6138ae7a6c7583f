"""Snapshots: all commits up to a moment in one file, so that opening reads one file and the rest.

Derived from the commits and never needed: where one is missing or damaged the commits are read.
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.columns import CommitColumns
from reelbank.stores.files import Files

COMMITS_PER_SNAPSHOT = 64
_KEPT = 2


def write_snapshot(files: Files, columns: pa.Table) -> None:
    """Write what is known; quietly nothing where another writer did or the disk is full."""
    buffer = io.BytesIO()
    pq.write_table(columns, buffer, compression="zstd", write_page_checksum=True)
    try:
        files.create(layout.snapshot_path(len(columns)), buffer.getvalue())
        for size in snapshot_sizes(files)[_KEPT:]:
            files.remove(layout.snapshot_path(size))
    except OSError:
        return


def snapshot_sizes(files: Files) -> list[int]:
    """How many commits each snapshot covers, falling."""
    found = (layout.parse_snapshot_name(name) for name in files.list_names(layout.SNAPSHOTS))
    return sorted((size for size in found if size is not None), reverse=True)


def read_snapshot(files: Files) -> CommitColumns | None:
    """The newest snapshot that can be read; None where none can."""
    for size in snapshot_sizes(files):
        try:
            data = files.read(layout.snapshot_path(size))
            table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
            return CommitColumns(table)
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue
    return None
