"""Two stores side by side: what each covers, what the banks hold, which settings differ.

Settings are told, and rows decide: stores are alike where they cover the same, hold as many lines
of each table, and rows of banks point the same way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reelbank.stores.care.compare_banks import ALIKE_COSINE, BankDifference, compare_bank
from reelbank.stores.live import LiveSet
from reelbank.stores.stages import label_set_of
from reelbank.stores.store import Store

Spans = tuple[tuple[float, float], ...]
"""Disjoint [start, end), rising."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """A stage of a video that covers other times in one store than in the other."""

    video_id: str
    stage: str
    a: Spans
    b: Spans


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that one store says otherwise than the other."""

    path: str
    """Names from the outside in, joined by dots."""
    a: Any
    """None where it is not there."""
    b: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreDifference:
    """Two stores, A and B, side by side."""

    only_a: tuple[str, ...]
    """Videos that A alone has."""
    only_b: tuple[str, ...]
    num_common: int
    """Videos that both have."""
    other_content: tuple[str, ...]
    """Videos that both have, from files with other bytes."""
    coverage: tuple[Coverage, ...]
    """Of videos that both have."""
    lines: Mapping[str, tuple[int, int]]
    """Lines in A and in B of each table, label set ('labels:<name>@<version>') and bank."""
    banks: tuple[BankDifference, ...]
    """Of banks that both have."""
    settings: tuple[Setting, ...]
    """Of the last run, and of each bank that both have; they do not decide whether all is alike."""

    @property
    def is_alike(self) -> bool:
        """Same coverage, as many lines, no row apart and none with a cosine below 0.9999."""
        same_videos = not (self.only_a or self.only_b or self.other_content or self.coverage)
        same_lines = all(a == b for a, b in self.lines.values())
        return same_videos and same_lines and all(bank.is_alike for bank in self.banks)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON; an open end is null."""
        plain = asdict(self)
        plain["coverage"] = [
            {**asdict(one), "a": _plain_spans(one.a), "b": _plain_spans(one.b)}
            for one in self.coverage
        ]
        return {"alike": self.is_alike, "alike_from_cosine": ALIKE_COSINE} | plain


def compare(a: Store, b: Store) -> StoreDifference:
    """Compare what counts now in two stores; rows are read a block at a time."""
    a, b = a.frozen(), b.frozen()
    in_a, in_b = a.live(), b.live()
    videos_a, videos_b = set(in_a.videos()), set(in_b.videos())
    common = sorted(videos_a & videos_b)
    banks = [name for name in in_a.banks() if name in in_b.banks()]
    pairs = [(a.bank(name), b.bank(name)) for name in banks]
    settings = differences(_last_settings(a), _last_settings(b), "settings")
    for one, other in pairs:
        settings += differences(one.metadata, other.metadata, f"bank:{one.name}")
    return StoreDifference(
        only_a=tuple(sorted(videos_a - videos_b)),
        only_b=tuple(sorted(videos_b - videos_a)),
        num_common=len(common),
        other_content=tuple(one for one in common if _digest(in_a, one) != _digest(in_b, one)),
        coverage=tuple(_coverage(common, in_a, in_b)),
        lines=_both(_num_lines(a), _num_lines(b)),
        banks=tuple(compare_bank(one, other) for one, other in pairs),
        settings=tuple(settings),
    )


def differences(a: Any, b: Any, path: str) -> list[Setting]:
    """Where two plain JSON values differ, mappings name by name."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [
            one
            for name in sorted(a.keys() | b.keys())
            for one in differences(a.get(name), b.get(name), f"{path}.{name}")
        ]
    return [] if a == b else [Setting(path, a, b)]


def _digest(live: LiveSet, video_id: str) -> str:
    """Of the video's bytes; label sets are of any."""
    return max(unit.digest for unit in live.units(video_id))


def _coverage(videos: Iterable[str], a: LiveSet, b: LiveSet) -> Iterable[Coverage]:
    for video_id in videos:
        in_a, in_b = _spans(a, video_id), _spans(b, video_id)
        for stage in sorted(in_a.keys() | in_b.keys()):
            if in_a.get(stage) != in_b.get(stage):
                yield Coverage(video_id, stage, in_a.get(stage, ()), in_b.get(stage, ()))


def _spans(live: LiveSet, video_id: str) -> dict[str, Spans]:
    """Times that each stage covers, however many parts it came in."""
    found: dict[str, list[tuple[float, float]]] = {}
    for unit in live.units(video_id):
        spans = found.setdefault(unit.stage, [])
        start, end = unit.start_seconds, unit.end_seconds
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return {stage: tuple(spans) for stage, spans in found.items()}


def _num_lines(store: Store) -> dict[str, int]:
    live, info = store.live(), store.info()
    banks = {f"bank:{name}": about["rows"] for name, about in info["banks"].items()}
    labels = {
        stage: sum(unit.num_rows for unit in live.units(stage=stage))
        for stage in live.stages()
        if label_set_of(stage) is not None
    }
    return {**info["rows"], **banks, **labels}


def _both(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    names = sorted(a.keys() | b.keys())
    return {name: (a.get(name, 0), b.get(name, 0)) for name in names}


def _last_settings(store: Store) -> Mapping[str, Any]:
    """Settings of the run that began last; none where there was none."""
    last = max(store.runs(), key=lambda run: str(run.get("started") or ""), default=None)
    found = {} if last is None else last.get("settings")
    return found if isinstance(found, Mapping) else {}


def _plain_spans(spans: Spans) -> list[list[float | None]]:
    return [[start, None if end == float("inf") else end] for start, end in spans]
