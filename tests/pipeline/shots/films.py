"""Read a film for ours and run PySceneDetect on the same file for comparison."""

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scenedetect import SceneManager, open_video
from scenedetect.common import FrameTimecode
from scenedetect.detector import SceneDetector
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HistogramDetector,
    ThresholdDetector,
)
from scenedetect.stats_manager import StatsManager

from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.pipeline.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)
from reelbank.pipeline.shots.decide import shots_from_scores
from reelbank.pipeline.shots.scorer import ShotScorer, build_scorer

CONFIGS: dict[str, ShotConfig] = {
    "adaptive": AdaptiveConfig(),
    "content": ContentConfig(),
    "threshold": ThresholdConfig(),
    "histogram": HistogramConfig(),
}
THEIRS = {
    "adaptive": AdaptiveDetector,
    "content": ContentDetector,
    "threshold": ThresholdDetector,
    "histogram": HistogramDetector,
}


@dataclass(frozen=True)
class Film:
    """What our side knows of a file, and the scores of its frames for each detector."""

    times: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]
    rate: Fraction
    time_base: Fraction
    end_seconds: float


def read_film(
    path: Path, configs: dict[str, ShotConfig], *, part_starts: tuple[int, ...] = (0,)
) -> Film:
    """Score a film; at each of `part_starts` new scorers begin, shown the frame before first."""
    info = probe(
        str(path), video_id=path.name, source=str(path), digest="", num_bytes=0, modified_ns=0
    ).info
    # Detectors that read the same scores share a scorer.
    keys = {name: json.dumps(config.scorer_settings()) for name, config in configs.items()}
    distinct = {keys[name]: config for name, config in configs.items()}
    times: list[float] = []
    scores: dict[str, list[float]] = {key: [] for key in distinct}
    scorers: dict[str, ShotScorer] = {}
    last = None
    with PyAVReader(str(path), info, threads=2) as frames:
        for frame in frames:
            if len(times) in part_starts:
                scorers = {
                    key: build_scorer(config, info.width, info.height, info.rotation)
                    for key, config in distinct.items()
                }
                if last is not None:
                    for scorer in scorers.values():
                        scorer.score(last)
            for key, scorer in scorers.items():
                score = scorer.score(frame.rgb)
                scores[key].append(np.nan if score is None else score)
            times.append(frame.time)
            last = frame.rgb
    return Film(
        times=np.array(times),
        scores={name: np.array(scores[key]) for name, key in keys.items()},
        rate=info.nominal_rate,
        time_base=info.time_base,
        end_seconds=info.end_seconds,
    )


@dataclass(frozen=True)
class Theirs:
    """What one PySceneDetect detector made of a film."""

    scores: NDArray[np.float64]
    """As its statistics record them; nan where they record none."""
    cuts: list[int]
    """First frames of new shots."""


class Listening(SceneDetector):
    """A PySceneDetect detector whose own scores and cuts are noted, so that one pass serves all."""

    def __init__(self, detector: SceneDetector) -> None:
        super().__init__()
        self.detector = detector
        self.times: list[FrameTimecode] = []
        self.scores: list[float] = []
        self.cuts: list[FrameTimecode] = []
        if not isinstance(detector, ContentDetector):  # It would look for edges in each picture.
            detector.stats_manager = StatsManager()

    def process_frame(self, timecode, frame_img):
        self.cuts += self.detector.process_frame(timecode, frame_img)
        if isinstance(self.detector, ContentDetector):
            score = self.detector._frame_score if self.times else None
        else:
            key = self.detector.get_metrics()[0]
            score = self.detector.stats_manager.get_metrics(timecode, [key])[0]
        self.scores.append(np.nan if score is None else float(score))
        self.times.append(timecode)
        return []

    def post_process(self, timecode):
        self.cuts += self.detector.post_process(timecode)
        return []

    def result(self) -> Theirs:
        # A cut inside a fade is a frame number at the nominal rate, compared as such.
        starts = [
            next(i for i, time in enumerate(self.times) if time >= cut)
            for cut in sorted(set(self.cuts))
        ]
        return Theirs(np.array(self.scores), [start for start in starts if start > 0])


def pyscenedetect(path: Path, detectors: dict[str, SceneDetector]) -> dict[str, Theirs]:
    """Run PySceneDetect's scene manager with its PyAV back end."""
    listening = {name: Listening(detector) for name, detector in detectors.items()}
    manager = SceneManager()
    for detector in listening.values():
        manager.add_detector(detector)
    manager.detect_scenes(open_video(str(path), backend="pyav"))
    return {name: detector.result() for name, detector in listening.items()}


@cache
def compare(path: Path) -> tuple[Film, dict[str, Theirs]]:
    """Our film and their results with all defaults; read once for all tests of a run."""
    configs = CONFIGS | {"histogram_256": HistogramConfig(bins=256)}
    return read_film(path, configs), pyscenedetect(path, {k: make() for k, make in THEIRS.items()})


def cuts_of(film: Film, name: str, config: ShotConfig) -> list[int]:
    """First frames of all our shots but the first."""
    shots = shots_from_scores(
        film.times,
        film.scores[name],
        config,
        rate=film.rate,
        time_base=film.time_base,
        end_seconds=film.end_seconds,
    )
    return [shot.start_frame for shot in shots][1:]
