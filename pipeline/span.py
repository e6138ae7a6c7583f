"""One span of one video: decoded once, shown to every stage that lacks it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.consumers import (
    Clip,
    ClipFeatures,
    DetectionRows,
    KeyFrame,
    Pixels,
    ScoreRows,
)
from reelbank.pipeline.conveyor import Conveyor
from reelbank.pipeline.decode.reader import Damaged, Frame, LostSpan, PyAVReader
from reelbank.pipeline.decode.sampling import TIME_TOLERANCE, OnScreen, key_times
from reelbank.pipeline.decode.transforms import resize_short_side
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.models import Models
from reelbank.pipeline.plan import Span
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.shots.scorer import build_scorer
from reelbank.pipeline.stored import StoredDetections
from reelbank.stores.records import Detections
from reelbank.stores.stages import bank_of

FRAMES_WAITING = 4
"""Full-size frames that may wait for a stage; what bounds the memory of a slow one."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody wants a frame."""

    number: int
    """Number of the key time for which it is wanted."""
    time: float
    """That key time, in seconds."""
    backbone: str | None
    """The 3D CNN whose clip it belongs to; None for the detector."""


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What decoding a span met; frames are counted inside the span alone."""

    frames: int = 0
    corrupt_frames: int = 0
    first_seconds: float | None = None
    end_seconds: float | None = None
    """Time of the last frame plus its duration; None for an empty span."""
    lost: tuple[LostSpan, ...] = ()
    frames_decoded: int = 0
    """All frames that left the decoder, with those that overlap the neighbours."""
    frames_used: int = 0
    """Frames that some stage looked at."""


@dataclass(slots=True)
class SpanOutput:
    """What the stages made of one span, in memory until its part is written."""

    report: DecodeReport = field(default_factory=DecodeReport)
    score_times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Key times inside the span."""
    detections: list[Detections] = field(default_factory=list)
    """One record for each key time."""
    rows: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    """For each bank one (n, dim) array for each key time."""


def nothing_of(span: Span, stages: Sequence[str], error: str) -> SpanOutput:
    """What the stages make of a span of which no frame can be had."""
    end = min(span.end_seconds, span.info.end_seconds)
    lost = LostSpan(span.start_seconds, max(end, span.start_seconds), error)
    output = SpanOutput(report=DecodeReport(lost=(lost,)))
    output.rows = {bank: [] for stage in stages if (bank := bank_of(stage)) is not None}
    return output


def extract_span(
    span: Span,
    stages: Sequence[str],
    *,
    models: Models,
    settings: ExtractSettings,
    stored: StoredDetections | None,
) -> SpanOutput:
    """Decode `span` once and feed `stages`.

    `stored` holds the detections of an earlier run, for RoI banks that are added later. A span in
    which several threads of the decoder meet damage is decoded again on one: with several the
    frames that survive would depend on timing.
    """
    try:
        consumers = _consumers(span, stages, models=models, settings=settings, stored=stored)
        return _Feed(span, settings, consumers).run(threads=settings.decode.threads)
    except Damaged:
        consumers = _consumers(span, stages, models=models, settings=settings, stored=stored)
        return _Feed(span, settings, consumers).run(threads=1)


@dataclass(frozen=True, slots=True)
class _Consumers:
    """The stages that look at the frames of one span."""

    scores: ScoreRows | None
    detections: DetectionRows | None
    clips: dict[str, ClipFeatures]
    """By the name of the 3D CNN."""


def _consumers(
    span: Span,
    stages: Sequence[str],
    *,
    models: Models,
    settings: ExtractSettings,
    stored: StoredDetections | None,
) -> _Consumers:
    wanted = {bank_of(stage) for stage in stages}
    banks = {name: bank for name, bank in settings.banks.items() if name in wanted}
    objects = {name: bank for name, bank in banks.items() if bank.kind == "object"}
    scores = None
    if "scores" in stages and settings.shots is not None:
        info = span.info
        scores = ScoreRows(build_scorer(settings.shots, info.width, info.height, info.rotation))
    detections = None
    if "detections" in stages or objects:
        detections = DetectionRows(
            models.detector(),
            objects,
            batch_size=settings.resources.detector_batch,
            moment_of=lambda number: Moment(span.info.video_id, number * settings.key_step_seconds),
            check=None if stored is None else stored.check,
        )
    clips = {}
    for name, backbone in settings.backbones.items():
        fed = {
            key: bank for key, bank in banks.items() if bank.backbone == name and key not in objects
        }
        if fed:
            clips[name] = ClipFeatures(
                models.backbone(name),
                backbone.resolved(),
                fed,
                _detections_at(detections, stored),
                settings.resources.device,
            )
    return _Consumers(scores, detections, clips)


