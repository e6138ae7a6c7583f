"""From scores to shots, on made-up scores."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detectors import HistogramDetector

from reelbank.pipeline.shots.config import AdaptiveConfig, ContentConfig, HistogramConfig
from reelbank.pipeline.shots.decide import shots_from_scores
from reelbank.stores.records import Shot
from tests.pipeline.shots.films import CONFIGS

RATE = Fraction(25)
TICK = Fraction(1, 25)


def decide(scores, config, *, times=None, rate=RATE, time_base=TICK, end_seconds=None):
    scores = np.array(scores, dtype=np.float64)
    times = np.arange(len(scores)) / 25 if times is None else times
    end = len(scores) / 25 if end_seconds is None else end_seconds
    return shots_from_scores(times, scores, config, rate=rate, time_base=time_base, end_seconds=end)


def starts(shots: list[Shot]) -> list[int]:
    return [shot.start_frame for shot in shots]


def jumps(count: int, at: tuple[int, ...]) -> list[float]:
    return [np.nan] + [80.0 if frame in at else 1.0 for frame in range(1, count)]


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_film_without_frames_has_no_shots(kind):
    assert decide([], CONFIGS[kind], end_seconds=0.0) == []


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_film_of_one_frame_is_one_shot(kind):
    assert decide([np.nan], CONFIGS[kind]) == [Shot(0.0, 0.04, 0, 1)]


@pytest.mark.parametrize("config", [AdaptiveConfig(), ContentConfig()])
def test_a_jump_begins_a_shot_at_its_frame(config):
    assert decide(jumps(100, (40,)), config) == [Shot(0.0, 1.6, 0, 40), Shot(1.6, 4.0, 40, 100)]


@pytest.mark.parametrize("config", [AdaptiveConfig(), ContentConfig()])
@pytest.mark.parametrize(("distance", "kept"), [(14, [0, 40]), (15, [0, 40, 55])])
def test_two_cuts_lie_fifteen_frames_apart_at_the_least(config, distance, kept):
    assert starts(decide(jumps(100, (40, 40 + distance)), config)) == kept


def test_a_minimum_in_seconds_is_measured_on_the_clock():
    config = AdaptiveConfig(min_shot_seconds=1.0)
    assert starts(decide(jumps(100, (40, 64)), config)) == [0, 40]
    assert starts(decide(jumps(100, (40, 65)), config)) == [0, 40, 65]


def test_frames_of_the_minimum_length_are_counted_at_the_nominal_rate_not_one_by_one():
    # Every other frame was dropped: 8 pictures last 15 or more frames at 25 Hz.
    times = np.arange(60) * 2 / 25
    shots = decide(jumps(60, (20, 28)), AdaptiveConfig(), times=times, end_seconds=4.8)
    assert starts(shots) == [0, 20, 28]
    assert shots[1].start_seconds == times[20]


def test_a_frame_without_score_is_left_out_of_the_rolling_mean():
    scores = jumps(100, (40,))
    with_gap = [*scores[:38], np.nan, *scores[38:]]
    assert starts(decide(with_gap, AdaptiveConfig())) == [0, 41]


def test_a_fade_is_cut_in_its_middle_and_an_end_in_black_on_request():
    dark = [100.0] * 30 + [0.0] * 10 + [100.0] * 30 + [0.0] * 20
    assert starts(decide(dark, CONFIGS["threshold"])) == [0, 35]
    config = type(CONFIGS["threshold"])(fade_bias=-1.0, add_final_shot=True)
    assert starts(decide(dark, config)) == [0, 30, 70]


def test_the_last_shot_does_not_end_before_its_last_frame():
    assert decide(jumps(50, ()), AdaptiveConfig(), end_seconds=1.0)[-1].end_seconds == 49 / 25


def test_times_and_scores_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="not one for each frame"):
        shots_from_scores(
            np.zeros(3), np.zeros(4), AdaptiveConfig(), rate=RATE, time_base=TICK, end_seconds=1.0
        )


SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0, 13.0, 30.0, 90.0]), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(scores=SCORES, kind=st.sampled_from(sorted(CONFIGS)))
def test_shots_cover_the_film_without_gap_or_overlap(scores, kind):
    shots = decide([np.nan, *scores[1:]] if kind != "threshold" else scores, CONFIGS[kind])
    assert shots[0].start_frame == 0
    assert shots[-1].end_frame == len(scores)
    assert shots[-1].end_seconds == len(scores) / 25
    for shot in shots:
        assert shot.start_frame < shot.end_frame
        assert shot.start_seconds == shot.start_frame / 25
    for before, after in pairwise(shots):
        assert before.end_frame == after.start_frame
        assert before.end_seconds == after.start_seconds


class _GivenCorrelations(HistogramDetector):
    """PySceneDetect's own detector on histograms made so that they correlate as asked."""

    @staticmethod
    def calculate_histogram(frame_img, bins=256, normalize=True):
        return frame_img[0, :, 0].astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    same=st.lists(st.booleans(), min_size=1, max_size=150),
    steps=st.lists(st.integers(1, 4), min_size=150, max_size=150),
)
def test_the_histogram_rule_is_that_of_pyscenedetect(same, steps):
    # Two histograms that are not correlated at all; equal neighbours correlate perfectly.
    which = np.cumsum([0] + [not one for one in same[1:]]) % 2
    pictures = np.array([[1, 0, 1, 0], [1, 1, 0, 0]], dtype=np.uint8)
    ticks = np.cumsum(steps)[: len(same)] - steps[0]
    base = Fraction(1, 50)
    theirs, detector = [], _GivenCorrelations()
    for tick, index in zip(ticks, which, strict=True):
        time = FrameTimecode(Timecode(int(tick), base), RATE)
        picture = np.repeat(pictures[index][None, :, None], 3, axis=2)
        theirs += [cut.pts for cut in detector.process_frame(time, picture)]
    scores = np.array([np.nan] + [float(one) for one in same[1:]])
    shots = decide(
        scores, HistogramConfig(), times=ticks / 50, time_base=base, end_seconds=ticks[-1] / 50
    )
    assert [int(ticks[start]) for start in starts(shots)[1:]] == theirs
