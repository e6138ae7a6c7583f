"""Scorers on made pictures; real films are in test_against_pyscenedetect."""

import numpy as np
import pytest

from reelbank.pipeline.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    ContentWeights,
    HistogramConfig,
    ThresholdConfig,
)
from reelbank.pipeline.shots.scorer import build_scorer
from tests.contracts.shot_scorer import HEIGHT, WIDTH, ShotScorerContract


class TestAdaptive(ShotScorerContract):
    def make(self):
        return build_scorer(AdaptiveConfig(), WIDTH, HEIGHT)


class TestContentWithEdges(ShotScorerContract):
    def make(self):
        return build_scorer(ContentConfig(weights=ContentWeights(edges=1.0)), WIDTH, HEIGHT)


class TestThreshold(ShotScorerContract):
    def make(self):
        return build_scorer(ThresholdConfig(), WIDTH, HEIGHT)


class TestHistogramTurned(ShotScorerContract):
    def make(self):
        return build_scorer(HistogramConfig(), WIDTH, HEIGHT, rotation=90)


def flat(*, red: int, green: int, blue: int) -> np.ndarray:
    return np.full((40, 60, 3), (red, green, blue), dtype=np.uint8)


def test_brightness_of_the_first_frame_is_its_mean_over_all_channels():
    scorer = build_scorer(ThresholdConfig(), 60, 40)
    assert scorer.score(flat(red=10, green=20, blue=60)) == 30.0


def test_a_change_from_red_to_blue_is_a_change_of_hue_alone():
    # Hue runs from 0 to 179 in OpenCV: red 0, blue 120; saturation and value stay at 255.
    scorer = build_scorer(AdaptiveConfig(), 60, 40)
    assert scorer.score(flat(red=255, green=0, blue=0)) is None
    assert scorer.score(flat(red=0, green=0, blue=255)) == pytest.approx(120 / 3)


def test_luma_alone_sees_no_change_of_hue():
    weights = ContentWeights(hue=0.0, saturation=0.0)
    scorer = build_scorer(ContentConfig(weights=weights), 60, 40)
    scorer.score(flat(red=255, green=0, blue=0))
    assert scorer.score(flat(red=0, green=0, blue=255)) == 0.0


def test_equal_pictures_have_histograms_with_correlation_one():
    scorer = build_scorer(HistogramConfig(), 60, 40)
    picture = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    scorer.score(picture)
    assert scorer.score(picture) == pytest.approx(1.0)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_has_the_scores_of_its_coded_pictures(rotation):
    random = np.random.default_rng(3)
    coded = random.integers(0, 256, (4, 333, 500, 3), dtype=np.uint8)
    plain = build_scorer(AdaptiveConfig(), 500, 333)
    upright = [np.rot90(picture, rotation // 90) for picture in coded]
    height, width = upright[0].shape[:2]
    turned = build_scorer(AdaptiveConfig(), width, height, rotation)
    assert [turned.score(p) for p in upright] == [plain.score(p) for p in coded]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (255, 3), (257, 257)])
def test_odd_sizes_are_scored(width, height):
    scorer = build_scorer(AdaptiveConfig(), width, height)
    scorer.score(np.zeros((height, width, 3), dtype=np.uint8))
    score = scorer.score(np.full((height, width, 3), 255, dtype=np.uint8))
    assert score == pytest.approx(255 / 3)


def test_a_rotation_that_is_no_quarter_turn_is_refused():
    with pytest.raises(ValueError, match="rotation=45"):
        build_scorer(AdaptiveConfig(), 60, 40, 45)
