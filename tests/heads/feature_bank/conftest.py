"""Small heads whose parameters are all in use, as after training."""

import pytest
import torch

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import make_head

CLIP_DIM, ROW_DIM, INNER_DIM, NUM_CLASSES = 7, 5, 6, 4


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        yield


def small_head(*, bank="long_term", dtype=torch.float32, **operator):
    """A head in evaluation mode; `operator` are fields of its OperatorConfig."""
    config = FeatureBankHeadConfig(
        short_term_dim=CLIP_DIM,
        num_classes=NUM_CLASSES,
        bank=bank,
        long_term_dim=ROW_DIM if bank == "long_term" else None,
        operator=OperatorConfig(inner_dim=INNER_DIM, **operator),
    )
    head = make_head(config).to(dtype).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head


def windows(num_windows=6, *, length=9, dtype=torch.float32):
    """Rows (num_windows, length, ROW_DIM) and a mask: from no row to all; gaps anywhere."""
    rows = torch.randn(num_windows, length, ROW_DIM, dtype=dtype)
    mask = torch.rand(num_windows, length) < torch.linspace(0, 1, num_windows)[:, None]
    mask[0], mask[-1] = False, True
    return rows, mask
