"""What a bank gives back, and how it is put together from stretches of pieces."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.films import Film, Piece
from reelbank.stores.times import TOLERANCE_SECONDS


class Window(NamedTuple):
    """Rows of a stretch of one video.

    A tuple: to make a frozen dataclass takes as long as all the rest of a window.
    """

    rows: NDArray[Any]
    """(n, dim), in time order, within a key time by falling score. Not to be written to: a view of
    the bank's file where the part is local and uncompressed, or of the cache."""
    times: NDArray[np.float64]
    """(n,) the key time of each row."""
    key_times: NDArray[np.float64]
    """(k,) key times inside, also those without rows."""
    counts: NDArray[np.int64]
    """(k,) rows at each key time."""
    boxes: NDArray[np.float32] | None
    """(n, 4) x1 y1 x2 y2 in [0, 1] of each row, where they were asked for."""


class Batch(NamedTuple):
    """Rows of many windows, padded to one length."""

    rows: NDArray[Any]
    """(b, length, dim): each window's rows in time order, then zeros."""
    mask: NDArray[np.bool_]
    """(b, length), true where there is a row."""
    times: NDArray[np.float64]
    """(b, length) the key time of each row; NaN in the padding."""
    boxes: NDArray[np.float32] | None
    """(b, length, 4), where they were asked for; zeros in the padding."""


class Block(NamedTuple):
    """Rows of one video that lie one after the other."""

    video_id: str
    times: NDArray[np.float64]
    """(n,) the key time of each row."""
    places: NDArray[np.int64]
    """(n,) index of each row within its key time."""
    rows: NDArray[Any]
    """(n, dim), a view where that is possible; not to be written to."""


class Stretch(NamedTuple):
    """Some key times of one piece; at least one."""

    piece: Piece
    begin: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        """First row and end, within the group."""
        return self.piece.rows(self.begin, self.end)

    def counts(self, limit: int | None) -> NDArray[np.int64]:
        """Rows at each key time, at most `limit`."""
        first = self.piece.first
        counts = first[self.begin + 1 : self.end + 1] - first[self.begin : self.end]
        limit = self._felt(limit)
        return counts if limit is None else np.minimum(counts, limit)

    def kept(self, limit: int | None) -> NDArray[np.bool_] | None:
        """Which rows are among the first `limit` of their key time; None where all are."""
        limit = self._felt(limit)
        if limit is None:
            return None
        first, counts = self.piece.first[self.begin : self.end], self.counts(None)
        if counts.max() <= limit:
            return None
        rank = np.arange(counts.sum()) - np.repeat(first - first[0], counts)
        return np.asarray(rank < limit)

    def num_rows(self, limit: int | None) -> int:
        """Rows, at most `limit` of each key time."""
        if self._felt(limit) is None:
            low, high = self.span
            return high - low
        return int(self.counts(limit).sum())

    def _felt(self, limit: int | None) -> int | None:
        """The limit where some key time of the piece has more rows, else None."""
        return limit if limit is not None and limit < self.piece.most_rows else None

    def rows(self, limit: int | None) -> NDArray[Any]:
        """The rows; a view where the group gives one and none is left out."""
        rows = self.piece.read(*self.span)
        kept = self.kept(limit)
        return rows if kept is None else rows[kept]

    def times(self, limit: int | None) -> NDArray[np.float64]:
        """Key time of each row."""
        key_times = self.piece.times[self.begin : self.end]
        return key_times if self.piece.one_each else np.repeat(key_times, self.counts(limit))

    def boxes(self, of_video: NDArray[np.float32], limit: int | None) -> NDArray[np.float32]:
        """Those of its rows, out of those of all rows of the video."""
        low, high = self.span
        shift = self.piece.start_row - self.piece.row_offset
        boxes, kept = of_video[low + shift : high + shift], self.kept(limit)
        return boxes if kept is None else boxes[kept]


