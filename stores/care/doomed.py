"""Which commits may go: the live set is the same without them, and they are of no more use."""

import datetime
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from reelbank.stores.care.tenants import SharedFiles, Tenants, is_removed, paths_of, removals
from reelbank.stores.columns import SCHEMA, CommitColumns
from reelbank.stores.commits import Commit, Order, Unit
from reelbank.stores.ledger import Ledger
from reelbank.stores.live import LiveUnit

_Span = tuple[str, str, float, float]
_Aged = tuple[tuple[int, str, int, int, str], str]
_Moved = dict[tuple[_Span, str, Order], tuple[int, str]]
"""Span, key and place in history of a unit -> the last commit that holds it: sequence and key."""


def doomed_commits(
    columns: CommitColumns, *, cutoff: datetime.datetime, superseded: bool
) -> list[Commit]:
    """Commits that may be deleted one after the other, in this order.

    None of their units counts now or counted at the cutoff. Each unit was moved elsewhere or its
    video removed, or one of them was removed; with `superseded` that does not matter.
    """
    dead = np.flatnonzero((columns.num_live == 0) & (columns.num_units > 0)).tolist()
    if not (superseded or columns.has_moved or columns.removals):
        return []
    # Objects only of these, and of all that has to do with their videos and files.
    found = list(columns.commits(dead))
    names = {commit.name for commit in found}
    sharing = columns.numbers_naming({entry.path for commit in found for entry in commit.files})
    held = [*found, *columns.commits(sharing.tolist())]
    videos = {unit.video_id for commit in held for unit in commit.units}
    about = np.union1d(columns.numbers_about(videos), sharing)
    return _doomed(list(columns.commits(about.tolist())), names, cutoff, superseded)


def _doomed(
    commits: Sequence[Commit], dead: Collection[str], cutoff: datetime.datetime, superseded: bool
) -> list[Commit]:
    """Those of the dead that may go, given all commits that have to do with them."""
    settled = [commit for commit in commits if is_settled(commit, cutoff)]
    history, past = _History(commits), _History(settled)
    moved, tenants = _moved(settled), Tenants(settled)
    removed = tenants.removed
    waiting = [
        commit
        for commit in settled
        if commit.name in dead
        and (superseded or _is_useless(commit, moved, tenants))
        and not past.counts(commit)
    ]
    waiting.sort(key=lambda commit: commit.order)
    removing = {
        commit.name
        for commit in waiting
        if any(is_removed(unit, commit, removed) for unit in commit.units)
    }
    shared = SharedFiles(commits, {commit.name for commit in waiting}, removing)
    doomed: list[Commit] = []
    # Again, because what stood in the way of one may have gone after it.
    while found := list(_free(waiting, history, shared)):
        doomed += found
        names = {commit.name for commit in found}
        waiting = [commit for commit in waiting if commit.name not in names]
    return doomed


def doomed_removals(columns: CommitColumns, *, cutoff: datetime.datetime) -> list[Commit]:
    """Removals of videos of which nothing from before is left."""
    removing = list(columns.commits(columns.removals))
    removed = removals(removing)
    left = {
        unit.video_id
        for commit in columns.commits(columns.numbers_about(removed).tolist())
        for unit in commit.units
        if is_removed(unit, commit, removed)
    }
    return [
        commit
        for commit in removing
        if is_settled(commit, cutoff) and left.isdisjoint(commit.removes)
    ]


def is_settled(commit: Commit, cutoff: datetime.datetime) -> bool:
    """Whether it was there at the cutoff already."""
    if not commit.created:
        return True
    created = datetime.datetime.fromisoformat(commit.created)
    return (created if created.tzinfo else created.replace(tzinfo=datetime.UTC)) <= cutoff


def _free(waiting: Iterable[Commit], history: "_History", shared: SharedFiles) -> Iterator[Commit]:
    for commit in waiting:
        if shared.can_drop(commit) and history.can_drop(commit):
            shared.drop(commit)
            history.drop(commit)
            yield commit


class _History:
    """The commits by video: whether the live set needs one of them."""

    def __init__(self, commits: Iterable[Commit]) -> None:
        # Shared, because it takes longer to make than a video's few commits to judge.
        self._nothing = CommitColumns(SCHEMA.empty_table())
        self._of_video: dict[str, dict[str, Commit]] = defaultdict(dict)
        # Of each video and stage the places in history and names of its commits, the oldest first.
        self._by_age: dict[tuple[str, str], list[_Aged]] = defaultdict(list)
        for commit in commits:
            for video_id in commit.removes:
                self._of_video[video_id][commit.name] = replace(commit, removes=(video_id,))
            for unit in commit.units:
                alone = replace(commit, units=(unit,), files=())
                self._of_video[unit.video_id][commit.name] = alone
                aged = (LiveUnit(unit, commit, 0).order, commit.name)
                heapq.heappush(self._by_age[unit.video_id, unit.stage], aged)
        self._live = {video_id: self._live_of(video_id) for video_id in self._of_video}

    def counts(self, commit: Commit) -> bool:
        """Whether a unit of the commit is live."""
        return any(
            name == commit.name
            for unit in commit.units
            for _, name in self._live.get(unit.video_id, ())
        )

    def can_drop(self, commit: Commit) -> bool:
        """Whether the same units count without it."""
        return all(
            self._hides_nothing(unit, commit)
            or self._live_of(unit.video_id, without=commit.name) == self._live[unit.video_id]
            for unit in commit.units
        )

    def drop(self, commit: Commit) -> None:
        """It is there no more."""
        for unit in commit.units:
            del self._of_video[unit.video_id][commit.name]

    def _hides_nothing(self, unit: Unit, commit: Commit) -> bool:
        """Whether nothing of its stage is older: most often so, and quickly seen."""
        there, waiting = self._of_video[unit.video_id], self._by_age[unit.video_id, unit.stage]
        while waiting[0][1] not in there:
            heapq.heappop(waiting)
        return waiting[0][0] >= LiveUnit(unit, commit, 0).order

    def _live_of(self, video_id: str, without: str = "") -> frozenset[tuple[_Span, str]]:
        ledger = Ledger(self._nothing)
        for name, commit in self._of_video[video_id].items():
            if name != without:
                ledger.add(commit)
        found = ledger.live_of(video_id)
        return frozenset(
            (item.unit.span, item.commit.name) for items in found.values() for item in items
        )


def _moved(commits: Iterable[Commit]) -> _Moved:
    found: _Moved = {}
    for commit in commits:
        for unit in commit.units:
            place = _identity(unit, commit)
            found[place] = max(_rank(unit, commit), found.get(place, (0, "")))
    return found


def _is_useless(commit: Commit, moved: _Moved, tenants: Tenants) -> bool:
    """Whether its work lies elsewhere, or a removed video's beside it."""
    held = (path for unit in commit.units for path in paths_of(unit, commit))
    return any(path in tenants.removed_paths for path in held) or all(
        moved[_identity(unit, commit)] > _rank(unit, commit) for unit in commit.units
    )


def _identity(unit: Unit, commit: Commit) -> tuple[_Span, str, Order]:
    return unit.span, unit.key, unit.origin or commit.order


def _rank(unit: Unit, commit: Commit) -> tuple[int, str]:
    """Of the commits that hold one unit the later has the greater; its original the least."""
    return (0, "") if unit.origin is None else (commit.sequence, commit.key)
