"""Standardised features and maps that begin by their width: what both change, and what not."""

import pytest
import torch

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.heads.feature_bank.input_norm import Standardised
from reelbank.heads.feature_bank.places import where

DIM = 6


def head_of(bank="long_term", seed=0, input_norm="batch", **operator):
    torch.manual_seed(seed)
    config = FeatureBankHeadConfig(
        short_term_dim=DIM,
        num_classes=3,
        bank=bank,
        input_norm=input_norm,
        classifier_dropout=0.0,
        operator=OperatorConfig(**{"inner_dim": 8, "dropout": 0.0, "init": "he", **operator}),
    )
    return make_head(config)


def clips_and_windows(seed=1):
    rng = torch.Generator().manual_seed(seed)
    clips = 3.0 + 2.0 * torch.randn(5, DIM, generator=rng)
    rows = 40.0 + 9.0 * torch.randn(5, 7, DIM, generator=rng)
    mask = torch.rand(5, 7, generator=rng) < 0.6
    mask[2] = False
    return clips, rows, mask


@pytest.mark.parametrize("kind", ["non_local", "average", "max"])
def test_after_training_a_head_does_what_one_without_norm_does_on_standardised_features(kind):
    head, plain = head_of(kind=kind), head_of(kind=kind, input_norm="none")
    clips, rows, mask = clips_and_windows()
    for _ in range(200):  # The running statistics come to those of the only batch.
        head(clips, rows, mask)
    existing = rows[mask]

    def standardised(x, of):
        return (x - of.mean(0)) / (of.var(0) + 1e-5).sqrt()

    wanted = plain.eval()(standardised(clips, clips), standardised(rows, existing), mask)
    torch.testing.assert_close(head.eval()(clips, rows, mask), wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("is_training", [True, False])
def test_what_lies_in_empty_slots_changes_neither_output_nor_statistics(is_training):
    clips, rows, mask = clips_and_windows()
    garbage = rows.masked_fill(~mask[:, :, None], float("nan"))
    one, other = head_of().train(is_training), head_of().train(is_training)
    assert torch.equal(one(clips, rows, mask), other(clips, garbage, mask))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_short_term_features_are_standardised_once():
    sto, plain = head_of("short_term"), head_of("short_term", input_norm="none")
    clips, _, _ = clips_and_windows()
    window_of = torch.tensor([0, 0, 1, 1, 1])
    standardised = (clips - clips.mean(0)) / (clips.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(
        sto(clips, window_of=window_of), plain(standardised, window_of=window_of)
    )


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rows_leave_the_statistics_as_they_are(num_rows):
    norm = Standardised(DIM)
    rows = torch.full((num_rows, DIM), 5.0)
    torch.testing.assert_close(norm(rows), rows, atol=1e-3, rtol=1e-3)
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, torch.zeros(DIM))


@pytest.mark.parametrize("bank", ["none", "short_term", "long_term"])
def test_the_norm_has_no_parameters(bank):
    with_norm, without = head_of(bank), head_of(bank, input_norm="none")
    names = [name for name, _ in with_norm.named_parameters()]
    assert names == [name for name, _ in without.named_parameters()]


def test_windows_differ_from_the_first_step_on_only_with_standardised_rows():
    torch.manual_seed(3)
    clips = torch.randn(64, 32)
    # As a rectified network gives them: one large mean, and small differences around it.
    rows = 10.0 + torch.randn(64, 50, 32)
    spread = {}
    for norm in ("none", "batch"):
        config = FeatureBankHeadConfig(
            short_term_dim=32,
            num_classes=1,
            input_norm=norm,
            operator=OperatorConfig(inner_dim=64, dropout=0.0, init="he", num_layers=1),
        )
        head = make_head(config)
        queries = torch.zeros(64, 1, 32)
        places = where(torch.ones(64, 50, dtype=torch.bool))
        with torch.no_grad():
            seen = head.operator(queries, head.long_term_norm(rows.flatten(0, 1)), places)
        spread[norm] = float(seen.std(0).mean() / seen.abs().mean())
        assert head(clips, rows).shape == (64, 1)
    assert spread["batch"] > 5 * spread["none"]


def test_maps_that_begin_by_their_width_have_variance_two_over_it():
    torch.manual_seed(0)
    head = make_head(
        FeatureBankHeadConfig(
            short_term_dim=256,
            num_classes=1,
            operator=OperatorConfig(inner_dim=128, init="he", affinity="concatenation"),
        )
    )
    for one in head.operator.modules():
        if isinstance(one, torch.nn.Linear):
            assert float(one.weight.detach().square().sum(1).mean()) == pytest.approx(2.0, rel=0.35)
            assert not one.bias.any() if one.bias is not None else True
