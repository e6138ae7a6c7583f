"""FeatureBank: the rows of one bank by video and time, whatever parts they were written in."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from math import ceil, inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.boxes import RowBoxes
from reelbank.stores.files import Files
from reelbank.stores.films import MAX_GRID, Film, Piece
from reelbank.stores.groups import ROWS_PER_CHUNK
from reelbank.stores.live import LiveSet, LiveUnit
from reelbank.stores.names import unknown
from reelbank.stores.opening import BankFilms
from reelbank.stores.stages import bank_stage
from reelbank.stores.times import TOLERANCE_SECONDS, nearest
from reelbank.stores.windows import (
    Batch,
    Block,
    Window,
    blocks_of,
    bounds,
    join,
    pad,
    stretches,
    unusable,
)

__all__ = [
    "TOLERANCE_SECONDS",
    "Batch",
    "Block",
    "FeatureBank",
    "Window",
    "bank_metadata",
    "nearest",
]

_new_tuple = tuple.__new__
"""Makes a named tuple in half the time that its own constructor takes."""

_ONES = np.broadcast_to(np.int64(1), (1 << 40,))
"""Counts of key times with one row each, as many as anybody has; one number in memory."""

_VIDEOS_AT_ONCE = 64
"""Opened together where all are read."""

_MANY_TIMES = 4096
"""Key times of a window that may well be longer than any film."""


class FeatureBank:
    """A bank as it was in one live set.

    Threads may share one. It travels to other processes, forked or spawned, as it is: later
    commits do not show there either.
    """

    def __init__(self, name: str, files: Files, live: LiveSet) -> None:
        self.name = name
        self._files, self._live = files, live
        newest = live.newest(bank_stage(name))
        if newest is None:
            raise unknown("bank", name, live.banks())
        self.metadata = bank_metadata(newest)
        """What the newest part says of itself: kind, model, clip, weights digest, ..."""
        self.kind = str(self.metadata.get("kind", name))
        self._step = _step_of(self.metadata)
        self._films = BankFilms(name, files, live, newest, self._step)
        self.dim, self.dtype = self._films.dim, self._films.dtype
        self._empty = np.empty((0, self.dim), self.dtype)
        # A film without `flat` is not looked up in the grid: the 1 is for nobody.
        self._grid_step = self._step or 1.0
        self._grid = np.arange(MAX_GRID) * self._grid_step
        self._grid.flags.writeable = False
        self._set_up()

    def _set_up(self) -> None:
        self._held = self._films.held
        self._boxes = RowBoxes(self.name, self.metadata, self._files, self._live)

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_held", "_boxes")
        return {name: value for name, value in vars(self).items() if name not in opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up()

    def __repr__(self) -> str:
        return f"FeatureBank({self.name!r}, dim={self.dim}, dtype={self.dtype})"

    def videos(self) -> list[str]:
        """Videos that have a part in this bank, sorted."""
        return self._live.videos(bank_stage(self.name))

    def times(self, video_id: str) -> NDArray[np.float64]:
        """Key times of a video, rising, also those without rows."""
        return self._films.film(video_id).times()

    def counts(self, video_id: str) -> NDArray[np.int64]:
        """Rows at each of `times(video_id)`."""
        return self._films.film(video_id).counts()

    def rows(self, video_id: str) -> NDArray[Any]:
        """All rows of a video (n, dim), in time order; not to be written to."""
        return self._joined(video_id, self._films.film(video_id), -inf, inf).rows

    def window(
        self,
        video_id: str,
        t: float,
        support: float,
        causal: bool = False,
        rows_per_time: int | None = None,
        boxes: bool = False,
    ) -> Window:
        """Rows of [t - support/2, t + support/2), or, causal, of (t - support, t].

        Both hold support / step key times where that is a whole number and nothing is missing.
        `support` is in seconds; at most the first `rows_per_time` rows of each key time. Boxes are
        those of the detections: ValueError for a bank that has none.
        """
        # NaN alone differs from itself.
        if not support > 0 or t != t or (rows_per_time is not None and rows_per_time < 1):
            raise unusable(t, support, rows_per_time)
        # The usual case is written out, as calls cost: a window that is copied out of a memory map
        # takes 30 microseconds, and of these the search may have one.
        if causal:
            low, high = t - support + TOLERANCE_SECONDS, t + TOLERANCE_SECONDS
        else:
            low = t - support / 2 - TOLERANCE_SECONDS
            high = t + support / 2 - TOLERANCE_SECONDS
        film = self._held.get(video_id) or self._films.film(video_id)
        film.is_recent = True
        if film.flat is None or boxes:
            return self._elsewhere(video_id, film, low, high, rows_per_time, boxes)
        step = self._grid_step
        try:
            begin, end = ceil(low / step), ceil(high / step)
        except (OverflowError, ValueError):
            # Infinity.
            return self._joined(video_id, film, low, high)
        # The quotients were rounded: they may be one off.
        if (begin - 1) * step >= low:
            begin -= 1
        elif begin * step < low:
            begin += 1
        if (end - 1) * step >= high:
            end -= 1
        elif end * step < high:
            end += 1
        first, last = film.first, film.first + film.length
        begin = first if begin < first else last if begin > last else begin
        end = begin if end < begin else last if end > last else end
        times = self._grid[begin:end]
        rows, counts = film.flat[begin - first : end - first], _ONES[: end - begin]
        return _new_tuple(Window, (rows, times, times, counts, None))

    def _elsewhere(
        self,
        video_id: str,
        film: Film,
        low: float,
        high: float,
        limit: int | None,
        boxes: bool,
    ) -> Window:
        """A window of a film of several parts, of several rows at a key time, or in the cache."""
        piece = film.only or film.single(low, high)
        if piece is None or not piece.one_each or boxes:
            return self._joined(video_id, film, low, high, limit, boxes)
        begin, end = piece.between(low, high)
        if piece.flat is not None:
            rows = piece.flat[begin:end]
        else:
            rows = piece.read(piece.row_offset + begin, piece.row_offset + end)
        times = piece.times[begin:end]
        return _new_tuple(Window, (rows, times, times, _ONES[: end - begin], None))

    def _joined(
        self,
        video_id: str,
        film: Film,
        low: float,
        high: float,
        limit: int | None = None,
        boxes: bool = False,
    ) -> Window:
        found = stretches(film, low, high)
        self._films.fetch([found])
        of_video = self._boxes.of(video_id, film) if boxes else None
        return join(found, limit, of_video, self._empty)

    def gather(
        self,
        keys: Sequence[tuple[str, float]],
        support: float,
        causal: bool = False,
        rows_per_time: int | None = None,
        boxes: bool = False,
    ) -> Batch:
        """The windows of many keys (video, time), padded to one length.

        It is that of the longest window; with `rows_per_time`, the rows that a window holds at
        most, where the bank says its key-time step: no more than its longest film has for a
        support of thousands of steps. Rows are copied once; what must be fetched comes in few
        requests, all at once.
        """
        no_time = any(t != t for _, t in keys)
        if not support > 0 or no_time or (rows_per_time is not None and rows_per_time < 1):
            raise unusable(nan if no_time else 0.0, support, rows_per_time)
        films = self._films.films_of(dict.fromkeys(video_id for video_id, _ in keys))
        windows = [stretches(films[video_id], *bounds(t, support, causal)) for video_id, t in keys]
        self._films.fetch(windows)
        of_videos = None
        if boxes:
            self._boxes.check()
            of_videos = [self._boxes.of(video_id, films[video_id]) for video_id, _ in keys]
        least = 0
        if rows_per_time is not None and self._step is not None:
            least = rows_per_time * self._most_times(support, self._step)
        return pad(windows, rows_per_time, of_videos, least=least, empty=self._empty)

    def _most_times(self, support: float, step: float) -> int:
        """Key times that a window holds at most."""
        wanted = (support - TOLERANCE_SECONDS) / step
        # Asked only where it can matter: it looks at every part of the bank.
        if wanted > _MANY_TIMES:
            wanted = min(wanted, self._longest)
        return max(1, ceil(wanted))

    @cached_property
    def _longest(self) -> int:
        """Key times of the film that has most."""
        found: Counter[str] = Counter()
        for unit in self._live.units(stage=bank_stage(self.name)):
            found[unit.video_id] += unit.num_times
        return max(found.values())

    def blocks(self, max_rows: int) -> Iterator[Block]:
        """All rows, by video and time, at most `max_rows` at once."""
        if max_rows < 1:
            raise ValueError(f"max_rows={max_rows} must be at least 1")
        remaining = iter(self.videos())
        while some := list(islice(remaining, _VIDEOS_AT_ONCE)):
            films = self._films.films_of(some)
            # The first block of each: small parts of many videos come in few requests.
            self._films.fetch_rows(
                (piece, piece.row_offset, piece.row_offset + min(piece.num_rows, max_rows))
                for film in films.values()
                for piece in film.pieces
            )
            for video_id, film in films.items():
                for piece in film.pieces:
                    yield from blocks_of(video_id, piece, max_rows)

    def rows_at(self, video_id: str, times: NDArray[np.float64]) -> list[NDArray[Any]]:
        """Rows (m, dim) at each of these key times, in their order; m may be 0.

        ValueError where the bank has no such key time.
        """
        numbers = nearest(self.times(video_id), times)
        if np.any(numbers < 0):
            raise self._no_such_time(video_id, float(times[np.argmin(numbers)]))
        found: dict[int, NDArray[Any]] = {}
        wanted, offset = np.unique(numbers), 0
        for piece in self._films.film(video_id).pieces:
            stop = offset + len(piece.times)
            local = wanted[(wanted >= offset) & (wanted < stop)] - offset
            found |= {offset + number: rows for number, rows in self._read_times(piece, local)}
            offset = stop
        return [found[number] for number in numbers.tolist()]

    def _read_times(
        self, piece: Piece, numbers: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Rows of some key times of a piece; neighbours less than a chunk apart share a read."""
        if not len(numbers):
            return
        first = piece.first
        gaps = first[numbers[1:]] - first[numbers[:-1] + 1]
        runs = np.split(numbers, np.flatnonzero(gaps >= ROWS_PER_CHUNK) + 1)
        spans = [(int(first[run[0]]), int(first[run[-1] + 1])) for run in runs]
        self._films.fetch_rows((piece, start, stop) for start, stop in spans)
        for run, (start, stop) in zip(runs, spans, strict=True):
            rows = piece.read(start, stop)
            for number in run.tolist():
                yield number, rows[first[number] - start : first[number + 1] - start]

    def _no_such_time(self, video_id: str, time: float) -> ValueError:
        known = self.times(video_id)
        near = f"; the nearest is {known[np.argmin(np.abs(known - time))]} s" if len(known) else ""
        return ValueError(f"bank {self.name!r} has no key time {time} s of {video_id!r}{near}")


def bank_metadata(item: LiveUnit) -> dict[str, Any]:
    """Metadata that a bank's unit carries, a copy."""
    found = json.loads(json.dumps(item.unit.details.get("bank", {})))
    return found if isinstance(found, dict) else {}


def _step_of(metadata: dict[str, Any]) -> float | None:
    step = metadata.get("key_step_seconds")
    return float(step) if isinstance(step, int | float) and step > 0 else None
