import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank.jobs.reports.clock import clock_text, duration_text, ticks


@settings(deadline=None)
@given(st.integers(3600, 86399))
def test_hours_are_written_as_datetime_writes_them(seconds):
    assert clock_text(float(seconds)) == str(datetime.timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [(0.0, 1.0, "0:00"), (59.6, 1.0, "1:00"), (7.25, 0.05, "0:07.25"), (61.5, 0.5, "1:01.5")],
)
def test_short_times_have_as_many_decimals_as_the_step_needs(seconds, step, text):
    assert clock_text(seconds, step=step) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown length"),
        (0.04, "0.04 s"),
        (58.24, "58.2 s"),
        (185.0, "3 min 05 s"),
        (7261.0, "2 h 01 min"),
    ],
)
def test_lengths_are_written_in_words(seconds, text):
    assert duration_text(seconds) == text


@settings(deadline=None)
@given(st.floats(1e-3, 1e6), st.integers(2, 12))
def test_ticks_are_few_and_even_and_end_inside(seconds, at_most):
    times, step = ticks(seconds, at_most=at_most)
    assert times[0] == 0
    assert len(times) <= at_most + 1
    assert times[-1] <= seconds * (1 + 1e-6)
    assert seconds - times[-1] < step * (1 + 1e-6)
