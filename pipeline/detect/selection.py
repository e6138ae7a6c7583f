"""Which of a network's boxes are kept, in which order, and the record made of them."""

import difflib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reelbank.pipeline.detect.appearance import appearance
from reelbank.pipeline.detect.boxes import area
from reelbank.stores.records import Detections


class Selector:
    """Makes the record of a frame from everything that a network found there."""

    def __init__(
        self,
        names: Sequence[str],
        categories: Sequence[str] | None,
        *,
        max_per_frame: int,
        feature_dim: int,
    ) -> None:
        """`names` are those of the network's labels; `categories` the wanted ones, None for all."""
        self.names = names
        self._wanted = wanted_labels(names, categories)
        self._max_per_frame = max_per_frame
        self._feature_dim = feature_dim

    def detections(
        self,
        frame: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        labels: NDArray[np.int64],
        features_at: Callable[[NDArray[np.intp]], NDArray[np.float32]],
    ) -> Detections:
        """The kept ones of `boxes` (n, 4); `features_at` gives the features of some, by index."""
        kept = select(boxes, scores, labels, wanted=self._wanted, max_per_frame=self._max_per_frame)
        if not len(kept):
            return self.nothing(frame)
        return Detections(
            boxes=boxes[kept],
            scores=scores[kept],
            categories=tuple(self.names[label] for label in labels[kept]),
            features=features_at(kept),
            appearance=appearance(frame, boxes[kept]),
        )

    def nothing(self, frame: NDArray[np.uint8]) -> Detections:
        """The record of a frame in which nothing was found."""
        boxes = np.zeros((0, 4), dtype=np.float32)
        return Detections(
            boxes=boxes,
            scores=np.zeros(0, dtype=np.float32),
            categories=(),
            features=np.zeros((0, self._feature_dim), dtype=np.float32),
            appearance=appearance(frame, boxes),
        )


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


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """The numbers of a network's output, on the CPU."""
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
