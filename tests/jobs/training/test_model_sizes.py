"""Whole models of the thesis beside its 3D CNN: table 7.2f, whose two columns are swapped."""

import pytest
import torch
from torch import nn

from reelbank.heads.feature_bank.config import Bank, FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.pipeline.backbones.models import construct
from reelbank.pipeline.backbones.zoo import BACKBONES

NUM_CLASSES = 80


def num_parameters(*modules: nn.Module) -> int:
    return sum(weight.numel() for module in modules for weight in module.parameters())


def whole_model(bank: Bank, num_layers: int = 2) -> int:
    """Parameters of the clip's network, the bank's own one where there is a bank, and the head."""
    with torch.device("meta"):
        trunk = construct(BACKBONES["i3d_nl_r50_dilated"]())
        head = make_head(
            FeatureBankHeadConfig(
                short_term_dim=trunk.feature_dim,
                num_classes=NUM_CLASSES,
                bank=bank,
                operator=OperatorConfig(num_layers=num_layers),
            )
        )
    return num_parameters(*[trunk] * (2 if bank == "long_term" else 1), head)


def test_the_3d_cnn_is_its_trunk_and_a_linear_classifier() -> None:
    assert whole_model("none") == 34_582_336 + (2048 + 1) * NUM_CLASSES


@pytest.mark.parametrize(
    ("bank", "num_layers", "expected", "ratio"),
    [
        ("short_term", 2, 38_986_640, 1.12),
        ("long_term", 2, 73_568_976, 2.12),
        ("long_term", 3, 74_619_600, 2.15),
    ],
)
def test_a_whole_model_is_as_many_times_the_3d_cnn_as_the_thesis_says(
    bank: Bank, num_layers: int, expected: int, ratio: float
) -> None:
    found = whole_model(bank, num_layers)
    assert found == expected
    assert round(found / whole_model("none"), 2) == ratio
