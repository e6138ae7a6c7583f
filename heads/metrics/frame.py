"""Frame mAP of AVA: boxes and actions at key frames, matched at IoU 0.5.

Sources: the official evaluator (ActivityNet, Evaluation/get_ava_performance.py) and the copy of it
that SlowFast and the released long-term feature banks use; they differ, see `FrameProtocol`.
mmaction2's is the official one without the limit, on float32 boxes, and its mean leaves out classes
without detections. Departure: ties, see average_precision.py; at the limit, of detections with the
same score those of higher class id stay, then those of higher y1, x1, y2, x2.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from reelbank.heads.metrics.average_precision import (
    ALL_POINTS,
    ClassAveragePrecision,
    average_precision,
)
from reelbank.heads.metrics.boxes import Detections, GroundTruth, KeyFrames, key_frame_numbers
from reelbank.heads.metrics.matching import first_matches
from reelbank.heads.metrics.ranking import Ranking


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameProtocol:
    """What an evaluator of frame mAP counts."""

    iou_threshold: float = 0.5
    """Overlap from which on a detection matches a box."""
    max_per_key_frame: int | None
    """Detections of one key frame that count, over all classes, the best first; None: all."""
    only_annotated: bool
    """Whether detections at key frames without ground truth are left out; otherwise they are false
    positives, as where the key frames come from proposals."""
    best_first: bool
    """Whether a box goes to the matching detection with the highest score; otherwise to the one in
    the earliest row."""


ACTIVITYNET = FrameProtocol(max_per_key_frame=50, only_annotated=True, best_first=True)
"""The official evaluator."""
SLOWFAST = FrameProtocol(max_per_key_frame=None, only_annotated=False, best_first=False)
"""SlowFast and the released long-term feature banks; give them the proposals' key frames."""

