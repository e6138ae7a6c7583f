"""Samples with the rows of banks: what a head on stored features is fed with."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from reelbank.heads.feature_bank.config import Loss
from reelbank.jobs.training.bank_dataset import BankDataset, relative
from reelbank.jobs.training.labelled.moments import moments_of, places_among
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.settings import LongTermSettings
from reelbank.stores.bank import FeatureBank

_MOMENT_SECONDS = 1e-3
"""Support of a causal window that holds one key time."""


class CachedBatch(NamedTuple):
    """b clips with n items in them: boxes, or the clips themselves."""

    short_term: Tensor
    """(n, d_s) rows of the items (S), in the bank's own type."""
    targets: Tensor | None
    """(n, num_classes) uint8, or (n,) int64 where each item has one class; None in a test."""
    long_term: Tensor | None
    """(b, w, d_l) windows (L~), each there once for all items of its clip; None without."""
    mask: Tensor | None
    """(b, w) bool, true where there is a row."""
    times: Tensor | None
    """(b, w) float32, seconds after the clip of each row; 0 in the padding."""
    window_of: Tensor
    """(n,) int64, the clip of each item, from 0."""


class CachedDataset(Dataset[CachedBatch]):
    """Batches of clips, made at once from one or two banks."""

    def __init__(
        self,
        samples: Samples,
        short_term: FeatureBank,
        long_term: FeatureBank | None,
        window: LongTermSettings | None,
        *,
        loss: Loss,
    ) -> None:
        """ValueError where the bank of short-term features lacks the row of an item."""
        check_rows(samples, short_term)
        self._first, self._place = samples.first_items, samples.place
        self._own = BankDataset(short_term, samples.keys, _MOMENT_SECONDS, causal=True)
        self._around = None
        if long_term is not None and window is not None:
            self._around = BankDataset(
                long_term,
                samples.keys,
                window.support_seconds,
                causal=window.causal,
                rows_per_time=window.rows_per_time,
            )
        self._times = torch.from_numpy(samples.times)
        self._targets = _targets(samples, loss)

    def __len__(self) -> int:
        return len(self._times)

    def __getitems__(self, indices: Sequence[int]) -> CachedBatch:
        """The batch of these clips."""
        chosen = np.asarray(indices)
        begins, ends = self._first[chosen], self._first[chosen + 1]
        items = np.concatenate([np.arange(*pair) for pair in zip(begins, ends, strict=True)])
        window_of = torch.from_numpy(np.repeat(np.arange(len(chosen)), ends - begins))
        own = self._own.__getitems__(indices)
        rows = mask = times = None
        if self._around is not None:
            around = relative(self._around.__getitems__(indices), self._times[chosen])
            rows, mask, times = around.rows, around.mask, around.times
        return CachedBatch(
            short_term=own.rows[window_of, torch.from_numpy(self._place[items])],
            targets=None if self._targets is None else self._targets[items],
            long_term=rows,
            mask=mask,
            times=times,
            window_of=window_of,
        )


def whole(batch: CachedBatch) -> CachedBatch:
    """What a loader gets is a batch already."""
    return batch


def check_rows(samples: Samples, bank: FeatureBank) -> None:
    """ValueError where a bank does not have the row of an item."""
    video, times = samples.video[samples.clip], samples.times[samples.clip]
    held = np.zeros(len(video), np.int64)
    for number in np.unique(video).tolist():
        name = samples.videos[number]
        own = video == number
        held[own] = _rows_at(bank, name, times[own])
    missing = np.flatnonzero(samples.place >= held)
    if len(missing):
        one = missing[0]
        raise ValueError(
            f"bank {bank.name!r} has {held[one]} rows at {times[one]} s of "
            f"{samples.videos[video[one]]!r}, and row {samples.place[one]} is asked for "
            f"({len(missing)} of {len(video)} are not there); extract the bank for all films"
        )


def _rows_at(bank: FeatureBank, video: str, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows at each of these times, 0 where the bank has no such key time."""
    if video not in bank.videos():
        return np.zeros(len(times), np.int64)
    known = bank.times(video)
    zeros = np.zeros(1, np.int64)
    places = places_among(moments_of(zeros, known), moments_of(zeros, times))
    counts: NDArray[Any] = np.append(bank.counts(video), 0)
    return counts[places]


def _targets(samples: Samples, loss: Loss) -> Tensor | None:
    if samples.targets is None:
        return None
    found = torch.from_numpy(samples.targets)
    return found.argmax(1) if loss == "softmax" else found
