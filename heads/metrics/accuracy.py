"""Top-k accuracy, and that of EPIC-Kitchens' verbs, nouns and actions.

Source of the actions: Wu et al., Long-Term Feature Banks, CVPR 2019, section 5, and the released
tools/evaluate_actions.py. Departure: a class with the same score as the label counts as one before
it, so that a constant prediction is wrong; the released script leaves that to an unstable sort.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reelbank.heads.metrics.ranking import check_scores

_MAX_ACTION_SCORES = 4_000_000
"""Scores of pairs held at once: 32 MB."""

_SMOOTHING = 1e-5
"""Added to a verb's frequency, as in the released script; keeps verbs that were never seen at 0."""


@dataclass(frozen=True, slots=True)
class TopAccuracy:
    """Shares in [0, 1]."""

    top1: float
    """Of the rows whose label has the highest score."""
    top5: float
    """Of the rows whose label is among the five highest scores."""


@dataclass(frozen=True, slots=True)
class EpicAccuracy:
    """The three tasks of EPIC-Kitchens."""

    verb: TopAccuracy
    noun: TopAccuracy
    action: TopAccuracy
    """Verb and noun both right."""


def top_accuracy(scores: Tensor, labels: Tensor) -> TopAccuracy:
    """Of (n, classes) scores of any kind and (n,) int64 labels, n > 0."""
    return _of_places(label_places(scores, labels))


def label_places(scores: Tensor, labels: Tensor) -> Tensor:
    """(n,) int64: how many other classes score as much as the label or more; 0 is top-1.

    scores: (n, classes) float; labels: (n,) int64. ValueError for other shapes, NaN, and labels
    that are no class.
    """
    _check(scores, labels, "class")
    theirs = scores.gather(1, labels[:, None])
    return (scores >= theirs).sum(1) - 1


def action_prior(verbs: Tensor, nouns: Tensor, *, num_verbs: int, num_nouns: int) -> Tensor:
    """(num_verbs, num_nouns) float64: how often a verb of the training set has each noun.

    verbs, nouns: (n,) int64 labels of the training segments, n > 0.
    """
    counts = torch.bincount(verbs * num_nouns + nouns, minlength=num_verbs * num_nouns)
    shares = counts.view(num_verbs, num_nouns) / counts.sum().double()
    return shares / (shares.sum(1, keepdim=True) + _SMOOTHING)


def epic_accuracy(
    verb_logits: Tensor,
    noun_logits: Tensor,
    verbs: Tensor,
    nouns: Tensor,
    *,
    prior: Tensor | None,
) -> EpicAccuracy:
    """Accuracy of n segments; the score of an action is softmax(verb) x softmax(noun) x prior.

    verb_logits: (n, num_verbs); noun_logits: (n, num_nouns); verbs, nouns: (n,) int64 labels, n >
    0; prior: (num_verbs, num_nouns), as of `action_prior`, or None for all actions alike.
    """
    _check(verb_logits, verbs, "verb")
    _check(noun_logits, nouns, "noun")
    expected = (verb_logits.shape[1], noun_logits.shape[1])
    if len(verbs) != len(nouns):
        raise ValueError(f"{len(verbs)} verbs and {len(nouns)} nouns; each segment has one of each")
    if prior is not None and prior.shape != expected:
        raise ValueError(f"prior must be {expected}, verbs by nouns, got {tuple(prior.shape)}")
    verb_shares, noun_shares = (logits.double().softmax(1) for logits in (verb_logits, noun_logits))
    actions = verbs * expected[1] + nouns
    size = max(1, _MAX_ACTION_SCORES // (expected[0] * expected[1]))
    places = []
    for rows in torch.split(torch.arange(len(actions)), size):
        scores = verb_shares[rows, :, None] * noun_shares[rows, None, :]
        if prior is not None:
            scores = scores * prior
        places.append(label_places(scores.flatten(1), actions[rows]))
    return EpicAccuracy(
        verb=top_accuracy(verb_logits, verbs),
        noun=top_accuracy(noun_logits, nouns),
        action=_of_places(torch.cat(places)),
    )


def _of_places(places: Tensor) -> TopAccuracy:
    return TopAccuracy(*[float((places < k).double().mean()) for k in (1, 5)])


def _check(scores: Tensor, labels: Tensor, kind: str) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or len(labels) == 0:
        raise ValueError(
            f"scores must be (n, classes) and labels (n,) with n > 0, got {tuple(scores.shape)} "
            f"and {tuple(labels.shape)}"
        )
    check_scores(scores)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= scores.shape[1]:
        raise ValueError(
            f"labels from {low} to {high} do not fit scores of {scores.shape[1]} classes; "
            f"the number of a {kind} is in [0, {scores.shape[1]})"
        )
