"""The cuts of a whole film, decided once from the scores of all its frames in order.

Minimum lengths and rolling means have no bounded memory, so a part of a film cannot decide its own
cuts. The rules are PySceneDetect's own detectors (0.7), fed with scores in place of pictures;
times are handed over as stamps, because it compares those exactly and counts frames from them.
"""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detector import FlashFilter, SceneDetector
from scenedetect.detectors import AdaptiveDetector, ContentDetector, ThresholdDetector

from reelbank.pipeline.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)
from reelbank.stores.records import Shot


def shots_from_scores(
    times: NDArray[np.float64],
    scores: NDArray[np.float64],
    config: ShotConfig,
    *,
    rate: Fraction,
    time_base: Fraction,
    end_seconds: float,
) -> list[Shot]:
    """Split a film of n frames into shots that cover it without gaps.

    `times` (n,) are the presentation times, rising; `scores` (n,) come from a `ShotScorer` (nan: no
    score; past the first frame it means that the frame is left out). `rate` is FFmpeg's guess of
    the stream's frame rate, in which PySceneDetect counts minimum lengths, and `time_base` the
    length of a tick of its stamps (for a counted clock: 1 / rate). The last shot ends at
    `end_seconds`, or at the last frame's time if that is later.
    """
    if times.shape != scores.shape or times.ndim != 1:
        raise ValueError(
            f"{times.shape} times and {scores.shape} scores are not one for each frame"
        )
    if rate <= 0 or time_base <= 0:
        raise ValueError(f"rate={rate} and time_base={time_base} must both be above 0")
    if len(times) == 0:
        return []
    cuts = _cut_frames(times, scores, config, rate=rate, time_base=time_base)
    starts = [0, *cuts]
    ends = [*cuts, len(times)]
    film_end = max(end_seconds, float(times[-1]))
    return [
        Shot(
            start_seconds=float(times[start]),
            end_seconds=float(times[end]) if end < len(times) else film_end,
            start_frame=start,
            end_frame=end,
        )
        for start, end in zip(starts, ends, strict=True)
    ]


def _cut_frames(
    times: NDArray[np.float64],
    scores: NDArray[np.float64],
    config: ShotConfig,
    *,
    rate: Fraction,
    time_base: Fraction,
) -> list[int]:
    """Indices of the frames that begin a new shot, rising, without the film's first."""
    ticks = np.rint(times / float(time_base)).astype(np.int64)
    timecodes = [
        FrameTimecode(Timecode(pts=int(tick), time_base=time_base), fps=rate) for tick in ticks
    ]
    frame_numbers = np.array([timecode.frame_num for timecode in timecodes])
    cuts = set()
    for cut in _cuts(timecodes, scores, _detector(config)):
        if cut.time_base == time_base:
            cuts.add(int(np.searchsorted(ticks, cut.pts)))
        else:  # A place between two frames of a fade, in frames at the nominal rate.
            cuts.add(int(np.searchsorted(frame_numbers, cut.frame_num)))
    return sorted(cuts - {0, len(times)})


def _cuts(
    timecodes: list[FrameTimecode], scores: NDArray[np.float64], detector: SceneDetector
) -> Iterator[FrameTimecode]:
    for index, (timecode, score) in enumerate(zip(timecodes, scores, strict=True)):
        if index == 0 or not np.isnan(score):
            # A picture of one value: its mean is that value.
            yield from detector.process_frame(timecode, np.array([score]))
    yield from detector.post_process(timecodes[-1])


def _detector(config: ShotConfig) -> SceneDetector:
    min_length = (
        config.min_shot_frames if config.min_shot_seconds is None else config.min_shot_seconds
    )
    match config:
        case AdaptiveConfig():
            return _AdaptiveFromScores(
                adaptive_threshold=config.threshold,
                min_scene_len=min_length,
                window_width=config.window_width,
                min_content_val=config.min_content,
            )
        case ContentConfig():
            return _ContentFromScores(
                threshold=config.threshold,
                min_scene_len=min_length,
                filter_mode=FlashFilter.Mode[config.close_cuts.upper()],
            )
        case ThresholdConfig():
            method = ThresholdDetector.Method
            return ThresholdDetector(
                threshold=config.threshold,
                min_scene_len=min_length,
                fade_bias=config.fade_bias,
                add_final_scene=config.add_final_shot,
                method=method.FLOOR if config.faded_out == "below" else method.CEILING,
            )
        case HistogramConfig():
            return _HistogramFromScores(threshold=config.threshold, min_length=min_length)


class _ScoreInsteadOfPicture:
    """Put before a content detector: the 'picture' is its own difference score."""

    def _calculate_frame_score(
        self, timecode: FrameTimecode, frame_img: NDArray[np.float64]
    ) -> float:
        score = float(frame_img[0])
        return 0.0 if np.isnan(score) else score  # The first frame differs from nothing.


class _ContentFromScores(_ScoreInsteadOfPicture, ContentDetector):  # type: ignore[misc]  # untyped package
    """PySceneDetect's content rule on given scores."""


class _AdaptiveFromScores(_ScoreInsteadOfPicture, AdaptiveDetector):  # type: ignore[misc]  # untyped package
    """PySceneDetect's adaptive rule on given scores."""


class _HistogramFromScores(SceneDetector):  # type: ignore[misc]  # untyped package
    """The rule inside PySceneDetect's `HistogramDetector`, which cannot be had without pictures."""

    def __init__(self, *, threshold: float, min_length: int | float) -> None:
        super().__init__()
        self._max_correlation = 1.0 - threshold
        self._min_length = min_length
        self._last_cut: FrameTimecode | None = None

    def process_frame(
        self, timecode: FrameTimecode, frame_img: NDArray[np.float64]
    ) -> list[FrameTimecode]:
        if self._last_cut is None:
            self._last_cut = timecode
        # A first frame's nan is not below anything.
        is_cut = float(frame_img[0]) <= self._max_correlation
        if is_cut and timecode - self._last_cut >= self._min_length:
            self._last_cut = timecode
            return [timecode]
        return []
