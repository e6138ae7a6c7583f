"""Boxes that share a window: the same as a window for each, and held once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.heads.feature_bank.places import shared
from tests.heads.feature_bank.conftest import CLIP_DIM, ROW_DIM, small_head, windows

WINDOW_OF = torch.tensor([3, 0, 3, 5, 1, 3, 5, 0, 0, 0])
"""Windows 2 and 4 have no box."""


@pytest.mark.parametrize(
    "form",
    [{}, {"affinity": "concatenation"}, {"time_embedding": "sinusoidal"}, {"kind": "max"}],
    ids=str,
)
def test_a_shared_window_equals_a_window_for_each_box(form):
    head = small_head(dtype=torch.float64, **form)
    boxes, (rows, mask) = torch.randn(10, CLIP_DIM).double(), windows(dtype=torch.float64)
    times = torch.linspace(-9, 9, 9).expand(6, 9)
    results = []
    for use in (
        {"window_of": WINDOW_OF, "times": times},
        {"times": times[WINDOW_OF]},
    ):
        clips = boxes.clone().requires_grad_()
        is_shared = "window_of" in use
        bank = (rows, mask) if is_shared else (rows[WINDOW_OF], mask[WINDOW_OF])
        head.zero_grad()
        logits = head(clips, *bank, **use)
        logits.square().sum().backward()
        results.append([logits, clips.grad, *(p.grad.clone() for p in head.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def largest_allocation(call):
    with torch.profiler.profile(profile_memory=True) as profile:
        call()
    return max(event.self_cpu_memory_usage for event in profile.events())


@torch.no_grad()
def test_no_tensor_as_large_as_a_window_for_each_box_is_made():
    head = small_head(num_layers=1)
    boxes, rows, window_of = (
        torch.randn(400, CLIP_DIM),
        torch.randn(2, 500, ROW_DIM),
        torch.arange(400) % 2,
    )
    replicated = rows[window_of].nbytes
    assert largest_allocation(lambda: head(boxes, rows[window_of])) >= replicated
    assert largest_allocation(lambda: head(boxes, rows, window_of=window_of)) < replicated / 4


@given(st.lists(st.integers(0, 5), max_size=20))
def test_laid_out_boxes_come_back_in_their_order(window_of):
    places = shared(torch.tensor(window_of, dtype=torch.int64), 6)
    boxes = torch.arange(2 * len(window_of), dtype=torch.float32).view(-1, 2)
    laid_out = places.lay_out(boxes)
    assert torch.equal(places.collect(laid_out), boxes)
    assert places.is_taken.sum(dim=1).tolist() == [window_of.count(n) for n in range(6)]
    for number in range(6):
        of_window = boxes[torch.tensor(window_of, dtype=torch.int64) == number]
        assert torch.equal(laid_out[number][places.is_taken[number]], of_window)


def test_a_batch_without_boxes_has_no_logits():
    head = small_head()
    empty = torch.empty(0, CLIP_DIM), torch.randn(2, 3, ROW_DIM)
    assert head(*empty, window_of=torch.empty(0, dtype=torch.int64)).shape == (0, 4)
