"""The live set: which of all committed units count.

Commits are ordered by (sequence, key, generation); a unit that compaction moved keeps the place of
its original. What is older than a video's removal is dead. The content digest of a video's newest
unit wins: units made from other bytes are dead. Within one stage of a video, a unit is dead where a
newer unit, dead or alive, overlaps its span. What is left is at most one unit for each moment of
each stage.
"""

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores import layout
from reelbank.stores.columns import SCHEMA, CommitColumns, columns_of, with_live
from reelbank.stores.commits import Commit, FileEntry, Order, Unit
from reelbank.stores.stages import (  # noqa: F401
    LABELS_PREFIX,
    bank_of,
    bank_stage,
    label_set_of,
    labels_stage,
    tables_of,
)

ANY_CONTENT = ""
"""Digest of a unit that holds whatever a video's bytes are: labels are about the film."""


@dataclass(frozen=True, slots=True)
class LiveUnit:
    """A unit that counts, with the commit that brought it."""

    unit: Unit
    commit: Commit
    number: int
    """Place of the unit among the commit's."""

    @property
    def order(self) -> tuple[int, str, int, int, str]:
        """Later units compare greater; a moved one only just more than its original."""
        if self.unit.origin is None:
            return (*self.commit.order, 0, "")
        return (*self.unit.origin, self.commit.sequence, self.commit.key)

    def file(self, kind: str, name: str) -> FileEntry | None:
        """The commit's file of that table or bank; None where it wrote none."""
        group = self.unit.group if kind == "bank" else None
        for entry in self.commit.files:
            if (entry.kind, entry.name) == (kind, name) and group in (None, entry.path):
                return entry
        return None


@dataclass(frozen=True, slots=True)
class VisibleFile:
    """A file that views read."""

    entry: FileEntry
    only: tuple[str, ...] | None
    """The videos whose lines count; None where all lines do."""
    hidden: tuple[str, ...] = ()
    """The videos whose lines do not."""


UnitsOfVideo = Mapping[str, tuple[LiveUnit, ...]]
"""Live units of one video by stage, each stage's by start."""


