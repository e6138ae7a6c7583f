"""Similarity search: the rows of a bank that point the same way as a given one.

Exact: each row is compared, a block at a time, so that memory does not grow with the bank.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reelbank.stores.bank import FeatureBank
from reelbank.stores.features import ROI_KINDS
from reelbank.stores.live import LiveSet
from reelbank.stores.tables import TableReader
from reelbank.stores.times import TOLERANCE_SECONDS, nearest

_BLOCK_BYTES = 16 << 20
"""Memory of a block as float32."""


@dataclass(frozen=True, slots=True)
class Like:
    """A row of a bank as a person names it."""

    video_id: str
    seconds: float
    """About when: the nearest key time with rows counts."""
    track_id: int | None = None
    """Whose row; None: the first one, which is of the best-scored detection."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The rows most alike, best first; of equals the first by video, time and place."""

    video_ids: tuple[str, ...]
    """n names."""
    times: NDArray[np.float64]
    """(n,) key times."""
    places: NDArray[np.int64]
    """(n,) index of each row within its key time."""
    scores: NDArray[np.float32]
    """(n,) cosines in [-1, 1]."""
    num_compared: int
    """Rows of the bank."""


def search(bank: FeatureBank, like: NDArray[Any], *, top: int) -> SearchResult:
    """The `top` rows of greatest cosine with `like` (dim,); rows of zeros, or with NaN, score 0."""
    target = _unit(bank, like)
    if top < 1:
        raise ValueError(f"top={top} must be at least 1")
    best = _Best(top)
    for block in bank.blocks(max(1, _BLOCK_BYTES // (4 * bank.dim))):
        best.add(block, cosines(block.rows, target))
    return best.result()


def cosines(rows: NDArray[Any], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines (n,) of rows (n, dim) with a row of length 1; the same for a row in any block."""
    exact = rows.astype(np.float32)
    # Not a BLAS product: its last bits depend on where in the block a row lies, and of two equal
    # rows the later one could win.
    products = np.einsum("ij,j->i", exact, target)
    lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    found = np.zeros(len(rows), np.float32)
    np.divide(products, lengths, out=found, where=np.isfinite(lengths) & (lengths > 0))
    return np.clip(found, -1, 1)


class _Best:
    """The best rows of the blocks so far."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._num_rows = 0
        self._scores = np.empty(0, np.float32)
        self._rows: list[tuple[str, float, int]] = []

    def add(self, block: Any, scores: NDArray[np.float32]) -> None:
        self._num_rows += len(scores)
        candidates = np.arange(len(scores))
        if len(self._rows) == self._top:
            # Blocks come by video and time: an equal of the last one kept comes too late.
            candidates = np.flatnonzero(scores > self._scores[-1])
        if not len(candidates):
            return
        order = np.argsort(-scores[candidates], kind="stable")[: self._top]
        chosen = candidates[order]
        rows = [(block.video_id, float(block.times[n]), int(block.places[n])) for n in chosen]
        both = np.concatenate([self._scores, scores[chosen]])
        kept = np.argsort(-both, kind="stable")[: self._top]
        everything = self._rows + rows
        self._rows, self._scores = [everything[n] for n in kept], both[kept]

    def result(self) -> SearchResult:
        return SearchResult(
            video_ids=tuple(video_id for video_id, _, _ in self._rows),
            times=np.array([time for _, time, _ in self._rows], np.float64),
            places=np.array([place for _, _, place in self._rows], np.int64),
            scores=self._scores,
            num_compared=self._num_rows,
        )


def _unit(bank: FeatureBank, like: NDArray[Any]) -> NDArray[np.float32]:
    target = np.asarray(like, np.float64)
    if target.shape != (bank.dim,):
        raise ValueError(
            f"like has the shape {target.shape}; a row of bank {bank.name!r} is ({bank.dim},)"
        )
    length = float(np.linalg.norm(target))
    if not math.isfinite(length) or length == 0:
        raise ValueError("like is all zeros or not finite: nothing has a cosine with it")
    return (target / length).astype(np.float32)


def search_table(
    bank: FeatureBank,
    like: NDArray[Any] | Like,
    *,
    top: int,
    reader: TableReader,
    live: LiveSet,
) -> pa.Table:
    """Lines video_id, time, place, rank, track_id and score of the rows most like one, best first.

    `like` is a row (dim,), or says where one lies in the bank. Rank and track are null where the
    bank holds no boxes or no track holds the detection.
    """
    places = _Places(bank, reader, live)
    if not isinstance(like, Like):
        return places.table(search(bank, like, top=top))
    time, place = places.of(like)
    row = bank.rows_at(like.video_id, np.array([time]))[0][place]
    return places.table(search(bank, row, top=top))


class _Places:
    """Which detection, and which track, a row of a bank belongs to."""

    def __init__(self, bank: FeatureBank, reader: TableReader, live: LiveSet) -> None:
        self._bank, self._reader, self._live = bank, reader, live
        self._has_boxes = bank.kind in ROI_KINDS

    def table(self, found: SearchResult) -> pa.Table:
        ranks: list[int | None] = [None] * len(found.times)
        tracks: list[int | None] = [None] * len(found.times)
        for number, (video_id, time, place) in enumerate(
            zip(found.video_ids, found.times.tolist(), found.places.tolist(), strict=True)
        ):
            held = self.detections(video_id, time)
            if place < len(held):
                ranks[number] = held["rank"][place].as_py()
                tracks[number] = held["track_id"][place].as_py()
        columns = {
            "video_id": pa.array(found.video_ids, pa.string()),
            "time": found.times,
            "place": found.places,
            "rank": pa.array(ranks, pa.int32()),
            "track_id": pa.array(tracks, pa.int32()),
            "score": found.scores,
        }
        return pa.table(columns)

    def detections(self, video_id: str, time: float) -> pa.Table:
        """Line i is of the bank's row i at that key time; no line where it holds no boxes.

        None either where the detections that count are not those that the rows were made from.
        """
        number = int(nearest(self._bank.times(video_id), np.array([time]))[0])
        num_rows = int(self._bank.counts(video_id)[number]) if number >= 0 else 0
        lines = self._reader.detections(
            self._live,
            video_id,
            start_seconds=time - TOLERANCE_SECONDS,
            end_seconds=time + TOLERANCE_SECONDS,
        )
        category = self._bank.metadata.get("category")
        lines = lines if category is None else lines.filter(pc.field("category") == category)
        return lines if self._has_boxes and len(lines) == num_rows else lines.slice(0, 0)

    def of(self, like: Like) -> tuple[float, int]:
        """Key time and place of the row that is meant; ValueError where there is none."""
        video_id, seconds, track_id = like.video_id, like.seconds, like.track_id
        times = self._bank.times(video_id)[self._bank.counts(video_id) > 0]
        if not len(times):
            raise ValueError(f"bank {self._bank.name!r} has no row of {video_id!r}")
        if track_id is None:
            return float(times[np.argmin(np.abs(times - seconds))]), 0
        if not self._has_boxes:
            raise ValueError(
                f"bank {self._bank.name!r} has no rows of tracks, so leave out the track {track_id}"
            )
        links = self._reader.lines(self._live, "links", video_id)
        # By numpy: Arrow refuses numbers that no track can have.
        linked = links["time"].to_numpy()[links["track_id"].to_numpy() == track_id]
        for time in linked[np.argsort(np.abs(linked - seconds), kind="stable")].tolist():
            places = self.detections(video_id, time)["track_id"].to_pylist()
            if track_id in places:
                return time, places.index(track_id)
        raise self._no_such_track(video_id, seconds, track_id, links)

    def _no_such_track(
        self, video_id: str, seconds: float, track_id: int, links: pa.Table
    ) -> ValueError:
        order = np.argsort(np.abs(links["time"].to_numpy() - seconds), kind="stable")
        near = list(dict.fromkeys(links["track_id"].to_numpy()[order].tolist()))[:5]
        known = f"; tracks near {seconds:g} s: {', '.join(map(str, near))}" if near else ""
        return ValueError(
            f"bank {self._bank.name!r} has no row of track {track_id} of {video_id!r}{known}"
        )
