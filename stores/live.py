"""The live set: which of all committed units count.

Commits are ordered by (sequence, key). The content digest of a video's newest unit wins: units made
from other bytes are dead. Within one stage of a video, a unit is dead where a newer unit, dead or
alive, overlaps its span. What is left is at most one unit for each moment of each stage.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reelbank.stores.commits import Commit, FileEntry, Unit

TABLES_OF_STAGE = {
    "scores": ("scores", "failures"),
    "detections": ("detections", "failures"),
    "video": ("videos", "failures"),
    "shots": ("shots", "failures"),
    "tracks": ("tracks", "links", "failures"),
}
"""Tables that a stage may write."""

BANK_PREFIX = "bank:"
"""Start of the stage name of a bank."""


LABELS_PREFIX = "labels:"
"""Start of the stage name of a label set, 'labels:<name>@<version>'."""

ANY_CONTENT = ""
"""Digest of a unit that holds whatever a video's bytes are: labels are about the film."""


def labels_stage(label_set: str) -> str:
    """Name of the stage that brings a label set, given as 'name@version'."""
    return f"{LABELS_PREFIX}{label_set}"


def label_set_of(stage: str) -> str | None:
    """The label set, 'name@version', that a stage brings; None for all other stages."""
    return stage.removeprefix(LABELS_PREFIX) if stage.startswith(LABELS_PREFIX) else None


def bank_stage(bank: str) -> str:
    """Name of the stage that makes a bank."""
    return f"{BANK_PREFIX}{bank}"


def bank_of(stage: str) -> str | None:
    """The bank that a stage makes; None for the stages that make tables."""
    return stage.removeprefix(BANK_PREFIX) if stage.startswith(BANK_PREFIX) else None


def tables_of(stage: str) -> tuple[str, ...]:
    """Tables that a stage may write, its own first; ValueError for an unknown stage."""
    if bank_of(stage) is not None:
        return ("index", "failures")
    if label_set_of(stage) is not None:
        return ("labels", "classes")
    if stage not in TABLES_OF_STAGE:
        known = ", ".join([*sorted(TABLES_OF_STAGE), bank_stage("<name>")])
        raise ValueError(f"unknown stage {stage!r}; known: {known}")
    return TABLES_OF_STAGE[stage]


@dataclass(frozen=True, slots=True)
class LiveUnit:
    """A unit that counts, with the commit that brought it."""

    unit: Unit
    commit: Commit

    @property
    def order(self) -> tuple[int, str, int]:
        """Later units compare greater."""
        return self.commit.order

    def file(self, kind: str, name: str) -> FileEntry | None:
        """The commit's file of that table or bank; None where it wrote none."""
        found = (entry for entry in self.commit.files if (entry.kind, entry.name) == (kind, name))
        return next(found, None)


@dataclass(frozen=True, slots=True)
class VisibleFile:
    """A file that views read."""

    entry: FileEntry
    only: tuple[str, ...] | None
    """The videos whose lines count; None where all lines do."""