def _detections_at(
    detections: DetectionRows | None, stored: StoredDetections | None
) -> Callable[[int], Detections]:
    """Whom clips ask for detections: the store where it has them, else the detector at work."""
    if stored is not None:
        return stored.at
    if detections is not None:
        return detections.wait_for
    return _no_detections


def _no_detections(number: int) -> Detections:
    raise AssertionError(f"no bank asked for detections, but key time number {number} did")


class _Feed:
    """The stages of one span and the schedule of frames that they wait for."""

    def __init__(self, span: Span, settings: ExtractSettings, consumers: _Consumers) -> None:
        self.span, self.settings = span, settings
        self.scores, self.detections = consumers.scores, consumers.detections
        self.clips = consumers.clips
        # An open end is closed where the packets end; times after the last frame are dropped.
        step = settings.key_step_seconds
        self.times = key_times(
            span.start_seconds, min(span.end_seconds, span.info.end_seconds + step), step
        )
        self.schedule: OnScreen[Frame, Request] = OnScreen(self._requests())
        self.slots: dict[tuple[str, int], list[Pixels]] = {}
        self.whole: list[tuple[Request, Clip]] = []
        """Clips that have all their frames, but whose key time may lie after the last frame."""
        self.served: Frame | None = None
        self.sizes: dict[int, Pixels] = {}
        """The frame served last, by short side."""

    def _requests(self) -> list[tuple[float, Request]]:
        """Every time at which some stage wants the frame on screen, rising, with who wants it."""
        numbers = np.rint(self.times / self.settings.key_step_seconds).astype(int).tolist()
        wanted: list[tuple[float, Request]] = []
        for number, time in zip(numbers, self.times.tolist(), strict=True):
            if self.detections is not None:
                wanted.append((time, Request(number, time, None)))
            for name, stage in self.clips.items():
                samples = stage.settings.sample_times(time, self.span.info.rate)
                wanted += [(sample, Request(number, time, name)) for sample in samples]
        return sorted(wanted, key=itemgetter(0))

    def run(self, *, threads: int) -> SpanOutput:
        """Decode and feed; the stages work on threads of their own, behind bounded queues.

        Raises Damaged where the decoder uses several threads and reports damage.
        """
        self.belts: dict[str | None, Conveyor[Any]] = {}
        try:
            report, last = self._feed(threads)
            self._drain()
        except BaseException as error:
            # Clips that wait for a detection fail after the detector did; its error is the cause.
            first = error if self.detections is None else self.detections.fail(error)
            for belt in self.belts.values():
                belt.abandon()
            if first is not error:
                raise first from None
            raise
        return self._output(report, last)

    def _open_belts(self) -> None:
        if self.scores is not None:
            self.belts["scores"] = Conveyor("scores", self.scores.consume, capacity=FRAMES_WAITING)
        if self.detections is not None:
            self.belts["detections"] = Conveyor(
                "detections", self.detections.consume, capacity=FRAMES_WAITING
            )
        for name, stage in self.clips.items():
            # Clips wait for the detections of a whole batch of later key frames: with less room
            # the decoder would wait for the clips, and the detector for the decoder.
            room = stage.settings.batch_size + self.settings.resources.detector_batch + 2
            self.belts[f"clips:{name}"] = Conveyor(f"clips:{name}", stage.consume, capacity=room)

    def _feed(self, threads: int) -> tuple[DecodeReport, float | None]:
        """Show every frame to those who want it; the report, and the time of the last frame."""
        self._open_belts()
        span = self.span
        count = _Count(span)
        previous: Frame | None = None
        with PyAVReader(
            span.info.source,
            span.info,
            start_pts=span.start_pts,
            threads=threads,
            stop_on_damage=True,
        ) as reader:
            for frame in reader:
                is_wanted = self.schedule.pending or self.whole
                if frame.time >= span.end_seconds and not is_wanted:
                    break
                count.see(frame)
                self._show_to_scorer(frame, previous)
                self._serve(self.schedule.push(frame), count)
                self._send_clips(frame.time)
                previous = frame
            last = None if previous is None else previous.time
            # Key times after the last frame do not exist; clips that reach past it repeat it.
            rest = self.schedule.finish()
            if last is not None:
                self._serve([one for one in rest if _exists(one[0].time, last)], count)
                self._send_clips(last)
            return count.report(reader, scored=self.scores is not None), last

    def _show_to_scorer(self, frame: Frame, previous: Frame | None) -> None:
        if self.scores is None or not self.span.holds(frame.time):
            return
        belt = self.belts["scores"]
        if previous is not None and not self.span.holds(previous.time):
            belt.put((None, previous.rgb))
        belt.put((frame.time, frame.rgb))

    def _serve(self, resolved: Sequence[tuple[Request, Frame]], count: "_Count") -> None:
        """Hand frames to those who asked, each size made once."""
        for request, frame in resolved:
            if frame is not self.served:
                self.served, self.sizes = frame, {}
                count.use(frame)
            if request.backbone is None:
                self.belts["detections"].put(KeyFrame(request.number, frame.rgb))
                continue
            settings = self.clips[request.backbone].settings
            frames = self.slots.setdefault((request.backbone, request.number), [])
            frames.append(self._resized(frame, settings.short_side))
            if len(frames) == settings.num_frames:
                del self.slots[request.backbone, request.number]
                self.whole.append((request, Clip(request.number, frames)))

    def _resized(self, frame: Frame, short_side: int | None) -> Pixels:
        assert short_side is not None
        if short_side not in self.sizes:
            self.sizes[short_side] = resize_short_side(frame.rgb, short_side)
        return self.sizes[short_side]

    def _send_clips(self, seen_until: float) -> None:
        """Send the clips whose key time has come: a clip of one frame is whole before that."""
        whole, self.whole = self.whole, []
        for request, clip in whole:
            if _exists(request.time, seen_until):
                self.belts[f"clips:{request.backbone}"].put(clip)
            else:
                self.whole.append((request, clip))

    def _drain(self) -> None:
        """Wait for every stage; detections first, because clips wait for them."""
        for name, belt in self.belts.items():
            belt.close()
            if name == "detections" and self.detections is not None:
                self.detections.finish()
        for stage in self.clips.values():
            stage.flush()

    def _output(self, report: DecodeReport, last: float | None) -> SpanOutput:
        times = self.times[self.times <= (-1.0 if last is None else last + TIME_TOLERANCE)]
        numbers = np.rint(times / self.settings.key_step_seconds).astype(int).tolist()
        output = SpanOutput(report=report, times=times)
        if self.scores is not None:
            output.score_times = np.array(self.scores.times, np.float64)
            output.scores = np.array(self.scores.scores, np.float64)
        if self.detections is not None:
            output.detections = [self.detections.found[number] for number in numbers]
        for stage in [self.detections, *self.clips.values()]:
            for name, rows in stage.rows.items() if stage is not None else ():
                output.rows[name] = [rows[number] for number in numbers]
        return output


def _exists(key_time: float, last: float) -> bool:
    """Whether a key time lies in a video whose last frame comes at `last`."""
    return key_time <= last + TIME_TOLERANCE


class _Count:
    """Counts frames inside the span."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.frames = self.corrupt = self.used = 0
        self.first: float | None = None

    def see(self, frame: Frame) -> None:
        """Count one frame."""
        if self.span.holds(frame.time):
            self.first = frame.time if self.first is None else self.first
            self.frames += 1
            self.corrupt += frame.corrupt

    def use(self, frame: Frame) -> None:
        """Count one frame that some stage looks at."""
        self.used += self.span.holds(frame.time)

    def report(self, reader: PyAVReader, *, scored: bool) -> DecodeReport:
        """What the reader and the counts tell; a scorer has looked at every frame."""
        end = None
        if self.frames and reader.end_seconds is not None:
            end = min(reader.end_seconds, self.span.end_seconds)
        return DecodeReport(
            frames=self.frames,
            corrupt_frames=self.corrupt,
            first_seconds=self.first,
            end_seconds=end,
            lost=tuple(one for one in reader.lost if self.span.holds(one.start_seconds)),
            frames_decoded=reader.num_decoded,
            frames_used=self.frames if scored else self.used,
        )
