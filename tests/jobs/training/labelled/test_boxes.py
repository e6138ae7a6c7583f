import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reelbank.jobs.training.labelled.boxes import best_overlaps
from reelbank.jobs.training.labelled.moments import moments_of, places_among
from reelbank.pipeline.detect.boxes import iou


@given(st.integers(0, 2**32 - 1))
def test_the_best_overlap_is_that_of_a_search_through_all_boxes_of_the_moment(seed):
    rng = np.random.default_rng(seed)
    at, others_at = rng.integers(0, 4, 9), np.sort(rng.integers(0, 4, 7))
    corners = [rng.uniform(0, 0.6, (count, 2)) for count in (9, 7)]
    boxes, others = (
        np.concatenate([low, low + rng.uniform(0.1, 0.4, low.shape)], axis=1) for low in corners
    )
    best, overlap = best_overlaps(boxes, at, others, others_at)
    for number, box in enumerate(boxes):
        same = np.flatnonzero(others_at == at[number])
        wanted = iou(box[None].astype(np.float32), others[same].astype(np.float32))[0]
        np.testing.assert_allclose(overlap[number], wanted.max(initial=0.0), atol=1e-5)
        if wanted.max(initial=0.0) > 0:
            np.testing.assert_allclose(wanted[same == best[number]], wanted.max(), atol=1e-5)
        else:
            assert best[number] == (same[0] if len(same) else -1)


def test_of_boxes_that_are_overlapped_equally_the_first_counts():
    box = np.array([[0.1, 0.1, 0.5, 0.5]])
    best, _ = best_overlaps(box, np.array([3]), np.repeat(box, 3, axis=0), np.array([2, 3, 3]))
    assert best.tolist() == [1]


def test_moments_within_a_millisecond_are_one_and_films_are_apart():
    known = moments_of(np.array([0, 0, 1]), np.array([1.0, 2.0, 1.0]))
    asked = moments_of(np.array([0, 0, 0, 1, 1]), np.array([1.0004, 2.001, 2.1, 0.9995, 2.0]))
    assert places_among(known, asked).tolist() == [0, 1, -1, 2, -1]
    assert places_among(known[:0], asked).tolist() == [-1] * 5
