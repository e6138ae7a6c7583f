"""Times that are looked at, and the frame on screen at each."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.pipeline.decode.sampling import TIME_TOLERANCE, OnScreen, clip_times, key_times


@dataclass(frozen=True)
class Shown:
    time: float


@given(
    step=st.sampled_from([1.0, 0.5, 0.1, 1 / 3, 1001 / 30000]),
    bounds=st.lists(st.floats(0, 50), min_size=2, max_size=8).map(sorted),
)
def test_key_times_of_neighbouring_spans_tile_the_key_times_of_the_whole(step, bounds):
    parts = [key_times(a, b, step) for a, b in pairwise(bounds)]
    whole = key_times(bounds[0], bounds[-1], step)
    assert np.array_equal(np.concatenate(parts), whole)
    numbers = np.rint(whole / step)
    assert np.array_equal(whole, numbers * step)
    assert np.array_equal(np.diff(numbers), np.ones(max(len(whole) - 1, 0)))


def test_key_times_are_half_open():
    assert key_times(0.0, 3.0, 1.0).tolist() == [0.0, 1.0, 2.0]
    assert key_times(0.1, 0.3, 0.1).tolist() == [0.1, 0.2]
    assert key_times(5.0, 5.0, 1.0).tolist() == []
    with pytest.raises(ValueError, match="step=0"):
        key_times(0.0, 1.0, 0)


def test_a_clip_of_8x8_at_30_hz_spans_64_grid_steps_with_the_key_time_in_its_middle():
    times = clip_times(10.0, num_frames=8, stride=8, rate=30.0)
    assert times[4] == 10.0
    np.testing.assert_allclose(np.diff(times), 8 / 30)
    assert times[0] == pytest.approx(10 - 32 / 30)


def on_screen(stamps, requested):
    """The frames that a schedule answers, by number of the request."""
    schedule = OnScreen([(time, number) for number, time in enumerate(requested)])
    answers = [answer for stamp in stamps for answer in schedule.push(Shown(stamp))]
    answers += schedule.finish()
    assert schedule.pending == (0 if stamps else len(requested))
    return answers


@given(
    stamps=st.lists(st.integers(0, 400), min_size=1, unique=True).map(sorted),
    requested=st.lists(st.integers(-50, 500)).map(sorted),
)
def test_each_request_gets_the_last_frame_at_or_before_it_or_the_end_frame(stamps, requested):
    stamps = [stamp / 25 for stamp in stamps]
    requested = [time / 25 for time in requested]
    answers = on_screen(stamps, requested)
    assert [number for number, _ in answers] == list(range(len(requested)))
    for number, frame in answers:
        before = [stamp for stamp in stamps if stamp <= requested[number] + TIME_TOLERANCE]
        assert frame.time == (before[-1] if before else stamps[0])


def test_rounding_does_not_move_a_request_to_the_frame_before():
    third = 1 / 3
    assert on_screen([0.0, third], [third - 1e-9])[0][1].time == third


def test_a_request_is_answered_as_soon_as_the_next_frame_arrives():
    schedule = OnScreen([(0.05, "a"), (0.05, "b"), (0.2, "c")])
    assert schedule.push(Shown(0.0)) == []
    assert schedule.push(Shown(0.1)) == [("a", Shown(0.0)), ("b", Shown(0.0))]
    assert schedule.pending == 1
    assert schedule.finish() == [("c", Shown(0.1))]


def test_without_frames_nothing_is_answered_and_falling_times_are_refused():
    assert on_screen([], [1.0]) == []
    with pytest.raises(ValueError, match="rise"):
        OnScreen([(1.0, "a"), (0.5, "b")])
