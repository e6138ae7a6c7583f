"""Compaction: many small table files become few large ones, and lines of removed videos go.

Each line is written anew seldom: files are merged with those of about their size, and only where
many have gathered. What is written is committed as moved units, so that a reader sees the old
files or the new ones, and whatever was committed in the meantime counts before both. The old files
stay until `collect` takes them.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from reelbank.stores.care.merging import LineReader
from reelbank.stores.care.moving import write_moved
from reelbank.stores.care.tenants import Tenants
from reelbank.stores.commits import Commit
from reelbank.stores.history import History
from reelbank.stores.live import LiveSet, LiveUnit
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.stages import bank_of, label_set_of
from reelbank.stores.store import Store

TARGET_BYTES = 128 << 20
"""About the size of the table files that one compacted commit names."""

SMALL_BYTES = TARGET_BYTES // 2
"""From this size on the files of a commit stay as they are."""

MAX_UNITS = 4096
"""Units of one compacted commit, so that a commit is quickly read."""

FAN_IN = 16
"""So many commits of about one size gather before they are merged unasked."""

SMALL_GROUP_BYTES = 32 << 20
"""Bank groups below this size are merged where that is asked for."""

_LEVEL_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did."""

    commits_before: int = 0
    """Commits whose live work was moved."""
    commits_after: int = 0
    """Commits that hold it now."""
    num_bytes: int = 0
    """Bytes written."""
    problems: tuple[str, ...] = ()
    """A sentence for each commit that could not be made; what it would have held is as before."""


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A commit with live units."""

    commit: Commit
    items: tuple[LiveUnit, ...]
    """Its live units."""
    holds_removed: bool
    """Whether its files hold lines of a video that was removed."""

    @property
    def num_bytes(self) -> int:
        """Of its table files."""
        return sum(entry.num_bytes for entry in self.commit.files if entry.kind == "table")

    @property
    def live_share(self) -> float:
        """Share of its lines that count."""
        total = sum(unit.num_rows + 1 for unit in self.commit.units)
        return sum(item.unit.num_rows + 1 for item in self.items) / total

    @property
    def is_small(self) -> bool:
        """Whether it is worth merging with others."""
        return self.num_bytes < SMALL_BYTES and len(self.items) < MAX_UNITS // 2

    @property
    def must_go(self) -> bool:
        """Whether it is written anew even by itself."""
        mostly_dead = self.num_bytes >= SMALL_BYTES and self.live_share < 0.5
        return self.holds_removed or mostly_dead

    @property
    def level(self) -> int:
        """Sizes of one level are within a factor of `FAN_IN`."""
        return int(math.log(max(1.0, self.num_bytes / _LEVEL_BYTES), FAN_IN))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a compaction is to do."""

    everything: bool
    """Merge all that is small, not only where many have gathered."""
    banks: bool
    """Merge small bank groups, too."""


def compact(store: Store, *, banks: bool = False) -> CompactReport:
    """Merge all small table files and rewrite what holds removed videos; `banks`: groups, too.

    Otherwise the rows of a bank stay in their groups, but for groups that hold something dead and
    whose commit is rewritten.
    """
    return _compact(store, _Wish(everything=True, banks=banks))


def compact_if_due(store: Store) -> CompactReport:
    """Merge table files of about one size where many have gathered; cheap where none have."""
    live = store.live()
    counts = (
        sum(one.entry.num_bytes < SMALL_BYTES for one in live.visible(table)) for table in SCHEMAS
    )
    if max(counts) < FAN_IN:
        return CompactReport()
    return _compact(store, _Wish(everything=False, banks=False))


def _compact(store: Store, wish: _Wish) -> CompactReport:
    live, tenants = store.live(), Tenants.of_dead(store.columns())
    before: set[str] = set()
    after = num_bytes = 0
    problems: list[str] = []
    with LineReader(store.files) as reader:
        for stage in live.stages():
            sources = _sources(live, stage, tenants)
            dead = tenants.dead_paths(live, stage) if bank_of(stage) is not None else set()
            merged = _small_groups(sources) if wish.banks and bank_of(stage) is not None else set()
            for items in _outputs(stage, sources, wish, has_groups=bool(merged)):
                try:
                    num_bytes += write_moved(store, items, reader, rewritten=dead | merged)
                except (OSError, ValueError, KeyError, pa.ArrowException) as error:
                    problems.append(f"{stage}: {error}")
                    continue
                before |= {item.commit.name for item in items}
                after += 1
    if after:
        # Commits of thousands of units take long to read one by one.
        history = History(store.files)
        history.refresh()
        history.write_snapshot()
    return CompactReport(len(before), after, num_bytes, tuple(problems))


