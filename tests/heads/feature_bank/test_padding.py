"""What lies in padded slots never shows: neither in logits nor in gradients."""

import pytest
import torch

from reelbank.heads.feature_bank.places import where
from tests.heads.feature_bank.conftest import CLIP_DIM, INNER_DIM, ROW_DIM, small_head, windows

FORMS = [
    {},
    {"order": "post_activation"},
    {"affinity": "dot_product"},
    {"affinity": "concatenation"},
    {"time_embedding": "sinusoidal"},
    {"padding": "counted"},
    {"kind": "average"},
    {"kind": "max"},
]
each_form = pytest.mark.parametrize("form", FORMS, ids=str)


def run(head, clips, rows, mask, times):
    """Logits and the gradients of parameters, clips and rows."""
    clips, rows = clips.clone().requires_grad_(), rows.clone().requires_grad_()
    head.zero_grad()
    logits = head(clips, rows, mask, times=times)
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    gradients = [parameter.grad.clone() for parameter in head.parameters()]
    return [logits.detach(), clips.grad, rows.grad, *gradients]


@each_form
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_garbage_in_the_padding_changes_not_one_bit(form, garbage):
    head = small_head(**form)
    clips, (rows, mask) = torch.randn(6, CLIP_DIM), windows()
    times = torch.linspace(-9, 9, 9).expand(6, 9)
    clean = run(head, clips, rows.masked_fill(~mask[:, :, None], 0), mask, times * mask)
    dirty = run(
        head,
        clips,
        rows.masked_fill(~mask[:, :, None], garbage),
        mask,
        times.masked_fill(~mask, garbage),
    )
    for expected, actual in zip(clean, dirty, strict=True):
        assert torch.equal(actual, expected)
        assert torch.isfinite(actual).all()
    assert (dirty[2][~mask] == 0).all()


@each_form
def test_a_window_without_rows_gives_finite_logits_and_gradients(form):
    head = small_head(**form).train()
    clips, rows = torch.randn(3, CLIP_DIM), torch.full((3, 4, ROW_DIM), torch.nan)
    mask = torch.zeros(3, 4, dtype=torch.bool)
    for value in run(head, clips, rows, mask, torch.full((3, 4), torch.nan)):
        assert torch.isfinite(value).all()


@each_form
def test_a_window_of_no_slots_is_one_of_padding_alone(form):
    head = small_head(**form)
    clips, none = torch.randn(3, CLIP_DIM), torch.zeros(3, 0, dtype=torch.bool)
    padded = torch.zeros(3, 1, dtype=torch.bool)
    torch.testing.assert_close(
        head(clips, torch.empty(3, 0, ROW_DIM), none, times=torch.empty(3, 0)),
        head(clips, torch.empty(3, 1, ROW_DIM), padded, times=torch.empty(3, 1)),
    )


def test_a_window_without_rows_adds_nothing_to_the_reduced_clip():
    head = small_head(num_layers=3)
    clips, places = torch.randn(4, CLIP_DIM), where(torch.zeros(4, 5, dtype=torch.bool))
    seen = head.operator(clips[:, None], torch.empty(0, ROW_DIM), places)
    assert seen.shape == (4, 1, INNER_DIM)
    assert torch.equal(seen[:, 0], head.operator.query_reduction(clips))


@pytest.mark.parametrize("kind", ["average", "max"])
def test_pooling_a_window_without_rows_gives_zeros(kind):
    head = small_head(kind=kind)
    places = where(torch.zeros(4, 5, dtype=torch.bool))
    seen = head.operator(torch.randn(4, 2, CLIP_DIM), torch.empty(0, ROW_DIM), places)
    assert torch.equal(seen, torch.zeros(4, 2, ROW_DIM))


def test_without_a_mask_all_slots_hold_rows():
    head = small_head()
    clips, rows = torch.randn(6, CLIP_DIM), torch.randn(6, 9, ROW_DIM)
    assert torch.equal(head(clips, rows), head(clips, rows, torch.ones(6, 9, dtype=torch.bool)))
