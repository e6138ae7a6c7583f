"""Checks of the snapshots: whoever opens the store by one sees what the commits say."""

import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.care.findings import Problem
from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files
from reelbank.stores.ledger import Ledger
from reelbank.stores.snapshots import snapshot_sizes


def check_snapshots(files: Files, commits: Sequence[Commit]) -> Iterator[Problem]:
    """Each snapshot against the commits; one that cannot be read is passed over, as by readers."""
    expected = None
    for size in snapshot_sizes(files):
        path = layout.snapshot_path(size)
        try:
            data = files.read(path)
            table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
            columns = CommitColumns(table)
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue
        expected = expected or _live(Ledger(), commits)
        yield from _check(path, columns, commits, expected)


def _check(
    path: str, columns: CommitColumns, commits: Sequence[Commit], expected: frozenset[object]
) -> Iterator[Problem]:
    there = {commit.name: commit for commit in commits}
    for number, name in enumerate(columns.names):
        if name in there and columns.commit(number) != there[name]:
            yield Problem(path, f"tells of another commit {name} than there is; delete it")
            return
    gone = columns.numbers.keys() - there.keys()
    if _live(Ledger(columns, gone), commits) != expected:
        yield Problem(path, "leads to other live work than the commits; delete it")


def _live(ledger: Ledger, commits: Sequence[Commit]) -> frozenset[object]:
    for commit in commits:
        ledger.add(commit)
    return frozenset((item.unit.span, item.commit.name) for item in ledger.live_set().items)
