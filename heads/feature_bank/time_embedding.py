"""Where a row lies in time, seen from the clip: an option beyond the thesis.

Sines and cosines as in Vaswani et al., Attention Is All You Need, section 3.5, of seconds instead
of positions, then a learned linear map. Up to a quarter of the longest period either way, its
sine alone tells before from after.
"""

import math

import torch
from torch import Tensor, nn

from reelbank.heads.feature_bank.linear import INITIAL_DEVIATION

PERIODS_SECONDS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""From two key times of the default step to four times half a window of 128 s."""


class RelativeTimeEmbedding(nn.Module):
    """(...,) seconds relative to the clip, negative before it, in; (..., dim) out."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(2 * len(PERIODS_SECONDS), dim, bias=False)
        nn.init.normal_(self.projection.weight, std=INITIAL_DEVIATION)

    def forward(self, times: Tensor) -> Tensor:
        """The embedding of each time."""
        weight = self.projection.weight
        periods = torch.tensor(PERIODS_SECONDS, device=times.device, dtype=times.dtype)
        angles = 2 * math.pi * times[..., None] / periods
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        embedded: Tensor = self.projection(waves.to(weight.dtype))
        return embedded
