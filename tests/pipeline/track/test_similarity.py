"""Overlap and colour, by hand and by their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reelbank.pipeline.track.similarity import (
    pairwise_colour,
    pairwise_distance,
    pairwise_iou,
)

HISTOGRAMS = arrays(np.uint8, (3, 48))


def test_overlap_of_a_quarter_is_a_seventh_of_the_union():
    first = np.array([[0.0, 0.0, 0.4, 0.4]])
    second = np.array([[0.2, 0.2, 0.6, 0.6], [0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 0.6, 0.6]])
    assert pairwise_iou(first, second) == pytest.approx(np.array([[1 / 7, 1.0, 0.0]]))


def test_boxes_without_area_overlap_nothing():
    empty = np.array([[0.2, 0.2, 0.2, 0.5], [0.5, 0.5, 0.4, 0.4]])
    assert not pairwise_iou(empty, empty).any()


def test_distance_counts_widths_across_and_heights_along():
    first = np.array([[0.0, 0.0, 0.2, 0.4]])
    second = np.array([[0.6, 0.0, 0.8, 0.4], [0.0, 0.8, 0.2, 1.2], [0.6, 1.6, 0.8, 2.0]])
    assert pairwise_distance(first, second) == pytest.approx(np.array([[3.0, 2.0, 5.0]]))


def test_distance_does_not_depend_on_the_shape_of_the_frame():
    boxes = np.array([[0.1, 0.2, 0.3, 0.5], [0.5, 0.1, 0.6, 0.9], [0.2, 0.6, 0.7, 0.7]])
    wide = boxes * (1.0, 2.5, 1.0, 2.5)
    assert pairwise_distance(wide, wide) == pytest.approx(pairwise_distance(boxes, boxes))


def test_distance_of_boxes_without_sides_is_infinite():
    point = np.array([[0.2, 0.2, 0.2, 0.2]])
    assert pairwise_distance(point, point).tolist() == [[np.inf]]


def test_shared_colour_is_a_share_of_the_fuller_histogram():
    first = np.zeros((1, 48), dtype=np.uint8)
    second = first.copy()
    first[0, :2] = 100, 100
    second[0, 1:3] = 60, 140
    assert pairwise_colour(first, second).tolist() == [[60 / 200]]


@given(first=HISTOGRAMS, second=HISTOGRAMS)
def test_colour_is_symmetric_within_bounds_and_one_for_equals(first, second):
    like = pairwise_colour(first, second)
    np.testing.assert_array_equal(like, pairwise_colour(second, first).T)
    assert np.all((like >= 0) & (like <= 1))
    np.testing.assert_array_equal(
        np.diag(pairwise_colour(first, first)), first.any(axis=1).astype(float)
    )


@given(boxes=arrays(np.float64, (4, 4), elements=st.floats(0, 1)))
def test_overlap_is_symmetric_and_within_bounds(boxes):
    overlap = pairwise_iou(boxes, boxes)
    np.testing.assert_array_equal(overlap, overlap.T)
    assert np.all((overlap >= 0) & (overlap <= 1 + 1e-12))
