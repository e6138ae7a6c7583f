"""Videos in, parts of missing work out, each stage with the reason why it is due.

A pure function of the inputs, the recipe and the live set: a rerun after a kill plans the same
parts, less what was committed.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.stages import StageSpec, stage_base
from reelbank.stores.commits import Unit
from reelbank.stores.live import LiveSet
from reelbank.stores.records import VideoInfo


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one video, [start, end); the last one of a video ends at infinity."""

    info: VideoInfo
    start_seconds: float
    end_seconds: float
    start_pts: int | None = None
    """Key frame from which decoding begins; None: the start of the file."""

    def holds(self, seconds: float) -> bool:
        """Whether a time lies inside."""
        return self.start_seconds <= seconds < self.end_seconds

    @property
    def length_seconds(self) -> float:
        """How much film it holds, as far as packets tell."""
        return max(0.0, min(self.end_seconds, self.info.end_seconds) - self.start_seconds)


@dataclass(frozen=True, slots=True)
class Part:
    """Spans that are decoded together and committed together, and the stages that they lack."""

    spans: tuple[Span, ...]
    stages: tuple[str, ...]

    @property
    def length_seconds(self) -> float:
        """How much film it holds."""
        return sum(span.length_seconds for span in self.spans)


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What an extractor tells of a part; the only thing that travels back."""

    committed: tuple[str, ...]
    """Stages that became visible through this call."""
    frames: int
    """Frames inside the spans."""
    frames_decoded: int
    """Frames that left the decoder, with those that overlap neighbouring parts."""
    frames_used: int
    """Frames that a stage looked at."""
    num_bytes: int
    """Bytes written."""
    seconds: float
    """Wall time."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Videos whose parts are all committed, to be decided and committed together."""

    videos: tuple[VideoInfo, ...]
    stages: tuple[str, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """All of each video."""
        return tuple(Span(video, 0.0, math.inf) for video in self.videos)

    @property
    def length_seconds(self) -> float:
        """How much film it holds."""
        return sum(video.end_seconds for video in self.videos)


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one stage of one video, and why."""

    video_id: str
    stage: str
    action: str
    """'reuse' or 'compute'."""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be done."""

    parts: tuple[Part, ...]
    finishes: tuple["Finish", ...]
    decisions: tuple[Decision, ...]

    @property
    def works(self) -> tuple[Part | Finish, ...]:
        """Parts, then finishes."""
        return (*self.parts, *self.finishes)


def grid(length_seconds: float, part_seconds: float) -> list[tuple[float, float]]:
    """Spans of a long video: whole parts, the last one open and between ½ and 1½ parts long."""
    count = max(1, math.floor(length_seconds / part_seconds + 0.5))
    borders = [index * part_seconds for index in range(count)] + [math.inf]
    return list(pairwise(borders))


def packs(videos: Sequence[VideoInfo], part_seconds: float) -> Iterator[tuple[VideoInfo, ...]]:
    """Videos in the given order, short neighbours together up to the length of a part."""
    pack: list[VideoInfo] = []
    held = 0.0
    for video in videos:
        if pack and held + video.end_seconds > part_seconds:
            yield tuple(pack)
            pack, held = [], 0.0
        pack.append(video)
        held += video.end_seconds
    if pack:
        yield tuple(pack)


class _Missing:
    """Finds what each stage of each video lacks, given the live set."""

    def __init__(
        self, specs: Mapping[str, StageSpec], live: LiveSet, part_seconds: float, any_decoder: bool
    ) -> None:
        self.specs = specs
        self.part_seconds = part_seconds
        self.any_decoder = any_decoder
        self.units: dict[tuple[str, str], list[Unit]] = defaultdict(list)
        for unit in live.units():
            self.units[unit.video_id, unit.stage].append(unit)
        self.known_videos = {video_id for video_id, _ in self.units}

    def current(self, video: VideoInfo, stage: str) -> list[Unit]:
        """Live units that hold just what this recipe would compute."""
        which = "any_decoder_base" if self.any_decoder else "base"
        base = stage_base(stage, self.specs, video.digest, any_decoder=self.any_decoder)
        return [
            unit
            for unit in self.units[video.video_id, stage]
            if unit.details.get(which) == base
            and unit.details.get("file", _file(video)) == _file(video)
        ]

    def spans(self, video: VideoInfo, stage: str) -> list[tuple[float, float]]:
        """Spans that a part stage still lacks."""
        cells = (
            [(0.0, math.inf)]
            if video.clock == "counted"
            else grid(video.end_seconds, self.part_seconds)
        )
        covered = [(unit.start_seconds, unit.end_seconds) for unit in self.current(video, stage)]
        return [piece for cell in cells for piece in subtract(cell, covered)]

    def reason(self, video: VideoInfo, stage: str, *, lacking: bool) -> Decision:
        """Why a stage is due, or not."""
        if not lacking:
            return Decision(video.video_id, stage, "reuse", "committed before with the same inputs")
        old = self.units[video.video_id, stage]
        if self.current(video, stage):
            reason = "some spans were not committed"
        elif not old:
            reason = "new stage" if video.video_id in self.known_videos else "new video"
        elif old[0].digest != video.digest:
            reason = "the file's content changed"
        elif old[0].details.get("file", _file(video)) != _file(video):
            reason = "the file was moved or touched"
        else:
            reason = self._changed(stage, old[0])
        return Decision(video.video_id, stage, "compute", reason)

    def _changed(self, stage: str, old: Unit) -> str:
        new = self.specs[stage].ingredients
        was = old.details.get("ingredients", {})
        changed = list(_differences(was, new))
        if changed:
            return "changed: " + ", ".join(changed)
        reads = self.specs[stage].reads
        return (
            f"what it reads changed ({', '.join(reads)})"
            if reads
            else "the code's features_version changed"
        )


def _file(video: VideoInfo) -> list[str | int]:
    return [video.source, video.modified_ns]


def _differences(was: object, now: object, name: str = "") -> Iterator[str]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in sorted(set(was) | set(now)):
            yield from _differences(was.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif was != now and not (
        isinstance(was, list | tuple) and isinstance(now, list | tuple) and list(was) == list(now)
    ):
        yield f"{name} {was} -> {now}"


def subtract(
    span: tuple[float, float], covered: Iterable[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Pieces of `span` that none of `covered` holds, rising."""
    pieces = [span]
    for low, high in covered:
        pieces = [
            piece
            for start, end in pieces
            for piece in ((start, min(end, low)), (max(start, high), end))
            if piece[0] < piece[1]
        ]
    return sorted(pieces)


def plan(
    videos: Sequence[VideoInfo],
    *,
    specs: Mapping[str, StageSpec],
    live: LiveSet,
    part_seconds: float,
    any_decoder: bool = False,
) -> Plan:
    """What is to be done for `videos`, in their order."""
    missing = _Missing(specs, live, part_seconds, any_decoder)
    parts: list[Part] = []
    finishes: list[Finish] = []
    decisions: list[Decision] = []
    for pack in packs(videos, part_seconds):
        stages_of: dict[Span, list[str]] = defaultdict(list)
        unfinished: dict[tuple[str, ...], list[VideoInfo]] = defaultdict(list)
        for video in pack:
            due = _due(video, specs, missing, stages_of)
            decisions += [missing.reason(video, stage, lacking=stage in due) for stage in specs]
            if final := tuple(name for name in specs if name in due and specs[name].is_finish):
                unfinished[final].append(video)
        parts += _parts(stages_of)
        finishes += [Finish(tuple(group), stages) for stages, group in unfinished.items()]
    return Plan(tuple(parts), tuple(finishes), tuple(decisions))


def _due(
    video: VideoInfo,
    specs: Mapping[str, StageSpec],
    missing: _Missing,
    stages_of: dict[Span, list[str]],
) -> set[str]:
    """Stages that `video` lacks; notes in `stages_of` which part stages each span lacks."""
    due: set[str] = set()
    pieces = {
        name: missing.spans(video, name) for name, spec in specs.items() if not spec.is_finish
    }
    # Detections and the RoI banks that read them are cut at each other's borders: a span of a bank
    # then has its detections all in the store, or all from the same pass.
    linked = {read for name in pieces for read in specs[name].reads}
    linked |= {name for name in pieces if specs[name].reads}
    borders = {border for name in linked for span in pieces[name] for border in span}
    for name, spans in pieces.items():
        own = borders if name in linked else ()
        for start, end in (cut for span in spans for cut in _cut(span, own)):
            stages_of[Span(video, start, end)].append(name)
            due.add(name)
    for name, spec in specs.items():
        if spec.is_finish and not missing.current(video, name):
            due.add(name)
    return due


def _cut(span: tuple[float, float], borders: Iterable[float]) -> list[tuple[float, float]]:
    marks = [span[0], *sorted(b for b in borders if span[0] < b < span[1]), span[1]]
    return list(pairwise(marks))


def _parts(stages_of: Mapping[Span, Sequence[str]]) -> list[Part]:
    """Whole short videos that lack the same stages share a part; a long one's span is its own."""
    together: dict[tuple[str, ...], list[Span]] = defaultdict(list)
    parts: list[Part] = []
    for span, stages in stages_of.items():
        if (span.start_seconds, span.end_seconds) == (0.0, math.inf):
            together[tuple(stages)].append(span)
        else:
            parts.append(Part((span,), tuple(stages)))
    return parts + [Part(tuple(spans), stages) for stages, spans in together.items()]


def seek_point(span: Span, keyframe_pts: Sequence[int], settings: ExtractSettings) -> int | None:
    """Last key frame from which everything that `span` needs can be decoded; None: the start.

    Needed are the frames of its first clip and the frame before its first one, which the shot
    score compares with.
    """
    if span.start_seconds == 0:
        return None
    info = span.info
    needed = span.start_seconds - halo_seconds(settings, info.rate)
    sound = [
        pts
        for pts in keyframe_pts
        if (seconds := (pts - info.origin_pts) * info.time_base) <= needed
        and seconds < span.start_seconds
    ]
    return sound[-1] if sound else None


def halo_seconds(settings: ExtractSettings, native_rate: float) -> float:
    """How far before a span its first clip begins."""
    used = {bank.backbone for bank in settings.banks.values() if bank.kind != "object"}
    clips = [settings.backbones[name].resolved() for name in used]
    return max((-clip.sample_times(0.0, native_rate)[0] for clip in clips), default=0.0)