class Ledger:
    """All commits seen so far, and what of them is live; grows by `add`."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.generations: dict[str, int] = {}
        self.by_unit_key: dict[str, Commit] = {}
        self.max_sequence = 0
        self._groups: dict[tuple[str, str], list[LiveUnit]] = defaultdict(list)
        self._newest: dict[str, LiveUnit] = {}
        self._live: dict[tuple[str, str], tuple[LiveUnit, ...]] = {}
        self._videos_of_file: dict[str, set[str]] = defaultdict(set)

    def add(self, commit: Commit) -> None:
        """Take in one commit; the order of adding does not matter."""
        if commit.name in self.commits:
            return
        self.commits[commit.name] = commit
        generation = self.generations.get(commit.key, -1)
        self.generations[commit.key] = max(generation, commit.generation)
        self.max_sequence = max(self.max_sequence, commit.sequence)
        for unit in commit.units:
            self._add_unit(LiveUnit(unit, commit))
        for entry in commit.files:
            self._videos_of_file[entry.path].update(unit.video_id for unit in commit.units)

    def _add_unit(self, item: LiveUnit) -> None:
        unit = item.unit
        self._groups[unit.video_id, unit.stage].append(item)
        self._live.pop((unit.video_id, unit.stage), None)
        known = self.by_unit_key.get(unit.key)
        if known is None or known.order < item.order:
            self.by_unit_key[unit.key] = item.commit
        if unit.digest == ANY_CONTENT:
            return
        newest = self._newest.get(unit.video_id)
        if newest is None or newest.order < item.order:
            self._newest[unit.video_id] = item
            if newest is not None and newest.unit.digest != unit.digest:
                self._forget(unit.video_id)

    def _forget(self, video_id: str) -> None:
        for group in [group for group in self._live if group[0] == video_id]:
            del self._live[group]

    def live_group(self, video_id: str, stage: str) -> tuple[LiveUnit, ...]:
        """Live units of one stage of one video, by start."""
        group = (video_id, stage)
        if group not in self._live:
            digest = self._newest[video_id].unit.digest if video_id in self._newest else ""
            self._live[group] = _live_of(self._groups.get(group, ()), digest)
        return self._live[group]

    def is_live(self, commit: Commit) -> bool:
        """Whether every unit of the commit counts."""
        return all(
            any(item.commit.name == commit.name and item.unit.span == unit.span for item in group)
            for unit in commit.units
            for group in [self.live_group(unit.video_id, unit.stage)]
        )

    def overlapped(self, units: Iterable[Unit]) -> tuple[str, ...]:
        """Keys of the commits of which these units would supersede something live, sorted."""
        keys = {
            item.commit.key
            for unit in units
            for item in self.live_group(unit.video_id, unit.stage)
            if item.unit.start_seconds < unit.end_seconds
            and unit.start_seconds < item.unit.end_seconds
        }
        return tuple(sorted(keys))

    def live_set(self) -> "LiveSet":
        """What counts now; later commits do not change the answer."""
        items = [item for group in sorted(self._groups) for item in self.live_group(*group)]
        return LiveSet(items, videos_of_file=self._videos_of_file)


class LiveSet:
    """The units that count at one moment; all reading goes through one of these."""

    def __init__(self, items: list[LiveUnit], *, videos_of_file: Mapping[str, set[str]]) -> None:
        self.items = tuple(items)
        """By video, stage and start."""
        self._by_span = {item.unit.span: item for item in items}
        self._groups: dict[tuple[str, str], list[LiveUnit]] = defaultdict(list)
        self._visible: dict[str, list[VisibleFile]] = defaultdict(list)
        videos: dict[str, set[str]] = defaultdict(set)
        entries: dict[str, FileEntry] = {}
        for item in items:
            self._groups[item.unit.video_id, item.unit.stage].append(item)
            for entry in item.commit.files:
                entries[entry.path] = entry
                videos[entry.path].add(item.unit.video_id)
        for path in sorted(entries):
            entry = entries[path]
            # The label map of a set is of no video.
            hides = videos[path] != videos_of_file[path] and entry.name != "classes"
            only = tuple(sorted(videos[path])) if hides else None
            self._visible[f"{entry.kind}:{entry.name}"].append(VisibleFile(entry, only))

    def __len__(self) -> int:
        return len(self.items)

    def unit(
        self, video_id: str, stage: str, start_seconds: float, end_seconds: float
    ) -> Unit | None:
        """The live unit of exactly that span, or None."""
        item = self._by_span.get((video_id, stage, start_seconds, end_seconds))
        return item.unit if item else None

    def units(self, video_id: str | None = None, stage: str | None = None) -> list[Unit]:
        """Live units, by video, stage and start; of one video or one stage where given."""
        return [item.unit for item in self.select(video_id, stage)]

    def select(self, video_id: str | None = None, stage: str | None = None) -> list[LiveUnit]:
        """As `units`, each with its commit."""
        if video_id is not None and stage is not None:
            return list(self._groups.get((video_id, stage), ()))
        return [
            item
            for item in self.items
            if video_id in (None, item.unit.video_id) and stage in (None, item.unit.stage)
        ]

    def videos(self, stage: str | None = None) -> list[str]:
        """Videos that have a live unit (of that stage), sorted."""
        return sorted({group[0] for group in self._groups if stage in (None, group[1])})

    def banks(self) -> list[str]:
        """Banks that have a live unit, sorted."""
        return sorted({bank for _, stage in self._groups if (bank := bank_of(stage)) is not None})

    def visible(self, table: str) -> list[VisibleFile]:
        """Files of a table that hold live lines, by path, each with the videos that count."""
        return list(self._visible.get(f"table:{table}", ()))

    def files(self, table: str) -> list[FileEntry]:
        """Files of a table that hold live lines, by path."""
        return [visible.entry for visible in self.visible(table)]

    def all_files(self) -> list[FileEntry]:
        """Every table file and bank group with something live in it, by path."""
        found = [file.entry for group in self._visible.values() for file in group]
        return sorted(found, key=lambda entry: entry.path)

    def fingerprint(self) -> dict[tuple[str, str, float, float], tuple[str, tuple[str, ...]]]:
        """Span of each live unit -> its key and the digests of its files, by kind and name.

        Free of runs, attempts, sequences and clocks: equal for a disturbed and an undisturbed run.
        """
        return {item.unit.span: (item.unit.key, _digests(item.commit.files)) for item in self.items}


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


def _live_of(group: Iterable[LiveUnit], digest: str) -> tuple[LiveUnit, ...]:
    covered, live = _Covered(), []
    for item in sorted(group, key=lambda item: item.order, reverse=True):
        start, end = item.unit.start_seconds, item.unit.end_seconds
        if not covered.overlaps(start, end) and item.unit.digest in (digest, ANY_CONTENT):
            live.append(item)
        covered.add(start, end)
    return tuple(sorted(live, key=lambda item: item.unit.start_seconds))


def _digests(files: Iterable[FileEntry]) -> tuple[str, ...]:
    ordered = sorted(files, key=lambda entry: (entry.kind, entry.name, entry.sha256))
    return tuple(entry.sha256 for entry in ordered)
