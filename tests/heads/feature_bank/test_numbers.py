"""The sizes and costs that the thesis and the arithmetic of its layers give."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import FeatureBankHead, make_head
from reelbank.heads.feature_bank.places import where
from tests.heads.feature_bank.written_out import batched

BACKBONE_PARAMETERS = 34_582_336
"""Of the R50-I3D-NL network without a classifier."""
WINDOW_ROWS = 300


def head(bank="long_term", **operator):
    return make_head(
        FeatureBankHeadConfig(
            short_term_dim=2048,
            num_classes=80,
            bank=bank,
            operator=OperatorConfig(**operator),
        )
    )


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("num_layers", "expected"), [(1, 3_148_800), (2, 4_199_424), (3, 5_250_048)]
)
def test_parameters_of_the_non_local_operator(num_layers, expected):
    assert num_parameters(head(num_layers=num_layers).operator) == expected


@pytest.mark.parametrize(
    ("of", "classifier_dim", "expected"),
    [
        ({}, 2560, 204_880),
        ({"kind": "average"}, 4096, 327_760),
        ({"kind": "max"}, 4096, 327_760),
        ({"bank": "short_term"}, 2560, 204_880),
        ({"bank": "none"}, 2048, 163_920),
    ],
    ids=str,
)
def test_width_and_parameters_of_the_classifier(of, classifier_dim, expected):
    made = head(**of)
    assert made.config.classifier_dim == classifier_dim
    assert num_parameters(made.classifier) == expected


@pytest.mark.parametrize("kind", ["average", "max"])
def test_pooling_has_no_parameters(kind):
    assert num_parameters(head(kind=kind).operator) == 0


@pytest.mark.parametrize(
    ("of", "num_backbones", "expected"),
    [
        ({"bank": "short_term"}, 1, 1.12),
        ({"num_layers": 2}, 2, 2.12),
        ({"num_layers": 3}, 2, 2.15),
    ],
    ids=["STO", "LFB of two layers", "LFB of three layers"],
)
def test_whole_model_beside_the_3d_cnn(of, num_backbones, expected):
    """Table 7.2f, whose columns of parameters and FLOPs are exchanged."""
    whole = num_backbones * BACKBONE_PARAMETERS + num_parameters(head(**of))
    baseline = BACKBONE_PARAMETERS + num_parameters(head(bank="none"))
    assert round(whole / baseline, 2) == expected


def giga_multiply_adds(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2e9


@torch.no_grad()
def test_cost_of_two_layers_for_a_box_with_its_own_window():
    made: FeatureBankHead = head().eval()
    clips, rows = torch.randn(1, 2048), torch.randn(1, WINDOW_ROWS, 2048)
    mask = torch.ones(1, WINDOW_ROWS, dtype=torch.bool)
    written_out = giga_multiply_adds(lambda: batched(made, clips, rows, mask))
    assert written_out == pytest.approx(0.63, abs=0.005)
    # Ours maps the rows once instead of five times, and padding not at all.
    reduction = WINDOW_ROWS * 2048 * 512 / 1e9
    ours = giga_multiply_adds(lambda: made(clips, rows, mask))
    assert reduction < ours < 1.02 * reduction
    mask[:, WINDOW_ROWS // 2 :] = False
    half = giga_multiply_adds(lambda: made(clips, rows, mask))
    assert half < 0.52 * ours


@torch.no_grad()
def test_more_boxes_of_a_frame_cost_hardly_more():
    made = head().eval()
    rows = torch.randn(1, WINDOW_ROWS, 2048)
    one, five = (
        giga_multiply_adds(
            lambda n=n: made(
                torch.randn(n, 2048), rows, window_of=torch.zeros(n, dtype=torch.int64)
            )
        )
        for n in (1, 5)
    )
    assert five < 1.06 * one


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("affinity", ["embedded_gaussian", "dot_product", "concatenation"])
def test_a_new_operator_hands_on_the_reduced_clip(num_layers, affinity):
    made = head(num_layers=num_layers, affinity=affinity).eval()
    clips, rows = torch.randn(3, 2048), torch.randn(3, 4, 2048)
    mask = torch.ones(3, 4, dtype=torch.bool)
    seen = made.operator(clips[:, None], rows.flatten(0, 1), where(mask))[:, 0]
    assert torch.equal(seen, made.operator.query_reduction(clips))
    assert torch.equal(made(clips, rows, mask), made(clips, 100 * rows, mask))


def test_a_new_operator_in_the_other_order_hands_on_the_rectified_clip():
    made = head(order="post_activation").eval()
    clips = torch.randn(3, 2048)
    places = where(torch.ones(3, 4, dtype=torch.bool))
    seen = made.operator(clips[:, None], torch.randn(12, 2048), places)[:, 0]
    assert torch.equal(seen, made.operator.query_reduction(clips).relu())


def test_initial_weights_have_the_published_spread():
    made = head(num_layers=3, affinity="concatenation", time_embedding="sinusoidal")
    for name, parameter in made.named_parameters():
        if name.endswith("bias") or ".out." in name:
            assert (parameter == 0).all(), name
        else:
            assert parameter.mean().item() == pytest.approx(0, abs=2e-3), name
            assert parameter.std().item() == pytest.approx(0.01, rel=0.1), name
