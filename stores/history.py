"""The commits of a store: read from the disk, and added to, one at a time."""

import contextlib
import datetime
import math
import time
from collections.abc import Sequence
from dataclasses import replace

from reelbank.stores import layout
from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files
from reelbank.stores.ledger import Ledger
from reelbank.stores.live import LiveSet
from reelbank.stores.snapshots import (
    COMMITS_PER_SNAPSHOT,
    read_snapshot,
    snapshot_sizes,
    write_snapshot,
)

_COMMITS_ON_TWO_PAGES = 2_000
_TRUSTED_SECONDS = 2.0
_TRIES = 5


class History:
    """What one process knows of a store's commits; the caller holds a lock around each call."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.ledger = Ledger()
        self._live: LiveSet | None = None
        self._num_in_snapshot = 0
        self._stamp: int | None = None
        self._listed_at = -math.inf
        self._epoch = 0

    def live(self) -> LiveSet:
        """What counts, as of the last refresh."""
        if self._live is None:
            self._live = self.ledger.live_set()
        return self._live

    def committed(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        return self.ledger.newest(key)

    def create(self, draft: Commit) -> Commit | None:
        """Put the commit on disk, as a new generation where it was superseded; None: too late."""
        previous = self.committed(draft.key)
        if previous is not None and self.ledger.is_live(previous):
            return None
        commit = replace(
            draft,
            replaces=self.ledger.overlapped(draft.units),
            created=_now(),
            # Never the name of a commit that a collection deleted: snapshots may still hold that.
            generation=max(self._epoch, 0 if previous is None else previous.generation + 1),
        )
        created = self._files.create(layout.commit_path(commit.name), commit.to_json())
        if not created:
            self.refresh()
            there = self.ledger.commit(commit.name) if commit.name in self.ledger else None
            # A conditional put that is tried again can lose to itself.
            mine = (commit.attempt, commit.created)
            return there if there and (there.attempt, there.created) == mine else None
        self.ledger.add(commit)
        self._live = None
        self._snapshot_if_due()
        return commit

    def _snapshot_if_due(self) -> None:
        # More seldom as the store grows: a snapshot holds everything.
        interval = max(COMMITS_PER_SNAPSHOT, len(self.ledger) // COMMITS_PER_SNAPSHOT // 4)
        if len(self.ledger) < self._num_in_snapshot + interval:
            return
        # Another process may have written one in the meantime.
        self._num_in_snapshot = max(snapshot_sizes(self._files), default=0)
        if len(self.ledger) >= self._num_in_snapshot + interval:
            self.write_snapshot()

    def write_snapshot(self) -> None:
        """Write all that is known into one file, so that opening is quick."""
        columns = self.ledger.columns()
        write_snapshot(self._files, columns)
        # Go on from there: the next one then takes up the few commits since.
        self.ledger = Ledger(CommitColumns(columns))
        self._num_in_snapshot = len(self.ledger)

    def refresh(self) -> None:
        """Take in what others committed: one listing, and the commits not seen before.

        Nothing at all where that was done a moment ago and the folder's own stamp says that nobody
        added a file: not every file system keeps such stamps well.
        """
        stamp = self._files.settled_stamp(layout.COMMITS)
        now = time.monotonic()
        is_fresh = now - self._listed_at < _TRUSTED_SECONDS
        if is_fresh and stamp is not None and stamp == self._stamp:
            return
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                # Else a collection deleted a commit after it was listed.
                self._take_in()
                break
        else:
            self._take_in()
        self._stamp, self._listed_at = stamp, now

    def _take_in(self) -> None:
        begins = not len(self.ledger)
        base = read_snapshot(self._files) if begins else None
        num_known = len(self.ledger) if base is None else len(base)
        names = set(_listed(self._files, num_known))
        if not begins and self.ledger.names - names:
            # Someone removed commits: begin anew.
            begins, base = True, read_snapshot(self._files)
        if begins:
            self._begin(base, names)
        marks = filter(None, map(layout.parse_epoch_name, names - self.ledger.names))
        self._epoch = max(marks, default=0)
        missing = sorted(filter(layout.parse_commit_name, names - self.ledger.names))
        if missing:
            self._live = None
        for commit in read_commits(self._files, missing):
            self.ledger.add(commit)

    def begin_epoch(self) -> None:
        """Let no commit from now on have the name of one that is there."""
        self.refresh()
        parsed = map(layout.parse_commit_name, self.ledger.names)
        highest = max((one[1] for one in parsed if one is not None), default=0)
        self._epoch = max(self._epoch, highest) + 1
        self._files.create(layout.epoch_path(self._epoch), b"")

    def _begin(self, base: CommitColumns | None, names: set[str]) -> None:
        gone = () if base is None else base.numbers.keys() - names
        self.ledger, self._live = Ledger(base, gone), None
        self._num_in_snapshot = 0 if base is None else len(base)


def commit_names(files: Files) -> list[str]:
    """File names of all commits, sorted."""
    return list(filter(layout.parse_commit_name, _listed(files, 0)))


def _listed(files: Files, num_expected: int) -> list[str]:
    many = num_expected > _COMMITS_ON_TWO_PAGES
    return files.list_digests(layout.COMMITS) if many else files.list_names(layout.COMMITS)


def read_commits(files: Files, names: Sequence[str]) -> list[Commit]:
    """Read commits by file name; ValueError, with the remedy, for a damaged one."""
    found = files.read_many([layout.commit_path(name) for name in names])
    return [parse_commit(name, found[layout.commit_path(name)]) for name in names]


def parse_commit(name: str, data: bytes) -> Commit:
    """One commit from its file's bytes; ValueError, with the remedy, where it is damaged."""
    try:
        commit = Commit.from_json(data)
        if commit.name != name:
            raise ValueError(f"it says that it is {commit.name}")
    except ValueError as error:
        raise ValueError(
            f"{layout.commit_path(name)} is damaged ({error}); delete that file and extract again: "
            "only its stage is computed anew"
        ) from error
    return commit


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
