"""Garbage collection: what counts no more, and what nobody ever named, leaves the disk.

The live set is the same before and after and at each moment in between: commits go one by one,
the oldest first, and only where no older one would count again. Then go the files that no commit
names any more. A collection that was killed is ended by the next one.
"""

import contextlib
import datetime
import io
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.care.contents import data_on_disk, modified
from reelbank.stores.care.doomed import doomed_commits, doomed_removals, is_settled
from reelbank.stores.care.scrub import scrub_runs
from reelbank.stores.commits import Commit
from reelbank.stores.files import TEMPORARY_PREFIX, Files
from reelbank.stores.history import History
from reelbank.stores.snapshots import snapshot_sizes
from reelbank.stores.store import Store

GRACE_SECONDS = 24 * 3600.0
"""What is younger stays: a writer may be about to commit it, a reader may be reading it."""


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
    below 0. A reader that holds a live set from before the grace time may find its files gone.
    """
    if grace_seconds < 0:
        raise ValueError(f"grace_seconds={grace_seconds} must be 0 or more")
    cutoff = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=grace_seconds)
    commits = store.commits()
    doomed = doomed_commits(commits, cutoff=cutoff, superseded=superseded)
    if not dry_run and doomed:
        History(store.files).begin_epoch()
        _delete(store.files, doomed)
    commits = _without(commits if dry_run else store.commits(), doomed)
    orphans = _orphans(store.files, commits, doomed, cutoff)
    num_bytes = sum(_num_bytes(store.files, parts) for parts in orphans.values())
    settled = [commit for commit in commits if commit.removes and is_settled(commit, cutoff)]
    runs = scrub_runs(store, settled, dry_run=dry_run)
    removals = doomed_removals(commits, cutoff=cutoff)
    if not dry_run:
        for path, parts in orphans.items():
            _remove_data(store.files, path, parts)
        _describe_banks(store, commits)
        # Last, so that a collection that is killed before comes to all that they ask for.
        _delete(store.files, removals)
        _renew_snapshots(store.files)
    return CollectReport(
        commits=tuple(commit.name for commit in (*doomed, *removals)),
        files=tuple(orphans),
        num_bytes=num_bytes,
        runs=tuple(runs),
        is_dry_run=dry_run,
    )


def _delete(files: Files, commits: Iterable[Commit]) -> None:
    for commit in commits:
        files.remove(layout.commit_path(commit.name))


def _without(commits: Iterable[Commit], doomed: Iterable[Commit]) -> list[Commit]:
    names = {commit.name for commit in doomed}
    return [commit for commit in commits if commit.name not in names]


def _orphans(
    files: Files, commits: Sequence[Commit], doomed: Sequence[Commit], cutoff: datetime.datetime
) -> dict[str, list[str]]:
    """What no commit names and is older than the grace time, each with the files it is made of."""
    named = {entry.path for commit in commits for entry in commit.files}
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


def _describe_banks(store: Store, commits: Iterable[Commit]) -> None:
    """Bring each bank.json up to date; a bank that no commit names has none."""
    named = {entry.name for commit in commits for entry in commit.files if entry.kind == "bank"}
    for bank in store.files.list_names(layout.BANKS):
        if bank not in named:
            store.files.remove(layout.bank_description_path(bank))
    store.describe_banks()


def _renew_snapshots(files: Files) -> None:
    """Where a snapshot tells of commits that are gone: one new snapshot in place of all."""
    history = History(files)
    history.refresh()
    names = set(history.ledger)
    sizes = snapshot_sizes(files)
    if all(_snapshot_names(files, size) <= names for size in sizes):
        return
    for size in sizes:
        files.remove(layout.snapshot_path(size))
    history.write_snapshot()


def _snapshot_names(files: Files, size: int) -> set[str]:
    """Names of the commits of a snapshot; one that no commit has where it cannot be read."""
    try:
        data = files.read(layout.snapshot_path(size))
        names: list[str] = pq.read_table(io.BytesIO(data), columns=["name"])["name"].to_pylist()
    except (OSError, ValueError, pa.ArrowException):
        return {""}
    return set(names)
