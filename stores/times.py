"""Key times are multiples of a step in floats: how they are compared."""

import numpy as np
from numpy.typing import NDArray

TOLERANCE_SECONDS = 1e-6
"""Times closer than this are the same."""


def nearest(known: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index in `known` (rising) of each time; -1 where none is within the tolerance."""
    low = np.searchsorted(known, times - TOLERANCE_SECONDS, side="left")
    high = np.searchsorted(known, times + TOLERANCE_SECONDS, side="right")
    return np.where(low < high, low, -1)
