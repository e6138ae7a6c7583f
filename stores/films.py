"""The videos of a bank, opened as they are asked for: where the rows of a time lie."""

import math
import os
import threading
import weakref
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.parts import OpenPart

MAX_GRID = 1 << 18
"""Key times of the grid that a bank's films share: three days of one a second."""
MAX_WEIGHT = 32_000
"""Memory maps that a bank holds at most; Linux allows a process 65,530."""


class Piece:
    """The rows of one unit: a stretch of one group."""

    __slots__ = (
        "_step",
        "first",
        "first_number",
        "first_time",
        "flat",
        "last_time",
        "most_rows",
        "num_rows",
        "one_each",
        "part",
        "read",
        "row_offset",
        "start_row",
        "times",
    )

    def __init__(self, part: OpenPart, unit: Unit, step: float | None, start_row: int) -> None:
        """`step` is the key-time step, where it is known; `start_row` counts within the video."""
        low, high = unit.time_offset, unit.time_offset + unit.num_times
        self.times = part.times[low:high]
        """(k,) key times, rising; k > 0."""
        self.first = part.first[low : high + 1]
        """(k + 1,) offsets within the group."""
        if len(self.times) == 0 or len(self.first) != len(self.times) + 1:
            raise ValueError(
                f"a group does not hold the key times promised of {unit.video_id!r}; "
                "run reelbank verify"
            )
        self.part = part
        self.read = part.source.read
        self.first_time, self.last_time = float(self.times[0]), float(self.times[-1])
        self.row_offset, self.start_row = int(self.first[0]), start_row
        self.num_rows = int(self.first[-1]) - self.row_offset
        counts = np.diff(self.first)
        self.one_each = bool((counts == 1).all())
        """Whether each key time has one row."""
        self.most_rows = int(counts.max())
        """Of a key time."""
        self.flat: NDArray[Any] | None = None
        """(k, dim) all rows as one array, where each key time has one; None otherwise."""
        if self.one_each:
            self.flat = part.source.flat(self.row_offset, self.row_offset + self.num_rows)
        self._step, self.first_number = _regular(self.times, step)

    def between(self, low: float, high: float) -> tuple[int, int]:
        """First and end of the key times of low <= time < high, low < high.

        What np.searchsorted says, in a tenth of the time where the key times are multiples of a
        step.
        """
        step = self._step
        if not (step and self.first_time < low and high <= self.last_time):
            return self._find(low), self._find(high)
        begin, end = ceil(low / step), ceil(high / step)
        # The quotients were rounded: they may be one off.
        if (begin - 1) * step >= low:
            begin -= 1
        elif begin * step < low:
            begin += 1
        if (end - 1) * step >= high:
            end -= 1
        elif end * step < high:
            end += 1
        return begin - self.first_number, end - self.first_number

    def _find(self, time: float) -> int:
        if time <= self.first_time:
            return 0
        if time > self.last_time:
            return len(self.times)
        return int(self.times.searchsorted(time))

    def is_on_grid(self, step: float | None) -> bool:
        """Whether its key times are numbers times this step, to the bit, and not absurdly late."""
        numbers = (self.first_number, self.first_number + len(self.times))
        return bool(self._step) and self._step == step and 0 <= numbers[0] < numbers[1] <= MAX_GRID

    def rows(self, begin: int, end: int) -> tuple[int, int]:
        """First row and end, within the group, of the key times begin to end."""
        if self.one_each:
            return self.row_offset + begin, self.row_offset + end
        return self.first.item(begin), self.first.item(end)


