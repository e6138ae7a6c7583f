"""Types of numbers, dropout and gradients, as training meets them."""

import pytest
import torch

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.heads.feature_bank.losses import classification_loss
from tests.heads.feature_bank.conftest import (
    CLIP_DIM,
    INNER_DIM,
    NUM_CLASSES,
    ROW_DIM,
    small_head,
    windows,
)

BANKS = ["long_term", "short_term", "none"]


@pytest.mark.parametrize("kind", ["non_local", "average", "max"])
def test_float16_rows_are_read_as_float32(kind):
    head = small_head(kind=kind)
    clips, (rows, mask) = torch.randn(6, CLIP_DIM).half(), windows(dtype=torch.float16)
    logits = head(clips, rows, mask)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, head(clips.float(), rows.float(), mask))


@pytest.mark.parametrize("rows_dtype", [torch.float16, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("affinity", ["embedded_gaussian", "dot_product", "concatenation"])
def test_bfloat16_autocast_gives_logits_and_gradients_close_to_float32(rows_dtype, affinity):
    head = small_head(affinity=affinity).train()
    for module in head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    clips, (rows, mask) = torch.randn(6, CLIP_DIM), windows()
    rows = rows.to(rows_dtype)
    exact = head(clips, rows, mask)
    exact.square().mean().backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in head.parameters()])
    head.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(clips, rows, mask)
    logits.float().square().mean().backward()
    torch.testing.assert_close(logits.float(), exact, rtol=0.05, atol=0.05)
    rounded = torch.cat([parameter.grad.flatten() for parameter in head.parameters()])
    assert torch.cosine_similarity(rounded, gradient, dim=0) > 0.98


@pytest.mark.parametrize("bank", BANKS)
def test_every_parameter_has_a_gradient(bank):
    head = small_head(bank=bank).train()
    long_term = windows() if bank == "long_term" else ()
    head(torch.randn(6, CLIP_DIM), *long_term).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_the_short_term_operator_trains_the_features_of_the_other_boxes():
    head = small_head(bank="short_term")
    boxes = torch.randn(3, CLIP_DIM, requires_grad=True)
    head(boxes, window_of=torch.tensor([0, 0, 1]))[0].sum().backward()
    assert (boxes.grad.abs().sum(dim=1) > 0).tolist() == [True, True, False]


def test_training_repeats_with_its_seed_and_evaluation_has_no_chance_in_it():
    head, clips, (rows, mask) = small_head(), torch.randn(6, CLIP_DIM), windows()
    assert torch.equal(head(clips, rows, mask), head(clips, rows, mask))
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(head.train()(clips, rows, mask))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_dropout_acts_on_clip_rows_layers_and_classifier():
    head, clips, (rows, mask) = (
        small_head(num_layers=2).train(),
        torch.randn(6, CLIP_DIM),
        windows(),
    )
    met = []
    for module in head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(
                lambda module, values, _: met.append((module.p, tuple(values[0].shape)))
            )
    head(clips, rows, mask)
    of_clips = (0.2, (6, 1, INNER_DIM))
    of_rows = (0.2, (int(mask.sum()), INNER_DIM))
    assert met == [of_clips, of_rows, of_clips, of_clips, (0.3, (6, CLIP_DIM + INNER_DIM))]


def test_without_dropout_training_and_evaluation_agree():
    config = FeatureBankHeadConfig(
        short_term_dim=CLIP_DIM,
        long_term_dim=ROW_DIM,
        num_classes=NUM_CLASSES,
        operator=OperatorConfig(inner_dim=6, dropout=0.0),
        classifier_dropout=0.0,
    )
    head, clips, (rows, mask) = make_head(config), torch.randn(6, CLIP_DIM), windows()
    assert torch.equal(head.train()(clips, rows, mask), head.eval()(clips, rows, mask))


@pytest.mark.parametrize("bank", BANKS)
def test_the_saved_state_of_a_head_makes_the_same_head(bank):
    head, other = small_head(bank=bank), small_head(bank=bank)
    other.load_state_dict(head.state_dict())
    clips, long_term = torch.randn(6, CLIP_DIM), windows() if bank == "long_term" else ()
    assert torch.equal(head(clips, *long_term), other(clips, *long_term))


def test_the_3d_cnn_is_the_classifier_on_the_clip_and_reads_no_bank():
    head = small_head(bank="none")
    clips, (rows, mask) = torch.randn(6, CLIP_DIM), windows()
    classifier = head.classifier.linear
    expected = clips @ classifier.weight.T + classifier.bias
    torch.testing.assert_close(head(clips), expected)
    assert torch.equal(head(clips, rows, mask), head(clips))


def before_or_after(num_clips, length=8):
    """One cue somewhere in the window; the label says whether it lies before the clip."""
    times = torch.linspace(-30, 30, length).expand(num_clips, length)
    place = torch.randint(length, (num_clips,))
    rows = 0.3 * torch.randn(num_clips, length, ROW_DIM)
    rows[torch.arange(num_clips), place, 0] += 3
    labels = (times[0, place] < 0).float()[:, None].expand(-1, NUM_CLASSES)
    return torch.randn(num_clips, CLIP_DIM), rows, times, labels


@pytest.mark.parametrize(("time_embedding", "is_learned"), [("none", False), ("sinusoidal", True)])
def test_before_and_after_are_told_apart_by_a_time_embedding_alone(time_embedding, is_learned):
    config = FeatureBankHeadConfig(
        short_term_dim=CLIP_DIM,
        long_term_dim=ROW_DIM,
        num_classes=NUM_CLASSES,
        operator=OperatorConfig(inner_dim=16, dropout=0.0, time_embedding=time_embedding),
        classifier_dropout=0.0,
    )
    head = make_head(config)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(150):
        clips, rows, times, labels = before_or_after(128)
        loss = classification_loss(head(clips, rows, times=times), labels, "sigmoid")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    clips, rows, times, labels = before_or_after(1000)
    accuracy = ((head(clips, rows, times=times) > 0) == labels.bool()).float().mean()
    assert accuracy > 0.95 if is_learned else accuracy < 0.6


def test_times_move_logits_only_where_there_is_a_time_embedding():
    clips, (rows, mask) = torch.randn(6, CLIP_DIM), windows()
    times = torch.linspace(-30, 30, 9, dtype=torch.float64).expand(6, 9)
    blind, timed = small_head(), small_head(time_embedding="sinusoidal")
    assert torch.equal(blind(clips, rows, mask, times=times), blind(clips, rows, mask))
    assert not torch.allclose(
        timed(clips, rows, mask, times=times), timed(clips, rows, mask, times=-times)
    )
