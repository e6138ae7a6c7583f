"""Windows of a bank as a PyTorch dataset: one gather for each batch.

    loader = DataLoader(dataset, batch_size=64, collate_fn=collate, num_workers=2, pin_memory=True)

Workers may be forked or spawned; each opens the bank's files for itself and sees the live set that
the bank was made with. Nothing is drawn at random here: the order is the sampler's. A row of a bank
of grids holds all cells of a clip; in a window each cell is a row of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from reelbank.stores.bank import FeatureBank


class WindowBatch(NamedTuple):
    """Windows padded to one length; a named tuple is what a DataLoader pins field by field."""

    rows: Tensor
    """(b, length, dim) in the bank's own type, each window's rows in time order, then zeros."""
    mask: Tensor
    """(b, length) bool, true where there is a row."""
    times: Tensor
    """(b, length) float64, the key time of each row in seconds; NaN in the padding."""
    boxes: Tensor | None
    """(b, length, 4) float32 x1 y1 x2 y2 in [0, 1], where they were asked for."""
    key_numbers: Tensor
    """(b,) int64, the place of each window's key in the dataset: for its labels."""


class BankDataset(Dataset[WindowBatch]):
    """The windows around given keys."""

    def __init__(
        self,
        bank: FeatureBank,
        keys: Sequence[tuple[str, float]],
        support: float,
        *,
        causal: bool = False,
        rows_per_time: int | None = None,
        boxes: bool = False,
    ) -> None:
        """`keys` are (video, time); the other arguments are those of `bank.gather`.

        With `rows_per_time`, all batches have one length, if the bank says its key-time step.
        A bank of grids counts as its rows do, before they are cut into cells.
        """
        self._bank, self._support = bank, support
        self._causal, self._rows_per_time, self._boxes = causal, rows_per_time, boxes
        # In columns: a forked worker would copy a list of a million tuples by counting references.
        self._videos = sorted({video_id for video_id, _ in keys})
        numbers = {video_id: number for number, video_id in enumerate(self._videos)}
        self._numbers = np.array([numbers[video_id] for video_id, _ in keys], np.int32)
        self._times = np.array([time for _, time in keys], np.float64)

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int) -> WindowBatch:
        """The batch of one window."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> WindowBatch:
        """The batch of these windows; what a DataLoader calls."""
        keys = [
            (self._videos[number], time)
            for number, time in zip(
                self._numbers[indices].tolist(), self._times[indices].tolist(), strict=True
            )
        ]
        found = self._bank.gather(
            keys, self._support, self._causal, self._rows_per_time, self._boxes
        )
        cells, (size, length, _) = num_cells(self._bank), found.rows.shape
        return WindowBatch(
            rows=torch.from_numpy(found.rows).view(size, length * cells, row_dim(self._bank)),
            mask=torch.from_numpy(found.mask).repeat_interleave(cells, dim=1),
            times=torch.from_numpy(found.times).repeat_interleave(cells, dim=1),
            boxes=None if found.boxes is None else torch.from_numpy(found.boxes),
            key_numbers=torch.tensor(indices, dtype=torch.int64),
        )


def num_cells(bank: FeatureBank) -> int:
    """Rows of a window that one row of the bank makes: k * k for grids of k x k cells, else 1."""
    return int(bank.metadata["grid_size"]) ** 2 if bank.kind == "grid" else 1


def row_dim(bank: FeatureBank) -> int:
    """Channels of a window's row: those of one cell, where the bank holds grids."""
    return bank.dim // num_cells(bank)


def collate(items: WindowBatch | Sequence[WindowBatch]) -> WindowBatch:
    """One batch of what a dataset gave: a batch stays; several are padded to one length.

    Several come where a dataset is wrapped in one that asks for its items one by one.
    """
    if isinstance(items, WindowBatch):
        return items
    length = max(item.mask.shape[1] for item in items)
    boxes = [_padded(item.boxes, length, 0.0) for item in items if item.boxes is not None]
    return WindowBatch(
        rows=torch.cat([_padded(item.rows, length, 0.0) for item in items]),
        mask=torch.cat([_padded(item.mask, length, 0.0) for item in items]),
        times=torch.cat([_padded(item.times, length, float("nan")) for item in items]),
        boxes=torch.cat(boxes) if boxes else None,
        key_numbers=torch.cat([item.key_numbers for item in items]),
    )


def relative(window: WindowBatch, times: Tensor) -> WindowBatch:
    """Windows whose times are seconds from those of the clips (N,), float32, and 0 in the padding.

    A batch that broke a training down is searched for what is not finite.
    """
    since = (window.times - times[:, None]).nan_to_num(0.0).float()
    return window._replace(times=since)


def _padded(values: Tensor, length: int, filler: float) -> Tensor:
    shape = (len(values), length - values.shape[1], *values.shape[2:])
    return torch.cat([values, values.new_full(shape, filler)], dim=1)
