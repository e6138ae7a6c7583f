"""What logits are held against, and what they say, by the `loss` of a head's config."""

import torch.nn.functional as F
from torch import Tensor

from reelbank.heads.feature_bank.config import Loss


def classification_loss(logits: Tensor, targets: Tensor, kind: Loss) -> Tensor:
    """The mean loss, float32 at least.

    `sigmoid`: cross entropy of each class by itself, targets (N, num_classes) in [0, 1], mean over
    rows and classes (AVA, Charades). `softmax`: targets (N,) int64, mean over rows (EPIC-Kitchens).
    """
    logits = _at_least_float32(logits)
    if kind == "softmax":
        return F.cross_entropy(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


def class_scores(logits: Tensor, kind: Loss) -> Tensor:
    """Scores in [0, 1], as the logits in shape, float32 at least; under `softmax` they sum to 1."""
    logits = _at_least_float32(logits)
    return logits.softmax(dim=-1) if kind == "softmax" else logits.sigmoid()


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype.itemsize < 4 else logits
