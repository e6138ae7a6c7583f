"""Boxes stay on what they were drawn around, whatever is done to the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.jobs.training.clips.config import AugmentConfig, ViewsConfig
from reelbank.jobs.training.clips.views import (
    View,
    drawn_view,
    is_inside,
    on_border,
    seen,
    views_for_test,
    whole_view,
)
from reelbank.pipeline.decode.transforms import flip, resize_short_side

SIZES = st.tuples(st.integers(40, 90), st.integers(40, 90))
AUGMENT = AugmentConfig(short_side=(36, 60), crop_size=32)


def painted(width, height, box):
    """A grey frame with a white rectangle, and the box around it in [0, 1]."""
    left, top, right, bottom = box
    frame = np.full((height, width, 3), 60, np.uint8)
    frame[top:bottom, left:right] = 255
    return frame, np.array([box], np.float32) / np.array([width, height] * 2, np.float32)


def bounds(clip):
    """Box in pixels of what is nearer to white than to grey; None without."""
    rows, columns = np.nonzero(clip[:, :, 0] > 157)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@st.composite
def rectangles(draw):
    width, height = draw(SIZES)
    left, top = draw(st.integers(0, width - 8)), draw(st.integers(0, height - 8))
    right, bottom = draw(st.integers(left + 8, width)), draw(st.integers(top + 8, height))
    return width, height, (left, top, right, bottom)


@given(rectangles(), st.integers(0, 2**32))
def test_a_painted_box_is_found_at_the_moved_box(rectangle, seed):
    width, height, box = rectangle
    frame, boxes = painted(width, height, box)
    view = drawn_view(AUGMENT, width, height, np.random.default_rng(seed))
    clip, moved = seen([frame, frame], boxes, view)
    assert clip.shape == (2, 32, 32, 3)
    found = bounds(clip[0])
    if found is None:  # At most a sliver of it is in the crop.
        sides = (moved[0, 2:] - moved[0, :2]) * 32
        assert sides.min() <= 1
        return
    # Resizing blurs the border: it may be a pixel off.
    np.testing.assert_allclose(found, moved[0] * 32, atol=1.0)


@given(SIZES, st.integers(0, 2**32))
def test_drawn_views_keep_to_the_config(size, seed):
    view = drawn_view(AUGMENT, *size, np.random.default_rng(seed))
    assert 36 <= min(view.width, view.height) <= 60
    assert 0 <= view.left <= view.width - 32
    assert 0 <= view.top <= view.height - 32


def test_views_are_drawn_over_the_whole_range():
    views = [drawn_view(AUGMENT, 90, 60, np.random.default_rng(seed)) for seed in range(400)]
    assert {min(view.width, view.height) for view in views} == set(range(36, 61))
    assert 0.4 < np.mean([view.is_flipped for view in views]) < 0.6
    assert any(view.left == view.width - 32 for view in views)
    unflipped = AugmentConfig(short_side=(36, 60), crop_size=32, flip=False)
    drawn = [drawn_view(unflipped, 90, 60, np.random.default_rng(seed)) for seed in range(40)]
    assert not any(view.is_flipped for view in drawn)


@given(rectangles())
def test_flipping_twice_changes_nothing(rectangle):
    frame, boxes = painted(*rectangle)
    twice, moved = flip(*flip(frame, boxes))
    np.testing.assert_array_equal(twice, frame)
    np.testing.assert_allclose(moved, boxes, atol=1e-7)


def test_the_whole_view_is_what_an_extraction_resizes():
    frame = np.random.default_rng(0).integers(0, 256, (50, 81, 3)).astype(np.uint8)
    boxes = np.array([[0.1, 0.2, 0.6, 0.7]], np.float32)
    clip, moved = seen([frame], boxes, whole_view(81, 50, 32))
    np.testing.assert_array_equal(clip[0], resize_short_side(frame, 32))
    np.testing.assert_allclose(moved, boxes, atol=1e-7)


@pytest.mark.parametrize(("width", "height"), [(160, 96), (96, 160), (96, 96)])
def test_three_crops_lie_at_both_ends_and_in_the_middle(width, height):
    config = ViewsConfig(crops="three_crop", flip=True, scales=(48, 60))
    views = list(views_for_test(config, width, height))
    assert len(views) == 12
    assert len({view.is_flipped for view in views}) == 2
    for scale in (48, 60):
        own = [view for view in views if min(view.width, view.height) == scale]
        assert {(view.crop_width, view.crop_height) for view in own} == {(scale, scale)}
        along = sorted({max(view.left, view.top) for view in own})
        room = max(own[0].width, own[0].height) - scale
        assert along == sorted({0, room // 2, room})
        assert {min(view.left, view.top) for view in own} == {0}


def test_squares_of_large_scales_are_those_of_the_released_code():
    config = ViewsConfig(crops="centre", scales=(224, 256, 320))
    found = [(view.crop_width, view.left, view.top) for view in views_for_test(config, 480, 320)]
    assert found == [(224, 56, 0), (256, 64, 0), (256, 112, 32)]


@given(
    st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=5),
    st.integers(16, 160),
    st.integers(16, 160),
)
def test_only_boxes_outside_are_put_onto_the_border(corners, width, height):
    view = View(200, 200, 3, 5, width, height, is_flipped=False)
    boxes = np.sort(np.array(corners, np.float32).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    moved = on_border(boxes, view, stride=8)
    inside = is_inside(boxes)
    np.testing.assert_array_equal(moved[inside], boxes[inside])
    assert (moved >= 0).all()
    assert (moved <= 1 + 1e-6).all()
    sides = moved[:, 2:] - moved[:, :2]
    assert (sides[~inside] >= np.array([8 / width, 8 / height]) - 1e-6).all()
    # The strip holds the place at which the box met the border.
    assert (moved[:, :2] <= boxes[:, :2]).all()
    assert (moved[:, 2:] >= boxes[:, 2:]).all()


def test_boxes_outside_the_crop_have_no_area():
    view = View(40, 40, 0, 0, 20, 40, is_flipped=False)
    boxes = np.array([[0.6, 0.1, 0.9, 0.5], [0.4, 0.1, 0.9, 0.5]], np.float32)
    clip, moved = seen([np.zeros((40, 40, 3), np.uint8)], boxes, view)
    assert clip.shape == (1, 40, 20, 3)
    assert is_inside(moved).tolist() == [False, True]
    np.testing.assert_allclose(moved[1], [0.8, 0.1, 1.0, 0.5], atol=1e-6)
