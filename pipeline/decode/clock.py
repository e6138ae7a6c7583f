"""When a frame is on screen: seconds from the presentation stamp of the first frame shown.

Two clocks. 'stamps': time = (pts - origin) * time base, an exact fraction rounded once. 'counted':
the stream has no stamps that rise (raw streams, AVI with B-frames), so time = number / rate.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from reelbank.stores.records import VideoInfo

REORDER_DEPTH = 17
"""More packets than any codec holds back to put frames into presentation order (H.264: 16)."""

MAX_UNRISEN_SHARE = 0.01
"""A stream in which more stamps than this fail to rise has no usable stamps. One doubled stamp in
a film costs that frame one tick; a clock that starts again (joined broadcasts) is not a clock."""

PLAUSIBLE_DURATION_SHARE = 0.1
"""A frame that claims to last less than this share of the gap before it tells a header's fable
(1 ms in Matroska files whose header gives 1000 frames a second)."""


class Rational(Protocol):
    """A ratio of integers: a Fraction up to PyAV 18, an AVRational from PyAV 19 on."""

    @property
    def numerator(self) -> int:
        """Upper integer."""
        ...

    @property
    def denominator(self) -> int:
        """Lower integer; 0 or a falsy whole where the ratio is unset."""
        ...


def fraction_of(value: Rational | None) -> Fraction | None:
    """Make a Fraction of a PyAV ratio; unset is None up to PyAV 18 and a falsy 0/1 from 19 on."""
    if not value or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns stamps or frame numbers into seconds."""

    origin_pts: int
    time_base: Fraction
    counted_rate: float | None
    """Frames per second of a counted clock; None: the stamps tell the time."""

    def at(self, pts: int) -> float:
        """Seconds of a stamp."""
        ticks = pts - self.origin_pts
        return ticks * self.time_base.numerator / self.time_base.denominator

    def length(self, ticks: int) -> float:
        """Seconds that a number of ticks lasts."""
        return ticks * self.time_base.numerator / self.time_base.denominator


def clock_of(info: VideoInfo) -> Clock:
    """Build the clock of a probed video."""
    counted = info.rate if info.clock == "counted" else None
    return Clock(origin_pts=info.origin_pts, time_base=info.time_base, counted_rate=counted)


def count_unrisen(stamps: Iterable[int]) -> int:
    """Count stamps that do not rise once packets (in decoding order) are put in showing order."""
    held: list[int] = []
    highest: int | None = None
    unrisen = 0
    for stamp in stamps:
        heapq.heappush(held, stamp)
        if len(held) > REORDER_DEPTH:
            highest, failed = _pass(heapq.heappop(held), highest)
            unrisen += failed
    while held:
        highest, failed = _pass(heapq.heappop(held), highest)
        unrisen += failed
    return unrisen


def has_wild_stamp(stamps: Sequence[int]) -> bool:
    """Say whether some stamp lies after all those of the next packets, as damage makes it."""
    array = np.asarray(stamps, dtype=np.int64)
    if len(array) <= REORDER_DEPTH:
        return False
    following = sliding_window_view(array[1:], REORDER_DEPTH).max(axis=1)
    return bool(np.any(array[: len(following)] > following))


def _pass(stamp: int, highest: int | None) -> tuple[int, bool]:
    if highest is not None and stamp <= highest:
        return highest, True
    return stamp, False