def _sources(live: LiveSet, stage: str, tenants: Tenants) -> list[_Source]:
    """Commits with live units of a stage, each with all of these."""
    items: dict[str, list[LiveUnit]] = defaultdict(list)
    for item in live.select(stage=stage):
        items[item.commit.name].append(item)
    found = []
    for name in sorted(items):
        commit = items[name][0].commit
        holds_removed = any(entry.path in tenants.removed_paths for entry in commit.files)
        found.append(_Source(commit, tuple(items[name]), holds_removed))
    return found


def _outputs(
    stage: str, sources: Sequence[_Source], wish: _Wish, *, has_groups: bool
) -> list[tuple[LiveUnit, ...]]:
    """Units to be written anew, as the commits that will hold them."""
    forced = [one for one in sources if one.must_go]
    if label_set_of(stage) is not None:
        # The label map belongs to no video: it must not lie in two commits that count.
        is_due = forced or (len(sources) > 1 and wish.everything)
        items = [item for one in sources for item in one.items] if is_due else []
        return [tuple(sorted(items, key=lambda item: item.unit.span))] if items else []
    if has_groups:
        return _layers(sources)
    small = _due([one for one in sources if one.is_small and not one.must_go], wish)
    merged = [items for items in _layers(small) if len({i.commit.name for i in items}) > 1]
    moved = Counter(item.commit.name for items in merged for item in items)
    emptied = sum(moved[one.commit.name] == len(one.items) for one in small)
    # Otherwise nothing is won: the parts of one long film need as many commits as before.
    return _layers(forced) + (merged if len(merged) * 2 <= emptied else [])


def _due(small: list[_Source], wish: _Wish) -> list[_Source]:
    """Those to be merged: of the highest level on which many have gathered, and all below it."""
    if wish.everything:
        return small
    counts = Counter(one.level for one in small)
    full = [level for level, count in counts.items() if count >= FAN_IN]
    return [one for one in small if full and one.level <= max(full)]


def _layers(sources: Iterable[_Source]) -> list[tuple[LiveUnit, ...]]:
    """Units in as few sets as can be, one unit of a video in each, none much above the target.

    The j-th unit of each video goes to the j-th layer, because a commit holds one of each video.
    """
    sizes: dict[str, float] = {}
    items: list[LiveUnit] = []
    for one in sources:
        sizes[one.commit.name] = one.num_bytes * one.live_share / len(one.items)
        items += one.items
    layers: dict[int, list[LiveUnit]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for item in sorted(items, key=lambda item: item.unit.span):
        layers[seen[item.unit.video_id]].append(item)
        seen[item.unit.video_id] += 1
    return [split for layer in layers.values() for split in _split(layer, sizes)]


def _split(items: list[LiveUnit], sizes: Mapping[str, float]) -> list[tuple[LiveUnit, ...]]:
    """Consecutive sets of about equal size, at most `MAX_UNITS` units in each."""
    total = sum(sizes[item.commit.name] for item in items)
    count = max(1, math.ceil(total / TARGET_BYTES), math.ceil(len(items) / MAX_UNITS))
    found: list[list[LiveUnit]] = [[]]
    held = 0.0
    for item in items:
        size = sizes[item.commit.name]
        is_full = held + size / 2 > total / count or len(found[-1]) == MAX_UNITS
        if found[-1] and is_full:
            found.append([])
            held = 0.0
        found[-1].append(item)
        held += size
    return [tuple(one) for one in found]


def _small_groups(sources: Sequence[_Source]) -> set[str]:
    """Small bank groups, where merging them at least halves their number."""
    sizes = {
        entry.path: entry.num_bytes
        for one in sources
        for entry in one.commit.files
        if entry.kind == "bank" and entry.num_bytes < SMALL_GROUP_BYTES
    }
    counts = Counter(item.unit.video_id for one in sources for item in one.items)
    expected = max(counts.values(), default=0) + sum(sizes.values()) // SMALL_GROUP_BYTES
    return set(sizes) if expected * 2 <= len(sizes) else set()
