"""The live set: the units that count at one moment, and the files that hold them."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit, FileEntry, Unit
from reelbank.stores.stages import LABELS_PREFIX, bank_of


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

    @cached_property
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
        items += units_of_rows(self._base, self._rows_of(stage))
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
            items += units_of_rows(self._base, [rows[number] for number in latest.tolist()])
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
        return found if found is not None else live_units_of_video(self._base, video_id)

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
        for commit, found in zip(self._added, self.added_flags, strict=True):
            names = [unit.video_id for unit in commit.units]
            for entry in commit.files:
                if (entry.kind, entry.name) == ("table", table):
                    yield entry, names, found


def live_units_of_video(base: CommitColumns, video_id: str) -> UnitsOfVideo:
    """Units of a video that counted when the columns were written."""
    rows = [row for row in base.rows_of_video.get(video_id, ()) if base.live[row]]
    found: dict[str, list[LiveUnit]] = defaultdict(list)
    for item in units_of_rows(base, rows):
        found[item.unit.stage].append(item)
    return {
        stage: tuple(sorted(items, key=lambda item: item.unit.start_seconds))
        for stage, items in found.items()
    }


def units_of_rows(base: CommitColumns, rows: Iterable[int]) -> list[LiveUnit]:
    """The units of these rows of the columns."""
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
