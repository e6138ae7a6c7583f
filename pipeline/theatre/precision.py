"""Average precision that scores reach in the long run, from how often each score is right."""

from collections.abc import Iterable

import numpy as np


def average_precision(chances: Iterable[tuple[float, float]]) -> float:
    """Area under precision over recall of the best scores: the probability of being right.

    `chances` holds for each thing that an observer tells apart the probability that it is seen
    together with a positive, and with a negative. Equal scores are in random order.
    """
    pairs = np.array([pair for pair in chances if sum(pair) > 0], np.float64).reshape(-1, 2)
    if not pairs[:, 0].sum() > 0:
        raise ValueError("nothing is positive, so there is no average precision")
    order = np.argsort(-pairs[:, 0] / pairs.sum(axis=1), kind="stable")
    right, wrong = pairs[order].T
    positives = right.sum()
    found = wrong_before = area = 0.0
    for gained, mistaken in zip(right, wrong, strict=True):
        area += _tied(found, wrong_before, gained, mistaken)
        found += gained
        wrong_before += mistaken
    return float(area / positives)


def _tied(found: float, mistaken: float, more: float, wrong: float) -> float:
    """Precision summed over the positives of one score, which come evenly among its negatives."""
    if more <= 0:
        return 0.0
    size, slope = more + wrong, more / (more + wrong)
    before = found + mistaken
    # Integral over x in [0, 1] of more * (found + x more) / (before + x size).
    if before <= 0:
        return more * slope
    rest = found - slope * before
    return float(more * (slope + rest / size * np.log1p(size / before)))
