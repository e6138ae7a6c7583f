"""Rows one after the other, and where each lies among windows: boxes that share a window, so that
the window is held once, and the rows that a window holds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Places:
    """Where each of N rows lies among (num_windows, num_slots) slots."""

    place_of: Tensor
    """(N,) int64, window * num_slots + the row's slot within the window."""
    is_taken: Tensor
    """(num_windows, num_slots) bool, false where a slot is empty."""

    def lay_out(self, rows: Tensor, *, empty: float = 0.0) -> Tensor:
        """(N, dim) -> (num_windows, num_slots, dim), `empty` in the empty slots."""
        dim = rows.shape[1]
        slots = rows.new_full((self.is_taken.numel(), dim), empty)
        return slots.index_copy(0, self.place_of, rows).view(*self.is_taken.shape, dim)

    def collect(self, laid_out: Tensor) -> Tensor:
        """(num_windows, num_slots, ...) -> (N, ...), in the order of the rows; what lies in empty
        slots is not even read.
        """
        return laid_out.flatten(0, 1).index_select(0, self.place_of)


def where(is_taken: Tensor) -> Places:
    """The rows of the slots (num_windows, num_slots) that are taken, window by window."""
    return Places(is_taken.flatten().nonzero().squeeze(1), is_taken)


def one_each(num_boxes: int, device: torch.device) -> Places:
    """Every box has a window of its own."""
    is_taken = torch.ones(num_boxes, 1, dtype=torch.bool, device=device)
    return Places(torch.arange(num_boxes, device=device), is_taken)


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
    most = max(1, int(counts.max())) if num_windows else 1
    order = window_of.argsort(stable=True)
    sorted_windows = window_of[order]
    before = counts.cumsum(0) - counts
    number = torch.arange(len(window_of), device=window_of.device) - before[sorted_windows]
    place_of = torch.empty_like(window_of)
    place_of[order] = sorted_windows * most + number
    return Places(place_of, torch.arange(most, device=window_of.device) < counts[:, None])
