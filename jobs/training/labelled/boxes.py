"""Detections of the store, and which labelled box each of them shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.jobs.training.labelled.lines import column, numbered
from reelbank.stores.store import Store

# Row i of a bank is of the i-th detection of its category at that key time.
_DETECTIONS = """
SELECT found.video_id, found.time, found.rank, found.score, found.x1, found.y1, found.x2, found.y2,
    row_number() OVER (PARTITION BY found.video_id, found.time ORDER BY found.rank) - 1 AS place
FROM detections AS found JOIN (SELECT unnest($videos) AS video_id) USING (video_id)
WHERE $category IS NULL OR found.category = $category
ORDER BY found.video_id, found.time, found.rank
"""


@dataclass(frozen=True, slots=True)
class FoundBoxes:
    """k detections, by video, time and rank."""

    video: NDArray[np.int64]
    """(k,) number of the video."""
    times: NDArray[np.float64]
    """(k,) key time."""
    rank: NDArray[np.int64]
    """(k,) rank in the table of detections, over all categories."""
    place: NDArray[np.int64]
    """(k,) which row of a bank's key time is its."""
    scores: NDArray[np.float64]
    """(k,) in [0, 1]."""
    boxes: NDArray[np.float64]
    """(k, 4) x1 y1 x2 y2."""

    def take(self, wanted: NDArray[np.bool_]) -> "FoundBoxes":
        """Some of them."""
        names = ("video", "times", "rank", "place", "scores", "boxes")
        return FoundBoxes(*(getattr(self, name)[wanted] for name in names))


def read_detections(store: Store, videos: Sequence[str], category: str | None) -> FoundBoxes:
    """Detections of these videos, of one category or, where that is None, of all."""
    found = store.sql(_DETECTIONS, {"videos": list(videos), "category": category})
    boxes = np.stack([column(found, name) for name in ("x1", "y1", "x2", "y2")], axis=1)
    return FoundBoxes(
        video=numbered(found, videos),
        times=column(found, "time"),
        rank=column(found, "rank").astype(np.int64),
        place=column(found, "place").astype(np.int64),
        scores=column(found, "score"),
        boxes=boxes,
    )


def best_overlaps(
    boxes: NDArray[np.float64],
    at: NDArray[np.int64],
    others: NDArray[np.float64],
    others_at: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each of n boxes the other box of the same moment that it overlaps most, and the IoU.

    `at` (n,) and `others_at` (m,), which rises, are moments. -1 and 0 where there is no other box;
    of two that are overlapped equally, the earlier counts.
    """
    first = np.searchsorted(others_at, at)
    counts = np.searchsorted(others_at, at, side="right") - first
    owner = np.repeat(np.arange(len(at)), counts)  # (pairs,)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    other = first[owner] + place
    iou = _iou(boxes[owner], others[other])
    best, most = np.full(len(at), -1, np.int64), np.zeros(len(at))
    order = np.lexsort((-other, iou))  # The best comes last and stays.
    best[owner[order]], most[owner[order]] = other[order], iou[order]
    return best, most


def _iou(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) overlap of n pairs of boxes; 0 where both are empty."""
    sides = np.minimum(left[:, 2:], right[:, 2:]) - np.maximum(left[:, :2], right[:, :2])
    shared = np.maximum(sides, 0.0).prod(axis=1)
    union = sum((one[:, 2:] - one[:, :2]).prod(axis=1) for one in (left, right)) - shared
    found: NDArray[np.float64] = np.zeros(len(left))
    np.divide(shared, union, out=found, where=union > 0)
    return found
