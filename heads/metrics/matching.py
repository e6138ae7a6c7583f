"""Which detections are right: the matching of PASCAL VOC, as the evaluators of AVA do it.

A detection belongs to the ground-truth box of its key frame and class that it overlaps most, and to
no other, be that taken or not. Of the detections that overlap theirs by the threshold or more, the
first is right; all others are false positives.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_MAX_PAIRS = 2_000_000
"""Pairs of boxes compared at once: about 200 MB."""


def first_matches(
    detections: Tensor,
    detection_keys: Tensor,
    ground_truth: Tensor,
    ground_truth_keys: Tensor,
    *,
    ranks: Tensor,
    iou_threshold: float,
) -> Tensor:
    """(n,) bool: the detection with the lowest rank among those that match its box.

    detections: (n, 4) float64 boxes with area; ground_truth: (g, 4) float64 boxes; keys: (n,) and
    (g,) int64, equal for the same key frame and class; ranks: (n,) int64, all different. Of two
    ground-truth boxes that are overlapped equally, the earlier row counts.
    """
    order = ground_truth_keys.argsort(stable=True)
    boxes, keys = ground_truth[order], ground_truth_keys[order].contiguous()
    first = torch.searchsorted(keys, detection_keys)
    counts = torch.searchsorted(keys, detection_keys, right=True) - first
    best = torch.full_like(first, -1)  # no box, or none that overlaps enough
    for rows in _chunks(counts):
        found, iou = _most_overlapped(detections[rows], first[rows], counts[rows], boxes)
        best[rows] = torch.where(iou >= iou_threshold, found, -1)
    matched = (best >= 0).nonzero()[:, 0]
    earliest = torch.full((len(boxes),), torch.iinfo(torch.int64).max)
    earliest.scatter_reduce_(0, best[matched], ranks[matched], "amin")
    is_first = torch.zeros(len(detections), dtype=torch.bool)
    is_first[matched] = ranks[matched] == earliest[best[matched]]
    return is_first


def _chunks(counts: Tensor) -> Iterator[Tensor]:
    """Rows that have something to be compared with, so many at a time that the pairs are few."""
    rows = counts.nonzero()[:, 0]
    chunk = (counts[rows].cumsum(0) - 1).div(_MAX_PAIRS, rounding_mode="floor")
    _, sizes = torch.unique_consecutive(chunk, return_counts=True)
    yield from torch.split(rows, sizes.tolist())


def _most_overlapped(
    detections: Tensor, first: Tensor, counts: Tensor, boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """(n,) int64 row of `boxes` and (n,) float64 IoU, of boxes[first : first + counts] each."""
    owner = torch.arange(len(counts)).repeat_interleave(counts)  # (pairs,)
    place = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner]
    other = first[owner] + place
    iou = _iou(detections[owner], boxes[other])
    most = torch.zeros(len(counts), dtype=iou.dtype).scatter_reduce_(0, owner, iou, "amax")
    at_most = iou == most[owner]
    found = torch.full_like(first, len(boxes))
    found.scatter_reduce_(0, owner[at_most], other[at_most], "amin")
    return found, most


def _iou(left: Tensor, right: Tensor) -> Tensor:
    """(n,) overlap of n pairs of boxes, in the official evaluator's order of operations."""
    sides = torch.minimum(left[:, 2:], right[:, 2:]) - torch.maximum(left[:, :2], right[:, :2])
    shared = sides.clamp_min(0.0).prod(1)
    areas = (left[:, 2:] - left[:, :2]).prod(1) + (right[:, 2:] - right[:, :2]).prod(1)
    return shared / (areas - shared)
