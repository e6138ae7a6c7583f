"""Which videos have lines or rows in which file, after all commits that name it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Self

import numpy as np

from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit, Order, Unit
from reelbank.stores.live import LiveSet


class Tenants:
    """The units in each file; a file that was carried over or revived is named by many commits."""

    def __init__(self, commits: Iterable[Commit]) -> None:
        self._commits = tuple(commits)
        self.removed = removals(self._commits)
        """Each removed video -> place in history of its last removal."""
        self.removed_paths = {
            path
            for commit in self._commits
            for unit in commit.units
            if is_removed(unit, commit, self.removed)
            for path in paths_of(unit, commit)
        }
        """Files that hold something of a video from before its removal."""

    @classmethod
    def of_dead(cls, columns: CommitColumns) -> Self:
        """Of the commits with a unit that does not count, and the removals: all that matters to
        the questions below.
        """
        dead = np.flatnonzero(columns.num_live < columns.num_units)
        return cls(columns.commits([*dead.tolist(), *columns.removals]))

    def dead_paths(self, live: LiveSet, stage: str) -> set[str]:
        """Files of a stage that hold something that counts nowhere, or was removed."""
        counting = {(unit.span, unit.key) for unit in live.units(stage=stage)}
        return self.removed_paths | {
            path
            for commit in self._commits
            if commit.stage == stage
            for unit in commit.units
            if (unit.span, unit.key) not in counting
            for path in paths_of(unit, commit)
        }


class SharedFiles:
    """How many commits tell of each video in each file that more than one of them names."""

    def __init__(
        self, commits: Iterable[Commit], waiting: Collection[str], removing: Collection[str]
    ) -> None:
        """`waiting` names the commits that are to go, `removing` those with removed videos."""
        self._tellers: dict[str, Counter[str]] = defaultdict(Counter)
        self._names: Counter[str] = Counter()
        self._staying: Counter[str] = Counter()
        self._quiet: Counter[str] = Counter()
        self._waiting, self._removing = frozenset(waiting), frozenset(removing)
        for commit in commits:
            self._count(commit, 1)

    def drop(self, commit: Commit) -> None:
        """Count one that is there no more."""
        self._count(commit, -1)

    def can_drop(self, commit: Commit) -> bool:
        """Whether whoever still names its files tells of all the videos in them.

        Or is to go as well: then those that tell of removed videos are the last, so that it is not
        forgotten, if this is broken off, why the others go.
        """
        is_last = commit.name in self._removing
        return all(
            self._names[path] == 1
            or self._tellers[path][unit.video_id] > 1
            or not (self._staying[path] or (is_last and self._quiet[path]))
            for unit in commit.units
            for path in paths_of(unit, commit)
        )

    def _count(self, commit: Commit, change: int) -> None:
        for entry in commit.files:
            self._names[entry.path] += change
            self._staying[entry.path] += change * (commit.name not in self._waiting)
            self._quiet[entry.path] += change * (commit.name not in self._removing)
        for unit in commit.units:
            for path in paths_of(unit, commit):
                self._tellers[path][unit.video_id] += change


def removals(commits: Iterable[Commit]) -> dict[str, Order]:
    """Each removed video -> place in history of its last removal."""
    found: dict[str, Order] = {}
    for commit in commits:
        for video_id in commit.removes:
            found[video_id] = max(commit.order, found.get(video_id, commit.order))
    return found


def is_removed(unit: Unit, commit: Commit, removed: dict[str, Order]) -> bool:
    """Whether the unit is from before its video's last removal."""
    last = removed.get(unit.video_id)
    return last is not None and (unit.origin or commit.order) <= last


def paths_of(unit: Unit, commit: Commit) -> Iterator[str]:
    """Files of the commit that hold something of the unit."""
    for entry in commit.files:
        if entry.kind == "table" or unit.group in (None, entry.path):
            yield entry.path
