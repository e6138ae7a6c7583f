"""The head against the equations written out, for each form of the operator."""

import itertools

import pytest
import torch

from tests.heads.feature_bank.conftest import CLIP_DIM, small_head, windows
from tests.heads.feature_bank.written_out import batched, logits_of

FORMS = [
    *(
        dict(zip(("affinity", "order", "is_scaled", "has_layer_norm"), values, strict=True))
        for values in itertools.product(
            ("embedded_gaussian", "dot_product", "concatenation"),
            ("pre_activation", "post_activation"),
            (True, False),
            (True, False),
        )
    ),
    *({"num_layers": num_layers} for num_layers in (1, 2, 3)),
    {"time_embedding": "sinusoidal"},
    {"kind": "average"},
    {"kind": "max"},
]


def name(form):
    return ", ".join(f"{key} {value}" for key, value in form.items())


@pytest.mark.parametrize("form", FORMS, ids=name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_logits_equal_the_equations_of_each_clip_alone(form, dtype, tolerance):
    head = small_head(dtype=dtype, **form)
    clips = torch.randn(6, CLIP_DIM, dtype=dtype)
    rows, mask = windows(dtype=dtype)
    times = torch.empty(mask.shape, dtype=torch.float64).uniform_(-30, 30)
    expected = torch.stack(
        [
            logits_of(head, clip, list(window[kept]), at[kept].tolist())
            for clip, window, kept, at in zip(clips, rows, mask, times, strict=True)
        ]
    )
    actual = head(clips, rows, mask, times=times)
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["non_local", "average", "max"])
def test_counted_padding_is_rows_of_zeros(kind):
    head = small_head(kind=kind, padding="counted", dtype=torch.float64)
    clips, (rows, mask) = torch.randn(6, CLIP_DIM).double(), windows(dtype=torch.float64)
    zeroed = rows * mask[:, :, None]
    expected = torch.stack(
        [logits_of(head, clip, list(window)) for clip, window in zip(clips, zeroed, strict=True)]
    )
    torch.testing.assert_close(
        head(clips, rows.masked_fill(~mask[:, :, None], torch.nan), mask),
        expected,
        rtol=1e-12,
        atol=1e-12,
    )


def test_counted_padding_changes_what_masked_padding_does_not():
    clips, (rows, mask) = torch.randn(6, CLIP_DIM), windows()
    longer = torch.cat([rows, torch.zeros_like(rows)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros_like(mask)], dim=1)
    masked = small_head()
    torch.testing.assert_close(masked(clips, rows, mask), masked(clips, longer, longer_mask))
    counted = small_head(padding="counted")
    assert not torch.allclose(
        counted(clips, rows, mask), counted(clips, longer, longer_mask), atol=1e-3
    )


@pytest.mark.parametrize("kind", ["non_local", "average", "max"])
def test_the_order_of_rows_does_not_matter(kind):
    head = small_head(kind=kind, num_layers=3)
    clips, (rows, mask) = torch.randn(6, CLIP_DIM), windows()
    shuffled = torch.randperm(rows.shape[1])
    torch.testing.assert_close(
        head(clips, rows[:, shuffled], mask[:, shuffled]), head(clips, rows, mask)
    )


def test_short_term_operator_attends_to_all_boxes_of_its_own_clip():
    head = small_head(bank="short_term", dtype=torch.float64)
    boxes = torch.randn(7, CLIP_DIM, dtype=torch.float64)
    clip_of = torch.tensor([2, 0, 2, 1, 0, 2, 4])
    expected = [
        logits_of(head, box, list(boxes[clip_of == clip]))
        for box, clip in zip(boxes, clip_of, strict=True)
    ]
    torch.testing.assert_close(head(boxes, window_of=clip_of), torch.stack(expected))


def test_short_term_operator_without_clips_named_sees_each_box_alone():
    head = small_head(bank="short_term", dtype=torch.float64)
    boxes = torch.randn(3, CLIP_DIM, dtype=torch.float64)
    expected = torch.stack([logits_of(head, box, [box]) for box in boxes])
    torch.testing.assert_close(head(boxes), expected)


def test_short_term_operator_attends_to_the_moments_of_its_clip_where_they_are_given():
    head = small_head(bank="short_term", dtype=torch.float64)
    moments = torch.randn(3, 16, CLIP_DIM, dtype=torch.float64)
    clips = moments.mean(dim=1)
    expected = torch.stack(
        [logits_of(head, clip, list(of_clip)) for clip, of_clip in zip(clips, moments, strict=True)]
    )
    torch.testing.assert_close(head(clips, moments), expected)


def test_the_batched_form_that_costs_are_told_of_is_the_same_function():
    head = small_head(num_layers=2)
    clips, (rows, mask) = torch.randn(5, CLIP_DIM), windows(6)
    torch.testing.assert_close(  # It knows no window without rows, which comes first.
        head(clips, rows[1:], mask[1:] | (mask[1:].sum(1, keepdim=True) == 0)),
        batched(head, clips, rows[1:], mask[1:] | (mask[1:].sum(1, keepdim=True) == 0)),
        rtol=1e-5,
        atol=1e-5,
    )