FRAME_PROTOCOLS = {"activitynet": ACTIVITYNET, "slowfast": SLOWFAST}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many detections did not count, by the first reason that holds."""

    excluded: int
    """At an excluded key frame."""
    other_class: int
    """Of a class that is not evaluated."""
    not_annotated: int
    """At a key frame without ground truth."""
    over_limit: int
    """Past the limit of a key frame."""
    no_area: int
    """With x1 >= x2 or y1 >= y2."""


@dataclass(frozen=True, slots=True)
class FrameRanking:
    """Matched detections, and what became of the others."""

    ranking: Ranking
    """Classes in the order of `class_ids`; videos are those with ground truth or detections."""
    left_out: LeftOut
    """Counts of detections; all others are in the ranking."""


def frame_average_precision(
    ground_truth: GroundTruth,
    detections: Detections,
    *,
    class_ids: Tensor,
    protocol: FrameProtocol = ACTIVITYNET,
    excluded: KeyFrames | None = None,
) -> ClassAveragePrecision:
    """Average precision of each class; arguments as of `rank_detections`."""
    found = rank_detections(
        ground_truth, detections, class_ids=class_ids, protocol=protocol, excluded=excluded
    )
    return average_precision(found.ranking, ALL_POINTS)


def rank_detections(
    ground_truth: GroundTruth,
    detections: Detections,
    *,
    class_ids: Tensor,
    protocol: FrameProtocol = ACTIVITYNET,
    excluded: KeyFrames | None = None,
) -> FrameRanking:
    """Match detections to the ground truth.

    class_ids: (num_classes,) int64, the ids that are evaluated (60 of AVA's 80), all different;
    excluded: key frames of which neither ground truth nor detections count.
    """
    if len(class_ids) == 0 or len(torch.unique(class_ids)) != len(class_ids):
        raise ValueError(
            f"class_ids must hold at least one id and none twice, got {class_ids.tolist()}"
        )
    at_truth, at_claim, at_excluded = key_frame_numbers(
        ground_truth.at, detections.at, excluded or _NO_KEY_FRAMES
    )
    truth_class = _class_index(ground_truth.labels, class_ids)
    claim_class = _class_index(detections.labels, class_ids)
    is_counted = ~torch.isin(at_truth, at_excluded)
    rows, left_out = _counted(
        detections, claim_class, at_claim, at_truth[is_counted], at_excluded, protocol
    )
    true_rows = (is_counted & (truth_class >= 0)).nonzero()[:, 0]
    scores, found_class, true_class = (
        detections.scores[rows],
        claim_class[rows],
        truth_class[true_rows],
    )
    is_correct = first_matches(
        detections.boxes[rows].double(),
        at_claim[rows] * len(class_ids) + found_class,
        ground_truth.boxes[true_rows].double(),
        at_truth[true_rows] * len(class_ids) + true_class,
        ranks=_ranks(scores) if protocol.best_first else torch.arange(len(rows)),
        iou_threshold=protocol.iou_threshold,
    )
    both = torch.cat([ground_truth.at.video[true_rows], detections.at.video[rows]])
    videos, video_index = torch.unique(both, return_inverse=True)
    true_video, found_video = video_index.tensor_split([len(true_rows)])
    num_positives = torch.zeros(len(videos), len(class_ids), dtype=torch.int64)
    num_positives.index_put_((true_video, true_class), torch.tensor(1), accumulate=True)
    ranking = Ranking(scores.double(), is_correct, found_class, found_video, num_positives)
    return FrameRanking(ranking, left_out)


_NO_KEY_FRAMES = KeyFrames(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64))


def _class_index(labels: Tensor, class_ids: Tensor) -> Tensor:
    """(n,) int64: place of each label in class_ids, -1 where it is not there."""
    ids, places = class_ids.sort()
    found = torch.searchsorted(ids, labels).clamp_max(len(ids) - 1)
    return torch.where(ids[found] == labels, places[found], -1)


def _counted(
    detections: Detections,
    claim_class: Tensor,
    at: Tensor,
    annotated: Tensor,
    excluded: Tensor,
    protocol: FrameProtocol,
) -> tuple[Tensor, LeftOut]:
    """(k,) int64 rows that count, in row order, and how many do not."""
    rows = torch.arange(len(at))
    sizes = [len(rows)]

    def keep(wanted: Tensor) -> None:
        nonlocal rows
        rows = rows[wanted]
        sizes.append(len(rows))

    keep(~torch.isin(at[rows], excluded))
    keep(claim_class[rows] >= 0)
    keep(torch.isin(at[rows], annotated) | (not protocol.only_annotated))
    keep(_within_limit(detections, at, rows, protocol.max_per_key_frame))
    boxes = detections.boxes[rows]
    keep((boxes[:, :2] < boxes[:, 2:]).all(1))
    return rows, LeftOut(*[before - after for before, after in pairwise(sizes)])


def _within_limit(detections: Detections, at: Tensor, rows: Tensor, limit: int | None) -> Tensor:
    """(k,) bool for k rows: among the best `limit` of its key frame."""
    is_within = torch.ones(len(rows), dtype=torch.bool)
    if limit is None or len(rows) == 0:
        return is_within
    crowded = (torch.bincount(at[rows])[at[rows]] > limit).nonzero()[:, 0]
    scores, places = detections.scores[rows], at[rows]
    order = _by_key_frame(crowded, scores, places)
    ties = (scores[order][1:] == scores[order][:-1]) & (places[order][1:] == places[order][:-1])
    tied = torch.zeros(len(order), dtype=torch.bool)
    tied[1:] |= ties
    tied[:-1] |= ties
    order[tied] = _untied(order[tied], detections, rows, places)
    of_frame = places[order]
    above = torch.arange(len(order)) - torch.searchsorted(of_frame, of_frame)
    is_within[order[above >= limit]] = False
    return is_within


def _by_key_frame(chosen: Tensor, scores: Tensor, places: Tensor) -> Tensor:
    """The chosen rows by key frame, the highest score first."""
    order = chosen[scores[chosen].argsort(descending=True, stable=True)]
    return order[places[order].argsort(stable=True)]


def _untied(chosen: Tensor, detections: Detections, rows: Tensor, places: Tensor) -> Tensor:
    """The chosen rows by key frame, the highest score first, then class id, y1, x1, y2, x2."""
    x1, y1, x2, y2 = detections.boxes[rows[chosen]].unbind(1)
    order = torch.arange(len(chosen))
    for column in (x2, y2, x1, y1, detections.labels[rows[chosen]]):
        order = order[column[order].argsort(descending=True, stable=True)]
    return _by_key_frame(chosen[order], detections.scores[rows], places)


def _ranks(scores: Tensor) -> Tensor:
    """(n,) int64: place of each row from the highest score down, ties in row order."""
    ranks = torch.empty(len(scores), dtype=torch.int64)
    ranks[scores.argsort(descending=True, stable=True)] = torch.arange(len(scores))
    return ranks
