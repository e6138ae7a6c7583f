"""Boxes that share a window: laid out window by window, so that the window is held once."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Places:
    """Where each of N boxes lies among (num_windows, num_boxes) places."""

    place_of: Tensor
    """(N,) int64, window * num_boxes + the box's number within the window."""
    is_box: Tensor
    """(num_windows, num_boxes) bool, false where a place is empty."""

    def lay_out(self, values: Tensor) -> Tensor:
        """(N, dim) -> (num_windows, num_boxes, dim), zeros in the empty places."""
        dim = values.shape[1]
        empty = values.new_zeros(self.is_box.numel(), dim)
        return empty.index_copy(0, self.place_of, values).view(*self.is_box.shape, dim)

    def collect(self, laid_out: Tensor) -> Tensor:
        """(num_windows, num_boxes, dim) -> (N, dim), in the order of the boxes."""
        return laid_out.flatten(0, 1).index_select(0, self.place_of)


def one_each(num_boxes: int, device: torch.device) -> Places:
    """Every box has a window of its own."""
    is_box = torch.ones(num_boxes, 1, dtype=torch.bool, device=device)
    return Places(torch.arange(num_boxes, device=device), is_box)


def shared(window_of: Tensor, num_windows: int | None = None) -> Places:
    """Boxes by the number of their window, in any order; None: as many windows as are named."""
    lowest, highest = (int(n) for n in window_of.aminmax()) if len(window_of) else (0, -1)
    if num_windows is None:
        num_windows = highest + 1
    if lowest < 0 or highest >= num_windows:
        raise ValueError(
            f"window_of names window {lowest if lowest < 0 else highest} and there are "
            f"{num_windows}; give numbers from 0 to below that"
        )
    counts = window_of.bincount(minlength=num_windows)  # (num_windows,)
    most = int(counts.max()) if num_windows else 0
    order = window_of.argsort(stable=True)
    sorted_windows = window_of[order]
    before = counts.cumsum(0) - counts
    number = torch.arange(len(window_of), device=window_of.device) - before[sorted_windows]
    place_of = torch.empty_like(window_of)
    place_of[order] = sorted_windows * most + number
    is_box = torch.arange(most, device=window_of.device) < counts[:, None]
    return Places(place_of, is_box)
