"""Stamps become seconds exactly, and stamps that do not rise are found from packets alone."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from reelbank.pipeline.decode.clock import (
    REORDER_DEPTH,
    Clock,
    count_unrisen,
    fraction_of,
    has_wild_stamp,
)


@given(
    ticks=st.integers(-(2**40), 2**40),
    origin=st.integers(-(2**40), 2**40),
    base=st.fractions(Fraction(1, 1_000_000), 1),
)
def test_a_time_is_the_exact_fraction_rounded_once(ticks, origin, base):
    clock = Clock(origin_pts=origin, time_base=base, counted_rate=None)
    assert clock.at(origin + ticks) == float(ticks * base)
    assert clock.length(ticks) == float(ticks * base)


class Ratio:
    """What PyAV 19 gives: integers, and falsy where unset."""

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator, self.denominator = numerator, denominator

    def __bool__(self) -> bool:
        return self.numerator != 0


def test_unset_ratios_of_either_pyav_are_none():
    assert fraction_of(None) is None
    assert fraction_of(Ratio(0, 1)) is None
    assert fraction_of(Ratio(1001, 30000)) == Fraction(1001, 30000)
    assert fraction_of(Fraction(1, 25)) == Fraction(1, 25)


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=200), st.randoms())
def test_stamps_shuffled_within_the_depth_of_a_codec_all_rise(stamps, random):
    stamps.sort()
    block = REORDER_DEPTH // 2
    shuffled = []
    for first in range(0, len(stamps), block):
        part = stamps[first : first + block]
        random.shuffle(part)
        shuffled += part
    assert not has_wild_stamp(shuffled)
    assert count_unrisen(shuffled) == 0


def test_each_stamp_that_does_not_rise_is_counted():
    assert count_unrisen([0, 1, 1, 2, 3]) == 1
    assert count_unrisen([*range(50), *range(50)]) == 50
    assert count_unrisen([]) == 0


def test_a_stamp_far_ahead_of_its_neighbours_is_wild():
    stamps = list(range(100))
    assert not has_wild_stamp(stamps)
    stamps[50] = 5000
    assert has_wild_stamp(stamps)