def unusable(t: float, support: float, rows_per_time: int | None) -> ValueError:
    """What to say of arguments of which one cannot be."""
    if math.isnan(t):
        return ValueError("t=nan is no time; leave out keys whose time is not known")
    if not support > 0:
        return ValueError(f"support={support} must be more than 0 seconds")
    return ValueError(f"rows_per_time={rows_per_time} must be at least 1, or None for all")


def bounds(t: float, support: float, causal: bool) -> tuple[float, float]:
    """Low and high of the window of low <= time < high."""
    if causal:
        return t - support + TOLERANCE_SECONDS, t + TOLERANCE_SECONDS
    return t - support / 2 - TOLERANCE_SECONDS, t + support / 2 - TOLERANCE_SECONDS


def stretches(film: Film, low: float, high: float) -> list[Stretch]:
    """Where the key times of low <= time < high lie."""
    found = []
    for piece in film.within(low, high):
        begin, end = piece.between(low, high)
        if begin < end:
            found.append(Stretch(piece, begin, end))
    return found


def join(
    found: Sequence[Stretch],
    limit: int | None,
    of_video: NDArray[np.float32] | None,
    empty: NDArray[Any],
) -> Window:
    """One window of all stretches; `empty` (0, dim) has the type of the rows."""
    if len(found) == 1:
        one = found[0]
        return Window(
            one.rows(limit),
            one.times(limit),
            one.piece.times[one.begin : one.end],
            one.counts(limit),
            None if of_video is None else one.boxes(of_video, limit),
        )
    no_time, no_box = np.empty(0, np.float64), np.empty((0, 4), np.float32)
    boxes = None
    if of_video is not None:
        boxes = np.concatenate([no_box, *(one.boxes(of_video, limit) for one in found)])
    return Window(
        rows=np.concatenate([empty, *(one.rows(limit) for one in found)]),
        times=np.concatenate([no_time, *(one.times(limit) for one in found)]),
        key_times=np.concatenate(
            [no_time, *(one.piece.times[one.begin : one.end] for one in found)]
        ),
        counts=np.concatenate([np.empty(0, np.int64), *(one.counts(limit) for one in found)]),
        boxes=boxes,
    )


def pad(
    windows: Sequence[Sequence[Stretch]],
    limit: int | None,
    of_videos: Sequence[NDArray[np.float32]] | None,
    *,
    least: int,
    empty: NDArray[Any],
) -> Batch:
    """One batch of all windows, as long as the longest, and as `least`."""
    counts = [[one.num_rows(limit) for one in found] for found in windows]
    lengths = np.array([sum(some) for some in counts], np.int64)
    length = max(least, int(lengths.max(initial=0)))
    rows = np.empty((len(windows), length, empty.shape[1]), empty.dtype)
    times = np.full((len(windows), length), np.nan)
    boxes = None if of_videos is None else np.zeros((len(windows), length, 4), np.float32)
    for number, found in enumerate(windows):
        start = 0
        for one, count in zip(found, counts[number], strict=True):
            end = start + count
            rows[number, start:end] = one.rows(limit)
            times[number, start:end] = one.times(limit)
            if boxes is not None and of_videos is not None:
                boxes[number, start:end] = one.boxes(of_videos[number], limit)
            start = end
        rows[number, start:] = 0
    return Batch(rows, np.arange(length) < lengths[:, None], times, boxes)


def blocks_of(video_id: str, piece: Piece, max_rows: int) -> Iterator[Block]:
    """A piece's rows, at most so many at once."""
    for start in range(piece.row_offset, piece.row_offset + piece.num_rows, max_rows):
        end = min(start + max_rows, piece.row_offset + piece.num_rows)
        numbers = np.arange(start, end)
        keys = np.searchsorted(piece.first, numbers, side="right") - 1
        places = numbers - piece.first[keys]
        yield Block(video_id, piece.times[keys], places, piece.read(start, end))
