"""Garbage collection: what counts no more, and what nobody ever named, leaves the disk.

The live set is the same before and after and at each moment in between: commits go one by one,
the oldest first, and only where no older one would count again. Then go the files that no commit
names any more. A collection that was killed is ended by the next one.
"""

import contextlib
import datetime
import posixpath
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from reelbank.stores import layout
from reelbank.stores.care.contents import data_on_disk, modified
from reelbank.stores.care.doomed import doomed_commits, doomed_removals, is_settled
from reelbank.stores.care.renewal import renew_snapshots
from reelbank.stores.care.scrub import scrub_runs
from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit
from reelbank.stores.files import TEMPORARY_PREFIX, Files
from reelbank.stores.history import History
from reelbank.stores.stages import bank_of
from reelbank.stores.store import Store

GRACE_SECONDS = 24 * 3600.0
"""What is younger stays: a writer may be about to commit it, a reader may be reading it."""

MAX_GRACE_SECONDS = 100 * 365 * 24 * 3600.0
"""A century: nothing is that old, and dates before the year 1 do not exist."""


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What a collection took away, or would."""

    commits: tuple[str, ...]
    """File names of commits, in the order in which they went."""
    files: tuple[str, ...]
    """Table files, bank groups and leftovers of interrupted writes, relative to the store."""
    num_bytes: int
    """Of these files."""
    runs: tuple[str, ...]
    """Runs whose records named a removed video."""
    is_dry_run: bool
    """Nothing was touched."""


def collect(
    store: Store,
    *,
    grace_seconds: float = GRACE_SECONDS,
    dry_run: bool = False,
    superseded: bool = False,
) -> CollectReport:
    """Delete what counts no more and is older than the grace time.

    That is: files that no commit names, leftovers of interrupted writes, commits whose units all
    were moved elsewhere or hold removed videos; with `superseded` also all other work that does
    not count, which could have counted again when settings go back. ValueError for a grace time
    that is no time. A reader that holds a live set from before it may find its files gone.
    """
    if not 0 <= grace_seconds <= MAX_GRACE_SECONDS:
        raise ValueError(
            f"grace_seconds={grace_seconds} is not possible; use 0 to {MAX_GRACE_SECONDS:.0f}"
        )
    cutoff = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=grace_seconds)
    # Whatever snapshots say: what no commit names is deleted below.
    history = History(store.files, is_thorough=True)
    columns = _columns(history)
    doomed = doomed_commits(columns, cutoff=cutoff, superseded=superseded)
    if not dry_run and doomed:
        history.begin_epoch()
        _delete(store.files, doomed)
        columns = _columns(history)
    gone = {commit.name for commit in doomed}
    numbers = [number for number, name in enumerate(columns.names) if name not in gone]
    columns = CommitColumns(columns.table.take(pa.array(numbers, pa.int64())))
    orphans = _orphans(store.files, columns.paths, doomed, cutoff)
    num_bytes = sum(_num_bytes(store.files, parts) for parts in orphans.values())
    settled = [one for one in columns.commits(columns.removals) if is_settled(one, cutoff)]
    runs = scrub_runs(store, settled, dry_run=dry_run)
    removals = doomed_removals(columns, cutoff=cutoff)
    if not dry_run:
        for path, parts in orphans.items():
            _remove_data(store.files, path, parts)
        _describe_banks(store, columns)
        if removals and not doomed:
            history.begin_epoch()
        # Last, so that a collection that is killed before comes to all that they ask for.
        _delete(store.files, removals)
        renew_snapshots(store.files, history, cutoff)
    return CollectReport(
        commits=tuple(commit.name for commit in (*doomed, *removals)),
        files=tuple(orphans),
        num_bytes=num_bytes,
        runs=tuple(runs),
        is_dry_run=dry_run,
    )


def _columns(history: History) -> CommitColumns:
    history.refresh()
    return CommitColumns(history.ledger.columns())


def _delete(files: Files, commits: Iterable[Commit]) -> None:
    for commit in commits:
        files.remove(layout.commit_path(commit.name))


def _orphans(
    files: Files, named: Collection[str], doomed: Sequence[Commit], cutoff: datetime.datetime
) -> dict[str, list[str]]:
    """What no commit names and is older than the grace time, each with the files it is made of."""
    # What a commit has just set free was written before that commit.
    freed = {entry.path for commit in doomed for entry in commit.files}
    found = {}
    for path, parts in sorted(data_on_disk(files).items()):
        if path in named or not layout.is_data_path(path):
            continue
        if path in freed or _is_old(files, parts, cutoff):
            found[path] = parts
    for path in files.walk(""):
        is_leftover = posixpath.basename(path).startswith(TEMPORARY_PREFIX)
        if is_leftover and _is_old(files, [path], cutoff):
            found[path] = [path]
    return found


def _is_old(files: Files, parts: Iterable[str], cutoff: datetime.datetime) -> bool:
    times = (modified(files, part) for part in parts)
    return all(time is None or time <= cutoff for time in times)


def _num_bytes(files: Files, parts: Iterable[str]) -> int:
    total = 0
    for part in parts:
        try:
            total += files.size(part)
        except FileNotFoundError:
            continue
    return total


def _remove_data(files: Files, path: str, parts: Sequence[str]) -> None:
    for part in parts:
        files.remove(part)
    if files.is_local and parts != [path]:
        # The folders of a group; an object store has none.
        with contextlib.suppress(FileNotFoundError):
            files.fs.rm(files.absolute(path), recursive=True)


def _describe_banks(store: Store, columns: CommitColumns) -> None:
    """Bring each bank.json up to date; a bank that no commit names has none."""
    named = {bank_of(stage) for stage in set(columns.stages)}
    for bank in store.files.list_names(layout.BANKS):
        if bank not in named:
            store.files.remove(layout.bank_description_path(bank))
    store.describe_banks()
