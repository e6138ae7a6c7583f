"""One number for each frame, from which `decide` later finds the cuts of the whole film.

The arithmetic is PySceneDetect's own (0.7); this file only shows it what its own scene manager
and PyAV back end would: the picture as coded (not turned upright), shrunk by its rule to 256
pixels on the long side with bilinear interpolation, channels in the order blue, green, red.
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect.common import FrameTimecode, Interpolation
from scenedetect.detectors import ContentDetector, HistogramDetector
from scenedetect.scene_manager import compute_downscale_factor

from reelbank.pipeline.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    ContentWeights,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)

_BILINEAR: int = Interpolation.LINEAR.value
_NO_TIME = FrameTimecode(0, 1.0)
"""A time where PySceneDetect asks for one only to label statistics that are not kept."""


class ShotScorer(Protocol):
    """Turns frames, shown in presentation order, into scores."""

    def score(self, rgb: NDArray[np.uint8]) -> float | None:
        """Score of the next frame (height, width, 3; upright, full size), compared with the one
        shown before.

        None where there is none to compare with, or where the frame has another size than the
        video (PySceneDetect leaves such a frame out; so does `decide`). A part of a film first
        shows the last frame of the part before and drops that answer.
        """
        ...


def build_scorer(config: ShotConfig, width: int, height: int, rotation: int = 0) -> ShotScorer:
    """Scorer for upright frames of this size, `rotation` being the counter-clockwise degrees by
    which they were turned to stand so.
    """
    view = _View(width=width, height=height, rotation=rotation)
    match config:
        case AdaptiveConfig() | ContentConfig():
            return _ContentScorer(view, config.weights)
        case ThresholdConfig():
            return _BrightnessScorer(view)
        case HistogramConfig():
            return _HistogramScorer(view, config.bins)


class _View:
    """The frame as PySceneDetect's scene manager would hand it to a detector."""

    def __init__(self, *, width: int, height: int, rotation: int) -> None:
        if rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation={rotation} is no quarter turn; use 0, 90, 180 or 270")
        if width < 1 or height < 1:
            raise ValueError(f"a frame of {width}x{height} pixels has no picture; check the probe")
        self._upright_shape = (height, width, 3)
        self._quarter_turns_back = -rotation // 90
        coded_width, coded_height = (width, height) if rotation % 180 == 0 else (height, width)
        factor = compute_downscale_factor(max(width, height))
        self._size = (
            (max(1, round(coded_width / factor)), max(1, round(coded_height / factor)))
            if factor > 1.0
            else None
        )

    def image(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Small picture in the order blue, green, red; None for a frame of another size."""
        if rgb.shape != self._upright_shape:
            return None
        coded = np.ascontiguousarray(np.rot90(rgb, self._quarter_turns_back))
        # Resized before the channels are swapped: the same values, on far fewer pixels.
        small = (
            coded if self._size is None else cv2.resize(coded, self._size, interpolation=_BILINEAR)
        )
        return np.ascontiguousarray(small[..., ::-1], dtype=np.uint8)


class _ContentScorer:
    """Mean difference in hue, saturation, brightness and edges (content and adaptive)."""

    def __init__(self, view: _View, weights: ContentWeights) -> None:
        self._view = view
        self._is_first = True
        self._detector = ContentDetector(
            weights=ContentDetector.Components(
                delta_hue=weights.hue,
                delta_sat=weights.saturation,
                delta_lum=weights.luma,
                delta_edges=weights.edges,
            )
        )

    def score(self, rgb: NDArray[np.uint8]) -> float | None:
        image = self._view.image(rgb)
        if image is None:
            return None
        # Its public way to this number keeps statistics of every frame and always finds edges.
        difference = self._detector._calculate_frame_score(_NO_TIME, image)
        is_first, self._is_first = self._is_first, False
        return None if is_first else float(difference)


class _BrightnessScorer:
    """Mean of all channels (threshold); every frame has one."""

    def __init__(self, view: _View) -> None:
        self._view = view

    def score(self, rgb: NDArray[np.uint8]) -> float | None:
        image = self._view.image(rgb)
        return None if image is None else float(np.mean(image))


class _HistogramScorer:
    """Correlation of luma histograms (histogram)."""

    def __init__(self, view: _View, bins: int) -> None:
        self._view = view
        self._bins = bins
        self._last: NDArray[np.float32] | None = None

    def score(self, rgb: NDArray[np.uint8]) -> float | None:
        image = self._view.image(rgb)
        if image is None:
            return None
        histogram = HistogramDetector.calculate_histogram(image, bins=self._bins)
        last, self._last = self._last, histogram
        if last is None:
            return None
        return float(cv2.compareHist(last, histogram, cv2.HISTCMP_CORREL))
