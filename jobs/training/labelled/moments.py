"""Moments of films as whole numbers: which of them are the same, without looking one by one."""

import numpy as np
from numpy.typing import NDArray

_PER_SECOND = 1000
"""Labels and key times less than a millisecond apart are of one moment, as in the view `rows`."""
_PER_VIDEO = 1 << 40
"""Milliseconds of the longest film, and more."""


def moments_of(video: NDArray[np.int64], seconds: NDArray[np.float64] | float) -> NDArray[np.int64]:
    """A number (n,) for each video number and time, that rises with both."""
    milliseconds = np.rint(seconds * _PER_SECOND).astype(np.int64)
    return video.astype(np.int64) * _PER_VIDEO + milliseconds


def places_among(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place (n,) in `known` (rising) of each moment, one beside it counting too; -1 for none."""
    places = np.full(len(wanted), -1, np.int64)
    for difference in (1, -1, 0):  # The same millisecond comes last and so before the others.
        found = np.searchsorted(known, wanted + difference)
        inside = found < len(known)
        inside[inside] = known[found[inside]] == wanted[inside] + difference
        places[inside] = found[inside]
    return places
