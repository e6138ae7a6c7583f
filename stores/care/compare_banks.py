"""One bank in two stores: rows at equal video, time and place, side by side."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.bank import FeatureBank
from reelbank.stores.times import nearest

ALIKE_COSINE = 0.9999
"""Rows of the same settings point at least so much the same way on any hardware."""

_TIMES_AT_ONCE = 256

_Pair = tuple[str, float, int]
"""Video, time and place within the key time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BankDifference:
    """Rows of one bank in A and in B."""

    bank: str
    dims: tuple[int, int]
    """Numbers in a row; rows of different length are not compared."""
    dtypes: tuple[str, str]
    num_pairs: int
    """Rows that have a partner at equal video, time and place."""
    only_a: int
    """Rows of A without a partner, also those of videos that B lacks."""
    only_b: int
    num_identical: int
    """Pairs that are equal number by number."""
    mean_cosine: float | None
    """Over all pairs, None where there is none; two rows of zeros have 1, one with another 0."""
    min_cosine: float | None
    worst: _Pair | None
    """Video, time and place of a pair with the smallest cosine."""

    @property
    def is_alike(self) -> bool:
        """Every row has a partner that points the same way."""
        cosine = 1.0 if self.min_cosine is None else self.min_cosine
        return (
            self.dims[0] == self.dims[1]
            and self.only_a == self.only_b == 0
            and cosine >= ALIKE_COSINE
        )


def compare_bank(a: FeatureBank, b: FeatureBank) -> BankDifference:
    """Compare all rows of two banks, a block of key times at a time."""
    in_both = sorted(set(a.videos()) & set(b.videos()))
    num_pairs = num_identical = 0
    total, least, worst = 0.0, math.inf, None
    for block in _blocks(a, b, in_both) if a.dim == b.dim else ():
        cosines = cosine(block.rows_a, block.rows_b)
        total += float(cosines.sum())
        num_pairs += len(cosines)
        num_identical += int((block.rows_a == block.rows_b).all(axis=1).sum())
        number = int(np.argmin(cosines))
        if cosines[number] < least:
            least, worst = float(cosines[number]), block.place(number)
    rows_of_a, rows_of_b = _num_rows(a), _num_rows(b)
    return BankDifference(
        bank=a.name,
        dims=(a.dim, b.dim),
        dtypes=(str(a.dtype), str(b.dtype)),
        num_pairs=num_pairs,
        only_a=rows_of_a - num_pairs,
        only_b=rows_of_b - num_pairs,
        num_identical=num_identical,
        mean_cosine=total / num_pairs if num_pairs else None,
        min_cosine=least if num_pairs else None,
        worst=worst,
    )


def cosine(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n,) cosines of rows (n, dim); 1 for two rows of zeros, 0 for one beside another."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    both_zero = ~x.any(axis=1) & ~y.any(axis=1)
    # Where the norm is 0 so is the product.
    found = (x * y).sum(axis=1) / np.where(norms == 0, 1.0, norms)
    clipped: NDArray[np.float64] = np.where(both_zero, 1.0, np.clip(found, -1.0, 1.0))
    return clipped


@dataclass(frozen=True, slots=True)
class _Block:
    """Pairs of rows of one video."""

    video_id: str
    times: NDArray[np.float64]
    """(n,)"""
    places: NDArray[np.int64]
    """(n,) within the key time."""
    rows_a: NDArray[np.generic]
    """(n, dim)"""
    rows_b: NDArray[np.generic]

    def place(self, number: int) -> _Pair:
        """Where a pair is."""
        return self.video_id, float(self.times[number]), int(self.places[number])


def _blocks(a: FeatureBank, b: FeatureBank, videos: list[str]) -> Iterator[_Block]:
    """Rows at the key times that both have, at most `_TIMES_AT_ONCE` of these at once."""
    for video_id in videos:
        times, known = a.times(video_id), b.times(video_id)
        numbers = nearest(known, times)
        shared, partners = times[numbers >= 0], known[numbers[numbers >= 0]]
        for start in range(0, len(shared), _TIMES_AT_ONCE):
            block = slice(start, start + _TIMES_AT_ONCE)
            rows_a = a.rows_at(video_id, shared[block])
            rows_b = b.rows_at(video_id, partners[block])
            counts = [min(len(x), len(y)) for x, y in zip(rows_a, rows_b, strict=True)]
            if any(counts):
                yield _Block(
                    video_id,
                    np.repeat(shared[block], counts),
                    np.concatenate([np.arange(count) for count in counts]),
                    np.concatenate([x[:n] for x, n in zip(rows_a, counts, strict=True)]),
                    np.concatenate([y[:n] for y, n in zip(rows_b, counts, strict=True)]),
                )


def _num_rows(bank: FeatureBank) -> int:
    return sum(int(bank.counts(video_id).sum()) for video_id in bank.videos())