class Ledger:
    """All commits seen so far, and what of them is live; grows by `add`.

    It begins with the columns of a snapshot and their flags. Only videos of which something else
    is heard are looked at one by one.
    """

    def __init__(self, base: CommitColumns | None = None, gone: Iterable[str] = ()) -> None:
        """`gone` names commits of the columns that are there no more."""
        self._base = base if base is not None else CommitColumns(SCHEMA.empty_table())
        self._gone = set(gone)
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
        return name in self._added or (name in self._base.numbers and name not in self._gone)

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._base.names if name not in self._gone)
        yield from self._added

    def __len__(self) -> int:
        return len(self._base) - len(self._gone) + len(self._added)

    def commit(self, name: str) -> Commit:
        """The commit of that file name; KeyError where it is not known."""
        found = self._added.get(name)
        return found if found is not None else self._base.commit(self._base.numbers[name])

    def newest(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        generation = max(self._generations.get(key, -1), self._base.generations.get(key, -1))
        names = [layout.commit_name(key, one) for one in range(generation, -1, -1)]
        return next((self.commit(name) for name in names if name in self), None)

    def add(self, commit: Commit) -> None:
        """Take in one commit; the order of adding does not matter."""
        if commit.name in self:
            return
        self._added[commit.name] = commit
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
            for item in _items(self._base, self._base.rows_of_video.get(video_id, ())):
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
            return _flagged(self._base, self._base.live, video_id)
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

    def live_set(self) -> "LiveSet":
        """What counts now; later commits do not change the answer."""
        touched = {video_id: self.live_of(video_id) for video_id in self._units}
        return LiveSet(self._base, frozenset(self._gone), tuple(self._added.values()), touched)

    def columns(self) -> pa.Table:
        """All commits and flags, for a snapshot."""
        live = self.live_set()
        kept = [number for number, name in enumerate(self._base.names) if name not in self._gone]
        base = with_live(self._base.table, live.base_flags).take(pa.array(kept, pa.int64()))
        added = columns_of(self._added.values(), live.added_flags())
        return pa.concat_tables([base, added])


class LiveSet:
    """The units that count at one moment; all reading goes through one of these."""

    def __init__(
        self,
        base: CommitColumns,
        gone: frozenset[str],
        added: tuple[Commit, ...],
        touched: Mapping[str, UnitsOfVideo],
    ) -> None:
        self._base, self._gone, self._added, self._touched = base, gone, added, touched
        self._visible: dict[str, tuple[VisibleFile, ...]] = {}

    def __len__(self) -> int:
        there = self._touched.values()
        return int(self._untouched.sum()) + sum(len(units) for of in there for units in of.values())

    @cached_property
    def _untouched(self) -> NDArray[np.bool_]:
        """Rows of the columns that count, of videos of which nothing else was heard."""
        flags: NDArray[np.bool_] = self._base.live.copy()
        for video_id in self._touched:
            flags[self._base.rows_of_video.get(video_id, [])] = False
        return flags

    @cached_property
    def base_flags(self) -> NDArray[np.bool_]:
        """Rows of the columns that count."""
        flags = self._untouched.copy()
        for item in self._touched_items():
            number = self._base.numbers.get(item.commit.name)
            if number is not None:
                flags[self._base.offsets[number] + item.number] = True
        return flags

    def added_flags(self) -> list[list[bool]]:
        """Units that count of each commit that the columns do not have."""
        live = {(item.commit.name, item.number) for item in self._touched_items()}
        return [
            [(commit.name, number) in live for number in range(len(commit.units))]
            for commit in self._added
        ]

    def _touched_items(self) -> Iterator[LiveUnit]:
        for of_video in self._touched.values():
            for items in of_video.values():
                yield from items

    def unit(
        self, video_id: str, stage: str, start_seconds: float, end_seconds: float
    ) -> Unit | None:
        """The live unit of exactly that span, or None."""
        span = (video_id, stage, start_seconds, end_seconds)
        found = (item.unit for item in self.select(video_id, stage) if item.unit.span == span)
        return next(found, None)

    def units(self, video_id: str | None = None, stage: str | None = None) -> list[Unit]:
        """Live units, by video, stage and start; of one video or one stage where given."""
        return [item.unit for item in self.select(video_id, stage)]

    def select(self, video_id: str | None = None, stage: str | None = None) -> list[LiveUnit]:
        """As `units`, each with its commit."""
        if video_id is not None:
            of_video = self._of(video_id)
            stages = sorted(of_video) if stage is None else [stage]
            return [item for name in stages for item in of_video.get(name, ())]
        items = [item for item in self._touched_items() if stage in (None, item.unit.stage)]
        items += _items(self._base, self._rows_of(stage))
        return sorted(items, key=lambda item: item.unit.span)

    @property
    def items(self) -> list[LiveUnit]:
        """All, by video, stage and start."""
        return self.select()

    def newest(self, stage: str) -> LiveUnit | None:
        """The unit of a stage that came last; None where there is none."""
        items = [item for item in self._touched_items() if item.unit.stage == stage]
        rows = self._rows_of(stage)
        if rows:
            sequences = self._base.sequences[rows]
            latest = np.flatnonzero(sequences == sequences.max())
            items += _items(self._base, [rows[number] for number in latest.tolist()])
        return max(items, key=lambda item: (item.order, item.unit.video_id), default=None)

    def videos(self, stage: str | None = None) -> list[str]:
        """Videos that have a live unit of that stage, or of any but labels, sorted."""
        return sorted({video_id for video_id, found in self._pairs if _fits(found, stage)})

    def stages(self) -> list[str]:
        """Stages that have a live unit, sorted."""
        return sorted({stage for _, stage in self._pairs})

    def banks(self) -> list[str]:
        """Banks that have a live unit, sorted."""
        return [bank for stage in self.stages() if (bank := bank_of(stage)) is not None]

    @cached_property
    def _pairs(self) -> set[tuple[str, str]]:
        """(video, stage) with something live."""
        rows = np.flatnonzero(self._untouched).tolist()
        videos, stages = self._base.videos, self._base.stages
        commits = self._base.commit_of_row.tolist()
        pairs = {(videos[row], stages[commits[row]]) for row in rows}
        return pairs | {(item.unit.video_id, item.unit.stage) for item in self._touched_items()}

    def visible(self, table: str) -> list[VisibleFile]:
        """Files of a table that hold live lines, by path, each with the videos that count."""
        if table not in self._visible:
            self._visible[table] = tuple(self._look_at(table))
        return list(self._visible[table])

    def files(self, table: str) -> list[FileEntry]:
        """Files of a table that hold live lines, by path."""
        return [visible.entry for visible in self.visible(table)]

    def all_files(self) -> list[FileEntry]:
        """Every table file and bank group with something live in it, by path."""
        found: dict[str, FileEntry] = {}
        for item in self.items:
            for entry in item.commit.files:
                if entry.kind == "table" or entry == item.file("bank", entry.name):
                    found[entry.path] = entry
        return [found[path] for path in sorted(found)]

    def fingerprint(self) -> dict[tuple[str, str, float, float], tuple[str, tuple[str, ...]]]:
        """Span of each live unit -> its key and the digests of its files, by kind and name.

        Free of runs, attempts, sequences and clocks: equal for a disturbed and an undisturbed run.
        """
        return {item.unit.span: (item.unit.key, _digests(item.commit.files)) for item in self.items}

    def _of(self, video_id: str) -> UnitsOfVideo:
        found = self._touched.get(video_id)
        return found if found is not None else _flagged(self._base, self._base.live, video_id)

    def _rows_of(self, stage: str | None) -> list[int]:
        """Rows that count of videos of which nothing else was heard."""
        rows = np.flatnonzero(self._untouched)
        if stage is not None:
            wanted = np.array([one == stage for one in self._base.stages], bool)
            rows = rows[wanted[self._base.commit_of_row[rows]]]
        return [int(row) for row in rows]

    def _look_at(self, table: str) -> Iterator[VisibleFile]:
        entries: dict[str, FileEntry] = {}
        live: dict[str, set[str]] = defaultdict(set)
        known: dict[str, set[str]] = defaultdict(set)
        for entry, videos, flags in self._namings(table):
            entries[entry.path] = entry
            known[entry.path].update(videos)
            live[entry.path].update(itertools.compress(videos, flags))
        for path in sorted(entries):
            # The label map of a set is of no video.
            hidden = known[path] - live[path] if table != "classes" else set()
            only = tuple(sorted(live[path])) if hidden else None
            if live[path]:
                yield VisibleFile(entries[path], only, tuple(sorted(hidden)))

    def _namings(self, table: str) -> Iterator[tuple[FileEntry, Sequence[str], Sequence[bool]]]:
        """Each commit's file of the table, its videos, and which of them count."""
        videos, flags = self._base.videos, self.base_flags.tolist()
        for number, entry in self._base.files_of(table):
            if self._base.names[number] not in self._gone:
                low, high = self._base.offsets[number : number + 2]
                yield entry, videos[low:high], flags[low:high]
        for commit, found in zip(self._added, self.added_flags(), strict=True):
            names = [unit.video_id for unit in commit.units]
            for entry in commit.files:
                if (entry.kind, entry.name) == ("table", table):
                    yield entry, names, found


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


def _flagged(base: CommitColumns, flags: NDArray[np.bool_], video_id: str) -> UnitsOfVideo:
    rows = [row for row in base.rows_of_video.get(video_id, ()) if flags[row]]
    found: dict[str, list[LiveUnit]] = defaultdict(list)
    for item in _items(base, rows):
        found[item.unit.stage].append(item)
    return {
        stage: tuple(sorted(items, key=lambda item: item.unit.start_seconds))
        for stage, items in found.items()
    }


def _items(base: CommitColumns, rows: Iterable[int]) -> list[LiveUnit]:
    found = []
    for row in rows:
        number = int(base.commit_of_row[row])
        commit, place = base.commit(number), row - int(base.offsets[number])
        found.append(LiveUnit(commit.units[place], commit, place))
    return found


def _fits(found: str, stage: str | None) -> bool:
    return not found.startswith(LABELS_PREFIX) if stage is None else found == stage


def _digests(files: Iterable[FileEntry]) -> tuple[str, ...]:
    ordered = sorted(files, key=lambda entry: (entry.kind, entry.name, entry.sha256))
    return tuple(entry.sha256 for entry in ordered)
