"""Which of a network's boxes are kept, and in which order."""

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.detect.boxes import area


def wanted_labels(names: Sequence[str], categories: Sequence[str] | None) -> NDArray[np.bool_]:
    """For each label of the network, by its name, whether `categories` asks for it."""
    if categories is None:
        return np.ones(len(names), dtype=np.bool_)
    for category in categories:
        if category not in names:
            close = difflib.get_close_matches(category, names, n=3) or sorted(set(names))
            raise ValueError(
                f"category {category!r} is unknown to this detector; did you mean one of: "
                f"{', '.join(close)}?"
            )
    return np.asarray([name in categories for name in names], dtype=np.bool_)


def select(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    wanted: NDArray[np.bool_],
    max_per_frame: int,
) -> NDArray[np.intp]:
    """Indices of the boxes (n, 4) with an area and a wanted label: the best, by falling score.

    Equal scores are ordered by box, then label, so that the order never depends on the network's.
    """
    order = np.lexsort((labels, boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores))
    is_kept = wanted[labels] & (area(boxes) > 0.0) & np.isfinite(scores)
    return order[is_kept[order]][:max_per_frame]
