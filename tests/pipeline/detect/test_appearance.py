import numpy as np
import pytest

from reelbank.pipeline.detect.appearance import appearance
from tests.contracts.detector import blocks

WHOLE = np.asarray([[0.0, 0.0, 1.0, 1.0]], dtype=np.float32)


def painted(upper, lower):
    frame = np.zeros((100, 60, 3), dtype=np.uint8)
    frame[:50], frame[50:] = upper, lower
    return frame


def intersection(left, right):
    return np.minimum(left.astype(int), right.astype(int)).sum() / 510.0


def test_one_colour_fills_one_bin_of_each_half():
    (histogram,) = appearance(painted((200, 0, 0), (0, 0, 200)), WHOLE)
    assert np.count_nonzero(histogram[:24]) == np.count_nonzero(histogram[24:]) == 1
    assert histogram.max() == 255
    assert histogram[:24].argmax() != histogram[24:].argmax()


def test_swapped_shirt_and_trousers_are_another_look():
    (one,) = appearance(painted((200, 0, 0), (0, 0, 200)), WHOLE)
    (other,) = appearance(painted((0, 0, 200), (200, 0, 0)), WHOLE)
    assert intersection(one, one) == 1.0
    assert intersection(one, other) == 0.0


def test_reds_on_both_sides_of_the_circle_of_hues_stay_together():
    (one,) = appearance(painted((200, 10, 0), (200, 10, 0)), WHOLE)
    (other,) = appearance(painted((200, 0, 10), (200, 0, 10)), WHOLE)
    assert intersection(one, other) == 1.0


def test_a_box_looks_the_same_wherever_it_lies_and_however_large_the_frame():
    small = np.zeros((200, 200, 3), dtype=np.uint8)
    patch = blocks(3, height=64, width=32)
    small[10:74, 20:52] = small[100:164, 140:172] = patch
    boxes = np.asarray([[20, 10, 52, 74], [140, 100, 172, 164]], dtype=np.float32) / 200
    first, second = appearance(small, boxes)
    np.testing.assert_array_equal(first, second)
    doubled = small.repeat(2, axis=0).repeat(2, axis=1)
    assert intersection(appearance(doubled, boxes)[0], first) > 0.9


def test_rows_belong_to_their_boxes():
    frame = blocks(1)
    boxes = np.asarray([[0.1, 0.1, 0.4, 0.9], [0.5, 0.2, 0.9, 0.7]], dtype=np.float32)
    together = appearance(frame, boxes)
    for row, box in zip(together, boxes, strict=True):
        np.testing.assert_array_equal(appearance(frame, box[None])[0], row)
    assert together.dtype == np.uint8
    assert np.all(np.abs(together.reshape(2, 2, 24).sum(axis=2).astype(int) - 255) <= 1)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((0.5, 0.5, 0.5, 0.9), id="without width"),
        pytest.param((0.6, 0.1, 0.4, 0.9), id="corners swapped"),
        pytest.param((1.5, 0.1, 1.9, 0.9), id="outside"),
        pytest.param((-2.0, -1.0, -0.5, 0.9), id="outside on the left"),
        pytest.param((np.nan, 0.1, 0.5, 0.9), id="not a number"),
    ],
)
def test_a_box_without_area_in_the_frame_has_no_colours(box):
    assert not appearance(blocks(0), np.asarray([box], dtype=np.float32)).any()


def test_a_frame_of_one_pixel_and_a_sliver_of_a_box_are_safe():
    pixel = np.full((1, 1, 3), 90, dtype=np.uint8)
    sliver = np.asarray([[0.999999, 0.999999, 1.0, 1.0]], dtype=np.float32)
    assert appearance(pixel, WHOLE).sum() == appearance(pixel, sliver).sum() == 510
    assert appearance(pixel, np.zeros((0, 4), dtype=np.float32)).shape == (0, 48)


def test_a_box_that_leaves_the_frame_is_seen_as_its_inner_part():
    frame = blocks(2)
    outer = np.asarray([[-0.5, 0.2, 0.4, 1.7]], dtype=np.float32)
    inner = np.asarray([[0.0, 0.2, 0.4, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(appearance(frame, outer), appearance(frame, inner))
