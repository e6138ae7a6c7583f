"""Losses and scores against their closed forms."""

import math

import pytest
import torch

from reelbank.heads.feature_bank.losses import class_scores, classification_loss


def test_sigmoid_loss_is_the_mean_over_rows_and_classes():
    logits = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]])
    targets = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    expected = (math.log(2) + math.log(4 / 3) + math.log(4) + math.log(2)) / 4
    assert classification_loss(logits, targets, "sigmoid").item() == pytest.approx(expected)


def test_softmax_loss_is_the_mean_over_rows():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert classification_loss(logits, torch.tensor([1, 0]), "softmax").item() == pytest.approx(
        expected
    )


def test_scores_are_probabilities():
    logits = torch.tensor([[0.0, math.log(3)]])
    assert class_scores(logits, "sigmoid").tolist()[0] == pytest.approx([1 / 2, 3 / 4])
    assert class_scores(logits, "softmax").tolist()[0] == pytest.approx([1 / 4, 3 / 4])


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_half_precision_logits_are_taken_in_float32(kind):
    logits = torch.randn(5, 3).bfloat16()
    targets = torch.tensor([0, 2, 1, 0, 0]) if kind == "softmax" else torch.ones(5, 3)
    loss = classification_loss(logits, targets, kind)
    assert loss.dtype == class_scores(logits, kind).dtype == torch.float32
    assert loss == classification_loss(logits.float(), targets, kind)
