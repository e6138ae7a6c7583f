"""FeatureBank: the rows of one bank by video and time, whatever parts they were written in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.files import Files
from reelbank.stores.groups import ROWS_PER_CHUNK, OpenGroups
from reelbank.stores.live import LiveSet, LiveUnit, bank_stage
from reelbank.stores.names import unknown

TOLERANCE_SECONDS = 1e-6
"""Key times are multiples of a step in floats: times closer than this are the same."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of a stretch of one video."""

    rows: NDArray[Any]
    """(n, dim), in time order, within a key time by falling score."""
    times: NDArray[np.float64]
    """(n,) the key time of each row."""
    key_times: NDArray[np.float64]
    """(k,) key times inside, also those without rows."""
    counts: NDArray[np.int64]
    """(k,) rows at each key time."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """Part of one group: key times low to high."""

    path: str
    times: NDArray[np.float64]
    first: NDArray[np.int64]
    """(len(times) + 1,) offsets within the group."""


class FeatureBank:
    """A bank as it was in one live set."""

    def __init__(self, name: str, files: Files, live: LiveSet) -> None:
        self.name = name
        self._files, self._live = files, live
        self._groups = OpenGroups(files)
        self._stage = bank_stage(name)
        newest = max(live.select(stage=self._stage), key=lambda item: item.order)
        self.metadata = bank_metadata(newest)
        """What the newest part says of itself: kind, model, clip, weights digest, ..."""
        array = self._groups[_group_path(newest, name)].rows
        self.dim = int(array.shape[1])
        self.dtype = np.dtype(array.dtype)
        self.kind = str(self.metadata.get("kind", name))

    def __repr__(self) -> str:
        return f"FeatureBank({self.name!r}, dim={self.dim}, dtype={self.dtype})"

    def videos(self) -> list[str]:
        """Videos that have a part in this bank, sorted."""
        return self._live.videos(self._stage)

    def times(self, video_id: str) -> NDArray[np.float64]:
        """Key times of a video, rising, also those without rows."""
        slices = self._slices(video_id)
        return np.concatenate([np.empty(0, np.float64), *(piece.times for piece in slices)])

    def counts(self, video_id: str) -> NDArray[np.int64]:
        """Rows at each of `times(video_id)`."""
        slices = self._slices(video_id)
        return np.concatenate([np.empty(0, np.int64), *(np.diff(piece.first) for piece in slices)])

    def rows(self, video_id: str) -> NDArray[Any]:
        """All rows of a video (n, dim), in time order."""
        return self._between(video_id, -np.inf, np.inf, None).rows

    def window(
        self,
        video_id: str,
        t: float,
        support: float,
        causal: bool = False,
        rows_per_time: int | None = None,
    ) -> Window:
        """Rows of [t - support/2, t + support/2), or, causal, of (t - support, t].

        Both hold the same number of key times where nothing is missing. `support` is in seconds;
        at most the first `rows_per_time` rows of each key time.
        """
        if not support > 0:
            raise ValueError(f"support={support} must be more than 0 seconds")
        if rows_per_time is not None and rows_per_time < 1:
            raise ValueError(f"rows_per_time={rows_per_time} must be at least 1, or None for all")
        if causal:
            low, high = t - support + TOLERANCE_SECONDS, t + TOLERANCE_SECONDS
        else:
            low = t - support / 2 - TOLERANCE_SECONDS
            high = t + support / 2 - TOLERANCE_SECONDS
        return self._between(video_id, low, high, rows_per_time)

    def rows_at(self, video_id: str, times: NDArray[np.float64]) -> list[NDArray[Any]]:
        """Rows (m, dim) at each of these key times, in their order; m may be 0.

        ValueError where the bank has no such key time.
        """
        numbers = nearest(self.times(video_id), times)
        if np.any(numbers < 0):
            raise self._no_such_time(video_id, float(times[np.argmin(numbers)]))
        found: dict[int, NDArray[Any]] = {}
        wanted, offset = np.unique(numbers), 0
        for piece in self._slices(video_id):
            stop = offset + len(piece.times)
            local = wanted[(wanted >= offset) & (wanted < stop)] - offset
            found |= {offset + number: rows for number, rows in self._read_times(piece, local)}
            offset = stop
        return [found[number] for number in numbers.tolist()]

    def _read_times(
        self, piece: _Slice, numbers: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Rows of some key times of a piece; neighbours less than a chunk apart share a read."""
        if not len(numbers):
            return
        gaps = piece.first[numbers[1:]] - piece.first[numbers[:-1] + 1]
        for run in np.split(numbers, np.flatnonzero(gaps >= ROWS_PER_CHUNK) + 1):
            base = int(piece.first[run[0]])
            rows = self._read_rows(piece.path, base, int(piece.first[run[-1] + 1]))
            for number in run.tolist():
                yield number, rows[piece.first[number] - base : piece.first[number + 1] - base]

    def _no_such_time(self, video_id: str, time: float) -> ValueError:
        known = self.times(video_id)
        near = f"; the nearest is {known[np.argmin(np.abs(known - time))]} s" if len(known) else ""
        return ValueError(f"bank {self.name!r} has no key time {time} s of {video_id!r}{near}")

    def _between(self, video_id: str, low: float, high: float, limit: int | None) -> Window:
        rows: list[NDArray[Any]] = [np.empty((0, self.dim), self.dtype)]
        times = [np.empty(0, np.float64)]
        counts = [np.empty(0, np.int64)]
        for piece in self._slices(video_id):
            begin, end = np.searchsorted(piece.times, [low, high], side="left")
            if begin == end:
                continue
            found, kept = self._take(piece, int(begin), int(end), limit)
            rows.append(found)
            times.append(piece.times[begin:end])
            counts.append(kept)
        key_times, num_rows = np.concatenate(times), np.concatenate(counts)
        return Window(
            rows=np.concatenate(rows),
            times=np.repeat(key_times, num_rows),
            key_times=key_times,
            counts=num_rows,
        )

    def _take(
        self, piece: _Slice, begin: int, end: int, limit: int | None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        first = piece.first[begin : end + 1]
        rows = self._read_rows(piece.path, int(first[0]), int(first[-1]))
        counts = np.diff(first)
        if limit is None:
            return rows, counts
        rank = np.arange(len(rows)) - np.repeat(first[:-1] - first[0], counts)
        return rows[rank < limit], np.minimum(counts, limit)

    def _read_rows(self, path: str, start: int, stop: int) -> NDArray[Any]:
        array = self._groups[path].rows
        if array.shape[1] != self.dim:
            raise ValueError(
                f"bank {self.name!r} has parts of {array.shape[1]} and of {self.dim} numbers in a "
                "row; its settings changed: extract again to make it whole"
            )
        if start == stop:
            return np.empty((0, self.dim), self.dtype)
        return np.asarray(array[start:stop]).astype(self.dtype, copy=False)

    def _slices(self, video_id: str) -> list[_Slice]:
        items = self._live.select(video_id, self._stage)
        if not items:
            raise unknown(f"video of bank {self.name!r}:", video_id, self.videos())
        return [self._slice(item) for item in items]

    def _slice(self, item: LiveUnit) -> _Slice:
        unit, path = item.unit, _group_path(item, self.name)
        group = self._groups[path]
        low, high = unit.time_offset, unit.time_offset + unit.num_times
        return _Slice(path, group.times[low:high], group.first[low : high + 1])


def nearest(known: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index in `known` (rising) of each time; -1 where none is within the tolerance."""
    low = np.searchsorted(known, times - TOLERANCE_SECONDS, side="left")
    high = np.searchsorted(known, times + TOLERANCE_SECONDS, side="right")
    return np.where(low < high, low, -1)


def bank_metadata(item: LiveUnit) -> dict[str, Any]:
    """Metadata that a bank's unit carries, a copy."""
    found = json.loads(json.dumps(item.unit.details.get("bank", {})))
    return found if isinstance(found, dict) else {}


def _group_path(item: LiveUnit, bank: str) -> str:
    entry = item.file("bank", bank)
    if entry is None:
        raise ValueError(f"commit {item.commit.name} names no group of bank {bank!r}; run verify")
    return entry.path
