"""Boxes move with the pixels that they mark."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.pipeline.decode.transforms import (
    centre_crop,
    crop,
    flip,
    resize_short_side,
    resize_to,
    short_side_size,
    turn,
)

BOX = np.array([[0.25, 0.5, 0.75, 0.75]], np.float32)


def marked(width: int = 80, height: int = 40) -> np.ndarray:
    """A black picture with a white BOX."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[height // 2 : height * 3 // 4, width // 4 : width * 3 // 4] = 255
    return rgb


def box_of(rgb: np.ndarray) -> list[float]:
    """Where the white pixels lie, relative to the picture."""
    y, x = np.nonzero(rgb[..., 0] > 127)
    height, width = rgb.shape[:2]
    return [x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height]


def test_a_box_follows_a_flip_and_a_crop_to_the_pixel():
    mirrored, boxes = flip(marked()[:, :60], BOX * [[80 / 60, 1, 80 / 60, 1]])
    np.testing.assert_allclose(boxes[0], box_of(mirrored), atol=1e-6)
    cut, boxes = crop(marked(), BOX, left=10, top=5, width=60, height=30)
    np.testing.assert_allclose(boxes[0], box_of(cut), atol=1e-6)


def test_a_box_is_clipped_by_a_crop_and_empty_outside_it():
    cut, boxes = centre_crop(marked(), BOX, 40)
    assert cut.shape == (40, 40, 3)
    np.testing.assert_allclose(boxes[0], [0, 0.5, 1, 0.75], atol=1e-6)
    _, boxes = crop(marked(), BOX, left=0, top=0, width=10, height=10)
    assert boxes[0, 0] == boxes[0, 2]


def test_boxes_stand_still_when_a_picture_is_resized():
    np.testing.assert_allclose(box_of(resize_to(marked(), width=160, height=80)), BOX[0])


def test_a_crop_that_leaves_the_picture_is_refused():
    with pytest.raises(ValueError, match="leaves the frame"):
        centre_crop(marked(), BOX, 41)


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 512))
def test_the_short_side_is_exact_and_the_long_one_is_rounded(width, height, size):
    new = short_side_size(width, height, size)
    assert min(new) == size
    exact = max(width, height) * size / min(width, height)
    assert abs(max(new) - exact) <= 0.5
    assert (new[0] >= new[1]) == (width >= height) or new[0] == new[1]


def test_a_resized_frame_has_the_size_promised():
    assert resize_short_side(marked(854, 480), 256).shape == (256, 455, 3)
    assert resize_short_side(marked(480, 854), 256).shape == (455, 256, 3)
    same = marked()
    assert resize_short_side(same, 40) is same


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turning_is_counter_clockwise(degrees):
    rgb = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    assert np.array_equal(turn(rgb, degrees), np.rot90(rgb, degrees // 90))
