"""All commits of a store, and the rule by which their units count.

Commits are ordered by (sequence, key, generation); a unit that compaction moved keeps the place of
its original. What is older than a video's removal is dead. The content digest of a video's newest
unit wins: units made from other bytes are dead. Within one stage of a video, a unit is dead where a
newer unit, dead or alive, overlaps its span. What is left is at most one unit for each moment of
each stage.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from reelbank.stores import layout
from reelbank.stores.columns import SCHEMA, CommitColumns, columns_of, with_live
from reelbank.stores.commits import Commit, Order, Unit
from reelbank.stores.live import (
    LiveSet,
    LiveUnit,
    UnitsOfVideo,
    live_units_of_video,
    units_of_rows,
)

ANY_CONTENT = ""
"""Digest of a unit that holds whatever a video's bytes are: labels are about the film."""


class Ledger:
    """All commits seen so far, and what of them is live; grows by `add`.

    It begins with the columns of a snapshot and their flags. Only videos of which something else
    is heard are looked at one by one.
    """

    def __init__(self, base: CommitColumns | None = None, gone: Iterable[str] = ()) -> None:
        """`gone` names commits of the columns that are there no more."""
        self._base = base if base is not None else CommitColumns(SCHEMA.empty_table())
        self._gone = set(gone)
        self.names = set(self._base.numbers) - self._gone
        """File names of the commits."""
        self._added: dict[str, Commit] = {}
        self._generations: dict[str, int] = {}
        self._removed: dict[str, Order] = {}
        self.max_sequence = self._base.max_sequence
        self._units: dict[str, dict[str, list[LiveUnit]]] = {}
        self._live: dict[str, UnitsOfVideo] = {}
        for number in self._base.removals:
            if self._base.names[number] not in self._gone:
                self._remove(self._base.commit(number))
        for name in self._gone:
            commit = self.commit(name)
            for video_id in (*commit.removes, *(unit.video_id for unit in commit.units)):
                self._touch(video_id)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._base.names if name not in self._gone)
        yield from self._added

    def __len__(self) -> int:
        return len(self.names)

    def commit(self, name: str) -> Commit:
        """The commit of that file name; KeyError where it is not known."""
        found = self._added.get(name)
        return found if found is not None else self._base.commit(self._base.numbers[name])

    def keys(self) -> set[str]:
        """Keys of all commits."""
        parsed = map(layout.parse_commit_name, self.names)
        return {one[0] for one in parsed if one is not None}

    def newest(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        generation = max(self._generations.get(key, -1), self._base.generations.get(key, -1))
        names = [layout.commit_name(key, one) for one in range(generation, -1, -1)]
        return next((self.commit(name) for name in names if name in self), None)

    def commits(self) -> Iterator[Commit]:
        """All of them."""
        yield from (one for one in self._base.commits() if one.name not in self._gone)
        yield from self._added.values()

    def whole_holder(self, commit: Commit) -> Commit | None:
        """The last commit that holds all of its units: itself, or one that they were moved to.

        None where a unit's video was removed since, or where its units lie in several commits.
        """
        holders = {self._holder(unit, commit) for unit in commit.units}
        name = holders.pop() if len(holders) == 1 else None
        return self.commit(name) if name is not None else None

    def _holder(self, unit: Unit, commit: Commit) -> str | None:
        place = unit.origin or commit.order
        if place <= self._removed.get(unit.video_id, (0, "", 0)):
            return None
        held = [
            item
            for item in self._touch(unit.video_id)[unit.stage]
            if (item.unit.span, item.unit.key) == (unit.span, unit.key)
            and (item.unit.origin or item.commit.order) == place
        ]
        return max(held, key=lambda item: item.order).commit.name

    def add(self, commit: Commit) -> None:
        """Take in one commit; the order of adding does not matter."""
        if commit.name in self:
            return
        self._added[commit.name] = commit
        self.names.add(commit.name)
        known = self._generations.get(commit.key, -1)
        self._generations[commit.key] = max(known, commit.generation)
        self.max_sequence = max(self.max_sequence, commit.sequence)
        self._remove(commit)
        for video_id in commit.removes:
            self._touch(video_id)
        for number, unit in enumerate(commit.units):
            found = self._touch(unit.video_id)
            found[unit.stage].append(LiveUnit(unit, commit, number))

    def _touch(self, video_id: str) -> dict[str, list[LiveUnit]]:
        self._live.pop(video_id, None)
        if video_id not in self._units:
            found: dict[str, list[LiveUnit]] = defaultdict(list)
            for item in units_of_rows(self._base, self._base.rows_of_video.get(video_id, ())):
                if item.commit.name not in self._gone:
                    found[item.unit.stage].append(item)
            self._units[video_id] = found
        return self._units[video_id]

    def _remove(self, commit: Commit) -> None:
        for video_id in commit.removes:
            self._removed[video_id] = max(commit.order, self._removed.get(video_id, commit.order))

    def live_of(self, video_id: str) -> UnitsOfVideo:
        """Live units of a video, by stage."""
        if video_id not in self._units:
            return live_units_of_video(self._base, video_id)
        if video_id not in self._live:
            removed = self._removed.get(video_id)
            self._live[video_id] = _live_of(self._units[video_id], removed)
        return self._live[video_id]

    def is_live(self, commit: Commit) -> bool:
        """Whether the work of every unit of the commit counts, wherever it lies by now."""
        return all(
            any(
                (item.unit.key, item.unit.span) == (unit.key, unit.span)
                for item in self.live_of(unit.video_id).get(unit.stage, ())
            )
            for unit in commit.units
        )

    def overlapped(self, units: Iterable[Unit]) -> tuple[str, ...]:
        """Keys of the commits of which these units would supersede something live, sorted."""
        keys = {
            item.commit.key
            for unit in units
            for item in self.live_of(unit.video_id).get(unit.stage, ())
            if item.unit.start_seconds < unit.end_seconds
            and unit.start_seconds < item.unit.end_seconds
        }
        return tuple(sorted(keys))

    def live_set(self) -> LiveSet:
        """What counts now; later commits do not change the answer."""
        touched = {video_id: self.live_of(video_id) for video_id in self._units}
        return LiveSet(self._base, frozenset(self._gone), tuple(self._added.values()), touched)

    def columns(self) -> pa.Table:
        """All commits, in any order, and which of their units count."""
        live = self.live_set()
        kept = [number for number, name in enumerate(self._base.names) if name not in self._gone]
        base = with_live(self._base.table, live.base_flags).take(pa.array(kept, pa.int64()))
        added = columns_of(self._added.values(), live.added_flags)
        return pa.concat_tables([base, added])


class _Covered:
    """A union of half-open spans, kept as sorted disjoint ones."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def overlaps(self, start: float, end: float) -> bool:
        index = bisect.bisect_right(self._ends, start)
        return index < len(self._starts) and self._starts[index] < end

    def add(self, start: float, end: float) -> None:
        first = bisect.bisect_left(self._ends, start)
        last = bisect.bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]


def _live_of(units: Mapping[str, list[LiveUnit]], removed: Order | None) -> UnitsOfVideo:
    there = {
        stage: [item for item in items if removed is None or item.order[:3] > removed]
        for stage, items in units.items()
    }
    of_content = [
        item for items in there.values() for item in items if item.unit.digest != ANY_CONTENT
    ]
    newest = max(of_content, key=lambda item: item.order, default=None)
    digests = (ANY_CONTENT, newest.unit.digest if newest is not None else ANY_CONTENT)
    live = {stage: _live_of_stage(items, digests) for stage, items in there.items()}
    return {stage: items for stage, items in live.items() if items}


def _live_of_stage(items: list[LiveUnit], digests: tuple[str, ...]) -> tuple[LiveUnit, ...]:
    covered, live = _Covered(), []
    for item in sorted(items, key=lambda item: item.order, reverse=True):
        start, end = item.unit.start_seconds, item.unit.end_seconds
        if not covered.overlaps(start, end) and item.unit.digest in digests:
            live.append(item)
        covered.add(start, end)
    return tuple(sorted(live, key=lambda item: item.unit.start_seconds))
