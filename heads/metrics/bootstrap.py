"""Error bars: how far an average precision moves when other videos had been filmed.

Whole videos are drawn with replacement, since the claims within a video are not independent. A
video drawn twice counts as two videos with the same content.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reelbank.heads.metrics.average_precision import (
    Claims,
    Curve,
    Definition,
    claims_by_class,
    weighted_area,
)
from reelbank.heads.metrics.ranking import Ranking

_MAX_WEIGHTS = 4_000_000
"""Weights held at once: 32 MB, and a few times that in between."""


@dataclass(frozen=True, slots=True)
class ErrorBars:
    """Spread of a value over the draws; NaN where no draw has the class."""

    low: Tensor
    """Lower end of the interval; of the shape of the value."""
    high: Tensor
    """Upper end of the interval."""
    deviation: Tensor
    """Standard deviation; NaN for fewer than two draws with the class."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Error bars of an average precision."""

    per_class: ErrorBars
    """(num_classes,) float64 each."""
    mean: ErrorBars
    """Of the mean over the classes that a draw has positives of; () float64 each."""


def bootstrap(
    ranking: Ranking,
    definition: Definition,
    *,
    num_draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Bootstrap:
    """Percentile intervals over `num_draws` draws of videos; the same seed, the same intervals.

    ValueError for fewer than two videos, and for a definition with ties in row order, since a
    video drawn twice has no row order.
    """
    if ranking.num_videos < 2:
        raise ValueError(
            f"error bars come from drawing videos, and there is {ranking.num_videos}; "
            "evaluate at least two videos, or leave the error bars out"
        )
    if definition.ties == "row_order":
        raise ValueError("error bars need ties='together'; ties='row_order' was asked for")
    if num_draws < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"num_draws={num_draws} must be at least 1 and confidence={confidence} within (0, 1)"
        )
    drawn = _draws(ranking.num_videos, num_draws=num_draws, seed=seed)
    positives = drawn @ ranking.num_positives.double()  # (num_draws, num_classes)
    found = torch.empty_like(positives)
    for index, claims in claims_by_class(ranking, definition.ties):
        found[:, index] = _areas(claims, drawn, positives[:, index], definition.curve)
    return Bootstrap(_bars(found, confidence), _bars(found.nanmean(1), confidence))


def _draws(num_videos: int, *, num_draws: int, seed: int) -> Tensor:
    """(num_draws, num_videos) float64: how often each video is drawn."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(num_videos, (num_draws, num_videos), generator=generator)
    counts = torch.zeros(num_draws, num_videos, dtype=torch.float64)
    return counts.scatter_add_(1, chosen, torch.ones_like(counts))


def _areas(claims: Claims, drawn: Tensor, positives: Tensor, curve: Curve) -> Tensor:
    size = max(1, _MAX_WEIGHTS // max(1, len(claims.videos)))
    return torch.cat(
        [
            weighted_area(claims, some, theirs, curve)
            for some, theirs in zip(
                torch.split(drawn, size), torch.split(positives, size), strict=True
            )
        ]
    )


def _bars(found: Tensor, confidence: float) -> ErrorBars:
    tail = (1 - confidence) / 2
    counts = (~found.isnan()).sum(0)
    squares = (found - found.nanmean(0)).square().nansum(0)
    return ErrorBars(
        low=found.nanquantile(tail, dim=0),
        high=found.nanquantile(1 - tail, dim=0),
        deviation=torch.where(counts > 1, (squares / (counts - 1)).sqrt(), torch.nan),
    )
