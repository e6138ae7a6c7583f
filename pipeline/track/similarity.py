"""How alike two detections are: overlap of boxes and of colour histograms.

Both are in [0, 1], 1 for equal. Matrices have a row for each of the first and a column for each
of the second argument.
"""

import numpy as np
from numpy.typing import NDArray


def pairwise_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of x1 y1 x2 y2 boxes, (n, 4) with (m, 4); empty boxes give 0."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.prod(np.clip(bottom_right - top_left, 0.0, None), axis=2)
    union = _area(first)[:, None] + _area(second)[None, :] - overlap
    return _ratio(overlap, union)


def pairwise_distance(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of the centres of boxes, (n, 4) with (m, 4), in box sides.

    Across it counts in widths and along in heights, each the mean of the two boxes', so that it
    does not depend on the shape of the frame; infinite where both lack a side.
    """
    apart = np.abs(_centre(first)[:, None] - _centre(second)[None, :])  # (n, m, 2)
    side = (_sides(first)[:, None] + _sides(second)[None, :]) / 2
    in_sides = np.full_like(apart, np.inf)
    np.divide(apart, side, out=in_sides, where=side > 0)
    distance: NDArray[np.float64] = np.hypot(in_sides[..., 0], in_sides[..., 1])
    return distance


def pairwise_colour(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Intersection of histograms, (n, bins) with (m, bins), as a share of the fuller one.

    A histogram that is all 0 (a box without pixels) is like none.
    """
    shared = np.minimum(first[:, None], second[None, :]).sum(axis=2, dtype=np.float64)
    first_sum = first.sum(axis=1, dtype=np.float64)
    second_sum = second.sum(axis=1, dtype=np.float64)
    fuller = np.maximum(first_sum[:, None], second_sum[None, :])
    return _ratio(shared, fuller)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of the whole; 0 where there is none."""
    ratio = np.zeros_like(part)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _sides(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)


def _centre(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    centre: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centre


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.prod(_sides(boxes), axis=1)
    return area
