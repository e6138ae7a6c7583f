"""Box arithmetic on x1 y1 x2 y2 arrays, in any unit."""

import numpy as np
from numpy.typing import NDArray


def clip(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (n, 4) moved into the frame [0, 1]."""
    clipped: NDArray[np.float32] = np.clip(boxes, np.float32(0.0), np.float32(1.0))
    return clipped


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas (n,); 0 where a box's corners are swapped."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], np.float32(0.0))
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def iou(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union (n, m) of boxes (n, 4) with boxes (m, 4); 0 where both are empty."""
    corner_min = np.maximum(left[:, None, :2], right[None, :, :2])  # (n, m, 2)
    corner_max = np.minimum(left[:, None, 2:], right[None, :, 2:])
    sides = np.maximum(corner_max - corner_min, np.float32(0.0))
    intersection = sides[..., 0] * sides[..., 1]  # (n, m)
    union = area(left)[:, None] + area(right)[None, :] - intersection
    result: NDArray[np.float32] = np.zeros_like(intersection)
    np.divide(intersection, union, out=result, where=union > np.float32(0.0))
    return result


def rank(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Order (n,) by falling score; equal scores by x1, y1, x2, y2."""
    return np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores))


def nms(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, max_iou: float
) -> NDArray[np.intp]:
    """Indices of the boxes that overlap no better kept box by more than `max_iou`, best first."""
    left = rank(boxes, scores)
    kept: list[np.intp] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[iou(boxes[best : best + 1], boxes[left])[0] <= max_iou]
    return np.asarray(kept, dtype=np.intp)
