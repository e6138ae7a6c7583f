"""Average precision of each class, by the definitions that the published benchmarks use.

Precision and recall are taken after each claim, from the highest score down. A class without
positives has no average precision (NaN) and does not enter a mean; one with positives and without
claims has 0.

Claims with equal scores: a threshold cannot tell them apart, so they are taken in together, and the
result does not depend on the order of rows. The official evaluators of AVA put them in the order
that an unstable sort happens to leave; ours is the lowest value that any such order can give.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from reelbank.heads.metrics.ranking import Ranking

Curve = Literal["all_points", "eleven_points", "steps"]
Ties = Literal["together", "row_order"]


@dataclass(frozen=True, slots=True)
class Definition:
    """Which area is meant by average precision."""

    curve: Curve
    """'all_points': area under the precision made non-increasing in recall (PASCAL VOC 2010, AVA).
    'eleven_points': its mean at recall 0, 0.1, ..., 1 (PASCAL VOC 2007), recalls compared exactly;
    scripts that compare with a rounded 0.3 or 0.7 may miss a point.
    'steps': mean of the precision at each positive, not interpolated (Charades, scikit-learn)."""
    ties: Ties
    """'together', or 'row_order': the earlier row first, as a stable sort leaves them."""


ALL_POINTS = Definition("all_points", "together")
ELEVEN_POINTS = Definition("eleven_points", "together")
STEPS = Definition("steps", "together")


@dataclass(frozen=True, slots=True)
class ClassAveragePrecision:
    """Average precision in [0, 1] of each class, NaN where a class has no positives."""

    per_class: Tensor
    """(num_classes,) float64."""
    num_positives: Tensor
    """(num_classes,) int64."""
    mean: float
    """Over the classes with positives; NaN where there is none."""
    weighted_mean: float
    """The same, each class weighted by its number of positives."""


def average_precision(ranking: Ranking, definition: Definition) -> ClassAveragePrecision:
    """Average precision of each class of a ranking, and the means."""
    num_positives = ranking.num_positives.sum(0)
    per_class = torch.full((ranking.num_classes,), torch.nan, dtype=torch.float64)
    once = torch.ones(1, ranking.num_videos, dtype=torch.float64)
    for index, claims in claims_by_class(ranking, definition.ties):
        positives = num_positives[index : index + 1].double()
        per_class[index] = weighted_area(claims, once, positives, definition.curve)[0]
    counted = num_positives > 0
    weighted = (per_class * num_positives)[counted].sum() / num_positives.sum()
    return ClassAveragePrecision(
        per_class, num_positives, float(per_class.nanmean()), float(weighted)
    )


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of one class, from the highest score down.

    Precision is read at the end of each run of ties that holds a correct claim: in between it only
    falls and nothing is found.
    """

    videos: Tensor
    """(n,) int64: video of each claim."""
    correct_videos: Tensor
    """(c,) int64: video of each correct claim."""
    ends: Tensor
    """(m,) int64: place in `videos` of the last claim of each such run."""
    correct_ends: Tensor
    """(m,) int64: place in `correct_videos` of the last correct claim of each such run."""


def claims_by_class(ranking: Ranking, ties: Ties) -> Iterator[tuple[int, Claims]]:
    """Number and sorted claims of each class."""
    by_score = torch.argsort(ranking.scores, descending=True, stable=True)
    by_class = torch.argsort(ranking.class_index[by_score], stable=True)
    order = by_score[by_class]
    counts = torch.bincount(ranking.class_index, minlength=ranking.num_classes)
    for index, rows in enumerate(torch.split(order, counts.tolist())):
        scores = ranking.scores[rows]
        is_end = torch.ones(len(rows), dtype=torch.bool)
        if ties == "together":
            is_end[:-1] = scores[1:] != scores[:-1]
        yield index, _claims(ranking.is_correct[rows], ranking.video_index[rows], is_end)


def _claims(is_correct: Tensor, videos: Tensor, is_end: Tensor) -> Claims:
    ends = is_end.nonzero()[:, 0]
    num_correct = is_correct.cumsum(0)[ends]
    gains = num_correct.diff(prepend=torch.zeros_like(num_correct[:1])) > 0
    return Claims(videos, videos[is_correct], ends[gains], num_correct[gains] - 1)


def weighted_area(claims: Claims, weights: Tensor, positives: Tensor, curve: Curve) -> Tensor:
    """(r,) average precision where video v counts weights[:, v] times, for r sets of weights.

    weights: (r, num_videos) float64 whole numbers; positives: (r,) float64. NaN where that is 0.
    """
    if len(claims.ends) == 0:
        return torch.zeros_like(positives) / positives
    taken = weights[:, claims.videos].cumsum_(1)[:, claims.ends]
    found = weights[:, claims.correct_videos].cumsum_(1)[:, claims.correct_ends]
    precision = found / taken.clamp_min(1.0)  # (r, m); nothing taken, nothing found: 0
    if curve == "eleven_points":
        return _eleven_points(precision, found, positives)
    if curve == "all_points":
        precision = precision.flip(1).cummax(1).values.flip(1)
    gained = found.diff(dim=1, prepend=torch.zeros_like(found[:, :1]))
    return (gained * precision).sum(1) / positives


def _eleven_points(precision: Tensor, found: Tensor, positives: Tensor) -> Tensor:
    total = torch.zeros_like(positives)
    for tenths in range(11):
        reached = 10 * found >= tenths * positives[:, None]
        total += torch.where(reached, precision, 0.0).amax(1)
    return torch.where(positives > 0, total / 11, torch.nan)
