"""The commits of a store: read from the disk, and added to, one at a time."""

import datetime
from collections.abc import Sequence

from reelbank.stores import layout
from reelbank.stores.commits import Commit
from reelbank.stores.files import Files
from reelbank.stores.live import Ledger, LiveSet
from reelbank.stores.snapshots import (
    COMMITS_PER_SNAPSHOT,
    read_snapshot,
    snapshot_sizes,
    write_snapshot,
)


class History:
    """What one process knows of a store's commits; the caller holds a lock around each call."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.ledger = Ledger()
        self._live: LiveSet | None = None
        self._num_in_snapshot = 0

    def live(self) -> LiveSet:
        """What counts, as of the last refresh."""
        if self._live is None:
            self._live = self.ledger.live_set()
        return self._live

    def committed(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        generation = self.ledger.generations.get(key)
        if generation is None:
            return None
        return self.ledger.commits[layout.commit_name(key, generation)]

    def create(self, draft: Commit) -> Commit | None:
        """Put the commit on disk, as a new generation where it was superseded; None: too late."""
        previous = self.committed(draft.key)
        if previous is not None and self.ledger.is_live(previous):
            return None
        commit = Commit(
            key=draft.key,
            attempt=draft.attempt,
            stage=draft.stage,
            units=draft.units,
            files=draft.files,
            run=draft.run,
            sequence=draft.sequence,
            replaces=self.ledger.overlapped(draft.units),
            created=_now(),
            generation=0 if previous is None else previous.generation + 1,
        )
        created = self._files.create(layout.commit_path(commit.name), commit.to_json())
        if not created:
            self.refresh()
            there = self.ledger.commits.get(commit.name)
            # A conditional put that is tried again can lose to itself.
            return there if there == commit else None
        self.ledger.add(commit)
        self._live = None
        self._snapshot_if_due()
        return commit

    def _snapshot_if_due(self) -> None:
        due = self._num_in_snapshot + COMMITS_PER_SNAPSHOT
        if len(self.ledger.commits) < due:
            return
        # Another process may have written one in the meantime.
        self._num_in_snapshot = max(snapshot_sizes(self._files), default=0)
        if len(self.ledger.commits) >= self._num_in_snapshot + COMMITS_PER_SNAPSHOT:
            write_snapshot(self._files, self.ledger.commits.values())
            self._num_in_snapshot = len(self.ledger.commits)

    def refresh(self) -> None:
        """Take in what others committed: one listing, and the commits not seen before."""
        names = set(commit_names(self._files))
        if self.ledger.commits.keys() - names:
            # Someone removed commits: begin anew.
            self.ledger = Ledger()
            self._live = None
        if not self.ledger.commits and names:
            known = read_snapshot(self._files)
            self._num_in_snapshot = len(known)
            for name in known.keys() & names:
                self.ledger.add(known[name])
        missing = sorted(names - self.ledger.commits.keys())
        if missing:
            self._live = None
        for commit in read_commits(self._files, missing):
            self.ledger.add(commit)


def commit_names(files: Files) -> list[str]:
    """File names of all commits, sorted."""
    return [name for name in files.list_names(layout.COMMITS) if layout.parse_commit_name(name)]


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
