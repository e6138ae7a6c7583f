import numpy as np
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reelbank.pipeline.detect import boxes as ours

COORDINATE = st.floats(-0.5, 1.5, width=32)


@st.composite
def proper_boxes(draw):
    """Up to twelve boxes whose corners are in order, equal ones and empty ones among them."""
    corners = draw(
        arrays.arrays(
            np.float32,
            st.tuples(st.integers(0, 12), st.just(4)),
            elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]),
        )
    )
    return np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])],
        axis=1,
    )


@given(proper_boxes(), proper_boxes())
@settings(deadline=None, max_examples=60)
def test_iou_equals_torchvisions_and_is_zero_where_that_is_undefined(left, right):
    expected = torchvision.ops.box_iou(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.testing.assert_array_equal(ours.iou(left, right), np.nan_to_num(expected))


@given(proper_boxes(), st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@settings(deadline=None, max_examples=60)
def test_nms_keeps_what_torchvisions_keeps(boxes, random, max_iou):
    boxes = boxes[ours.area(boxes) > 0.0]
    scores = np.asarray(random.sample(range(1000), len(boxes)), dtype=np.float32) / 1000.0
    expected = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), max_iou)
    assert ours.nms(boxes, scores, max_iou=max_iou).tolist() == expected.tolist()


@given(proper_boxes(), st.permutations(range(12)))
@settings(deadline=None, max_examples=40)
def test_nms_of_equal_scores_does_not_depend_on_the_order_of_the_boxes(boxes, permutation):
    order = [index for index in permutation if index < len(boxes)]
    scores = np.full(len(boxes), 0.5, dtype=np.float32)
    kept = boxes[ours.nms(boxes, scores, max_iou=0.4)]
    shuffled = boxes[order]
    np.testing.assert_array_equal(kept, shuffled[ours.nms(shuffled, scores, max_iou=0.4)])


@given(arrays.arrays(np.float32, (5, 4), elements=COORDINATE))
def test_clipped_boxes_lie_in_the_frame_and_inner_ones_stay(boxes):
    clipped = ours.clip(boxes)
    assert np.all((clipped >= 0.0) & (clipped <= 1.0))
    inside = (boxes >= 0.0) & (boxes <= 1.0)
    np.testing.assert_array_equal(clipped[inside], boxes[inside])


def test_a_box_with_swapped_corners_has_no_area():
    assert ours.area(np.asarray([[0.5, 0.5, 0.2, 0.9]], dtype=np.float32)).tolist() == [0.0]