class Film:
    """One video's pieces in time order."""

    __slots__ = ("_firsts", "_lasts", "first", "flat", "is_recent", "length", "only", "pieces")

    def __init__(self, pieces: Sequence[Piece], step: float | None) -> None:
        self.pieces = tuple(pieces)
        self.only = pieces[0] if len(pieces) == 1 else None
        self.is_recent = True
        # The usual film says all here: with ten thousand of them open, each further object that a
        # window touches lies outside of the processor's caches, and costs as much as all the sums.
        self.flat: NDArray[Any] | None = None
        """(length, dim) one row for each key time; these are `first`, `first` + 1, ... steps. None
        where it is not that simple, or the step is not the bank's."""
        self.first, self.length = 0, 0
        if self.only is not None and self.only.is_on_grid(step):
            self.flat, self.first = self.only.flat, self.only.first_number
            self.length = len(self.only.times)
        self._firsts = [piece.first_time for piece in pieces]
        self._lasts = [piece.last_time for piece in pieces]

    def times(self) -> NDArray[np.float64]:
        """All key times, rising."""
        return np.concatenate([np.empty(0, np.float64), *(one.times for one in self.pieces)])

    def counts(self) -> NDArray[np.int64]:
        """Rows at each key time."""
        return np.concatenate([np.empty(0, np.int64), *(np.diff(one.first) for one in self.pieces)])

    def single(self, low: float, high: float) -> Piece | None:
        """The one piece that has all key times of low <= time < high; None where none has."""
        number = bisect_left(self._lasts, low)
        after = number + 1
        if number < len(self._lasts) and (after == len(self._lasts) or high <= self._firsts[after]):
            return self.pieces[number]
        return None

    def within(self, low: float, high: float) -> Sequence[Piece]:
        """The pieces that may have key times of low <= time < high."""
        return self.pieces[bisect_left(self._lasts, low) : bisect_left(self._firsts, high)]


class OpenFilms:
    """The films used last, and the groups that they need, kept open.

    Of the films opened longest ago, those not used since the last look round go once the weight of
    all groups is more than the limit. A group goes with the last film that lies in it.
    """

    def __init__(self, limit: int) -> None:
        self.films: OrderedDict[str, Film] = OrderedDict()
        self._limit, self._load = limit, _Load()
        self._parts: WeakValueDictionary[str, OpenPart] = WeakValueDictionary()
        self._process, self._lock = os.getpid(), threading.RLock()

    def open(
        self,
        wanted: Mapping[str, Sequence[tuple[Unit, FileEntry]]],
        opener: Callable[[Sequence[FileEntry]], Sequence[OpenPart]],
        step: float | None,
    ) -> dict[str, Film]:
        """Films of these videos' units; groups not open yet are opened in one call of `opener`."""
        if self._process != os.getpid():
            # A forked process: whoever held the lock does not exist here.
            self._process, self._lock = os.getpid(), threading.RLock()
        with self._lock:
            parts = self._opened(wanted, opener)
            found = {
                video_id: Film(
                    _pieces([(unit, parts[entry.path]) for unit, entry in items], step), step
                )
                for video_id, items in wanted.items()
            }
            self.films.update(found)
            self._drop()
            return found

    def _opened(
        self,
        wanted: Mapping[str, Sequence[tuple[Unit, FileEntry]]],
        opener: Callable[[Sequence[FileEntry]], Sequence[OpenPart]],
    ) -> dict[str, OpenPart]:
        entries = {entry.path: entry for items in wanted.values() for _, entry in items}
        parts = {path: part for path in entries if (part := self._parts.get(path)) is not None}
        lacking = [entry for path, entry in entries.items() if path not in parts]
        for entry, part in zip(lacking, opener(lacking) if lacking else (), strict=True):
            parts[entry.path] = self._parts[entry.path] = part
            self._load.add(part)
        return parts

    def _drop(self) -> None:
        for _ in range(2 * len(self.films)):
            if self._load.weight <= self._limit:
                return
            video_id, film = self.films.popitem(last=False)
            if film.is_recent:
                film.is_recent = False
                self.films[video_id] = film
            del film


class _Load:
    """The weight of the groups that are open; knows nothing of who holds them."""

    def __init__(self) -> None:
        self.weight = 0

    def add(self, part: OpenPart) -> None:
        self.weight += part.weight
        weakref.finalize(part, self._lose, part.weight).atexit = False

    def _lose(self, weight: int) -> None:
        self.weight -= weight


def _pieces(items: Iterable[tuple[Unit, OpenPart]], step: float | None) -> list[Piece]:
    pieces: list[Piece] = []
    for unit, part in items:
        start = pieces[-1].start_row + pieces[-1].num_rows if pieces else 0
        pieces.append(Piece(part, unit, step, start))
    return pieces


def _regular(times: NDArray[np.float64], step: float | None) -> tuple[float, int]:
    """Step and number of the first time where each is its number times the step, to the bit.

    The step is 0 where they are not.
    """
    if len(times) == 1 and not step:
        return 0.0, 0
    last = float(times[-1])
    guess = step or float(times[1] - times[0])
    number = round(last / guess) if guess > 0 and math.isfinite(last / guess) else 0
    step = step or last / max(number, 1)
    numbers = np.arange(number - len(times) + 1, number + 1)
    if not np.array_equal(numbers * step, times):
        return 0.0, 0
    return step, int(numbers[0])
