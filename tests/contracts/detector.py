"""What every detector must hold; a test class for each implementation inherits it."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.config import DetectorConfig
from reelbank.pipeline.detect.protocol import Detector
from reelbank.stores.records import Detections

Frame = NDArray[np.uint8]


def blocks(seed: int, *, height: int = 240, width: int = 320) -> Frame:
    """A picture of coloured blocks of 16 pixels: enough edges for any detector to see things."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), dtype=np.uint8))[:height, :width]


def street(seed: int, *, height: int = 240, width: int = 320) -> Frame:
    """Three people of flat colours before a grey wall: enough for a people detector."""
    random = np.random.default_rng(seed)
    wall = np.linspace(150.0, 200.0, height)[:, None, None]
    frame = wall + random.integers(-8, 9, (height, width, 3))
    rows, columns = np.mgrid[:height, :width]
    for place in range(3):
        tall = height * random.uniform(0.55, 0.75)
        down = (rows - height * random.uniform(0.05, 0.2)) / tall
        across = (columns - width * (place + 0.5) / 3 - random.uniform(-8.0, 8.0)) / tall
        head = across**2 + (down - 0.08) ** 2 < 0.065**2
        trunk = (down > 0.15) & (down < 0.52) & (np.abs(across) < 0.12)
        leg_width = np.abs(np.abs(across) - 0.02 - 0.07 * (down - 0.5))
        legs = (down >= 0.5) & (down < 1.0) & (leg_width < 0.045)
        for part in (head, trunk, legs):
            frame[part] = random.integers(0, 110, 3)
    return frame.clip(0, 255).astype(np.uint8)


def noise(seed: int, *, height: int, width: int) -> Frame:
    """A picture of independent pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(left: Detections, right: Detections) -> None:
    """The two agree to the last bit."""
    for name in ("boxes", "scores", "features", "appearance"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert left.categories == right.categories


def assert_sound(found: Detections, detector: Detector) -> None:
    """Everything that the protocol says of one frame's detections."""
    count = len(found)
    boxes, scores = found.boxes, found.scores
    assert boxes.dtype == np.float32
    assert boxes.shape == (count, 4)
    assert np.all((boxes >= 0.0) & (boxes <= 1.0))
    assert np.all(boxes[:, 2:] > boxes[:, :2])
    assert scores.dtype == np.float32
    assert np.all((scores >= 0.0) & (scores <= 1.0))
    keys = [(-float(score), *map(float, box)) for score, box in zip(scores, boxes, strict=True)]
    assert keys == sorted(keys)
    assert all(isinstance(name, str) and name for name in found.categories)
    assert found.features is not None
    assert found.features.dtype == np.float32
    assert found.features.shape == (count, detector.feature_dim)
    assert np.all(np.isfinite(found.features))
    assert found.appearance is not None
    assert found.appearance.dtype == np.uint8
    assert found.appearance.shape == (count, 48)


class DetectorContract:
    """Give `config` as a fixture of class scope, one that finds something in `street`."""

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls) -> DetectorConfig:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def detector(cls, config: DetectorConfig) -> Detector:
        return build_detector(config)

    @pytest.fixture(scope="class")
    @classmethod
    def frames(cls) -> Sequence[Frame]:
        return [street(seed) for seed in range(3)]

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, detector: Detector, frames: Sequence[Frame]) -> list[Detections]:
        return detector.detect(frames)

    def test_no_frames_give_no_results(self, detector):
        assert detector.detect([]) == []

    def test_something_is_found_and_all_of_it_is_sound(self, detector, found):
        assert len(found) == 3
        assert sum(map(len, found)) > 0
        for detections in found:
            assert_sound(detections, detector)

    def test_a_frame_alone_gives_the_same_as_in_a_batch(self, detector, frames, found):
        for frame, in_batch in zip(frames, found, strict=True):
            (alone,) = detector.detect([frame])
            assert_same(alone, in_batch)

    def test_results_follow_the_order_of_the_frames(self, detector, frames, found):
        backwards = detector.detect(frames[::-1])
        for left, right in zip(backwards, reversed(found), strict=True):
            assert_same(left, right)

    def test_a_second_detector_of_the_same_settings_agrees(self, config, frames, found):
        (again,) = build_detector(config).detect(frames[:1])
        assert_same(again, found[0])

    def test_features_and_colours_differ_between_different_boxes(self, found):
        rows = np.concatenate([detections.features for detections in found])
        assert len(np.unique(rows, axis=0)) > 1

    def test_a_read_only_or_strided_frame_is_as_good_and_stays_as_it_was(
        self, detector, frames, found
    ):
        read_only = frames[0].copy()
        read_only.setflags(write=False)
        bgr = np.ascontiguousarray(frames[0][:, :, ::-1])
        for same in (read_only, bgr[:, :, ::-1]):
            (detections,) = detector.detect([same])
            assert_same(detections, found[0])
        np.testing.assert_array_equal(bgr[:, :, ::-1], frames[0])

    @pytest.mark.parametrize(
        ("height", "width"),
        [(1, 1), (2, 3), (1, 700), (700, 1), (1, 9000), (63, 31), (128, 64), (241, 321)],
    )
    def test_any_size_of_frame_is_taken(self, detector, height, width):
        (detections,) = detector.detect([noise(5, height=height, width=width)])
        assert_sound(detections, detector)

    @pytest.mark.parametrize("level", [0, 127, 255])
    def test_a_frame_of_one_grey_is_taken(self, detector, level):
        (detections,) = detector.detect([np.full((90, 160, 3), level, dtype=np.uint8)])
        assert_sound(detections, detector)
