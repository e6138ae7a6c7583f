"""Which times are looked at, and which frame is on screen then."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

TIME_TOLERANCE = 1e-6
"""For rounding only: a frame whose stamp is this little after a time counts as shown at it."""


class Timed(Protocol):
    """Anything with a presentation time in seconds."""

    @property
    def time(self) -> float:
        """Seconds from the first frame shown."""
        ...


F = TypeVar("F", bound=Timed)
R = TypeVar("R")


def key_times(start: float, end: float, step: float) -> NDArray[np.float64]:
    """Every k * step in [start, end), k = 0, 1, ...; never accumulated, so that parts tile."""
    if step <= 0:
        raise ValueError(f"step={step} is not a distance between key times; use more than 0")
    first = max(math.floor(start / step) - 1, 0)
    after = max(math.ceil(end / step) + 2, first)
    times = np.arange(first, after, dtype=np.float64) * step
    kept: NDArray[np.float64] = times[(times >= start) & (times < end)]
    return kept


def clip_times(
    key_time: float, *, num_frames: int, stride: int, rate: float
) -> NDArray[np.float64]:
    """Times of the `num_frames` frames at `stride` around a key time, on a grid of `rate` Hz.

    The clip spans num_frames * stride / rate seconds, the key time in its middle; times before the
    first or after the last frame of a video stand for that end frame (see `OnScreen`).
    """
    steps = np.arange(num_frames, dtype=np.float64) * stride - num_frames * stride / 2
    times: NDArray[np.float64] = key_time + steps / rate
    return times


class OnScreen(Generic[F, R]):
    """Finds the frame on screen at each requested time while frames arrive, holding one frame.

    "On screen at x" is the frame with the last stamp <= x; a time before the first or after the
    last frame gets that end frame. A request is answered as soon as the frame after its own
    arrives, so that only frames that somebody wants are ever converted.
    """

    def __init__(self, requests: Sequence[tuple[float, R]]) -> None:
        """Take (time, request) pairs, rising by time; times may repeat."""
        if any(later[0] < earlier[0] for earlier, later in pairwise(requests)):
            raise ValueError("requested times must rise; sort them first")
        self._requests = requests
        self._next = 0
        self._shown: F | None = None

    @property
    def pending(self) -> int:
        """How many requests are not answered yet."""
        return len(self._requests) - self._next

    def push(self, frame: F) -> list[tuple[R, F]]:
        """Take the next frame; answer the requests that the frame before it turns out to show."""
        shown = self._shown if self._shown is not None else frame
        self._shown = frame
        first = self._next
        while self.pending and self._requests[self._next][0] + TIME_TOLERANCE < frame.time:
            self._next += 1
        return [(request, shown) for _, request in self._requests[first : self._next]]

    def finish(self) -> list[tuple[R, F]]:
        """Answer what is left with the last frame; nothing if no frame ever came."""
        shown, self._shown = self._shown, None
        if shown is None:
            return []
        rest = [(request, shown) for _, request in self._requests[self._next :]]
        self._next = len(self._requests)
        return rest
