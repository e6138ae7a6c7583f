import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cosine

from reelbank.jobs.reports.similarity import cosine_matrix


@settings(deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 5)),
        elements=st.floats(0.125, 8, width=32),
    )
)
def test_cosines_equal_scipys(rows):
    found = cosine_matrix(rows, at_most=100)
    expected = [[1 - cosine(one, other) for other in rows] for one in rows]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_many_rows_are_averaged_to_no_more_than_asked_and_each_is_like_itself(count, at_most):
    rows = np.random.default_rng(count).normal(size=(count, 4))
    found = cosine_matrix(rows, at_most=at_most)
    assert found.shape == (min(count, at_most),) * 2
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
    np.testing.assert_array_equal(found, found.T)


def test_averaging_keeps_blocks_apart():
    rows = np.repeat(np.eye(4), 25, axis=0)
    np.testing.assert_allclose(cosine_matrix(rows, at_most=4), np.eye(4), atol=1e-6)
