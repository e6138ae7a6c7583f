"""Non-local block: every position adds a weighted sum over all positions of its clip.

Source: Wang et al., Non-local Neural Networks, CVPR 2018, section 3, in the form in which the
published SlowFast weights use it: theta, phi, g -> theta, phi, value; W_z -> out, then a norm.
Spans of a set number of frames: Wu, PhD thesis, table 7.1, as released.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.pipeline.backbones.config import NonLocalConfig


class NonLocal(nn.Module):
    """(N, C, T, H, W) in and out; half of the channels inside."""

    def __init__(
        self, channels: int, config: NonLocalConfig, *, frames_per_group: int | None = None
    ) -> None:
        super().__init__()
        inner = channels // 2
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.value = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d(config.pool) if max(config.pool) > 1 else nn.Identity()
        self.kind = config.kind
        self.num_groups = config.num_groups
        self.frames_per_group = frames_per_group

    def forward(self, maps: Tensor) -> Tensor:
        """The maps plus what their positions see."""
        spans = self._cut(maps)
        seen = self.norm(self.out(self._attend(spans)))
        return maps + self._join(seen, len(maps))

    def _attend(self, spans: Tensor) -> Tensor:
        pooled = self.pool(spans)
        query: Tensor = (
            self.theta(spans).flatten(2).transpose(1, 2)
        )  # (N, C, T, H, W) -> (N, THW, C)
        key: Tensor = self.phi(pooled).flatten(2)
        value: Tensor = self.value(pooled).flatten(2).transpose(1, 2)
        affinity = query @ key  # (N, THW, pooled THW)
        if self.kind == "softmax":
            weights = F.softmax(affinity * query.shape[-1] ** -0.5, dim=-1)
        else:
            weights = affinity / affinity.shape[-1]
        seen = (weights @ value).transpose(1, 2)
        return seen.reshape(*seen.shape[:2], *spans.shape[2:])

    def _cut(self, maps: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N * groups, C, T / groups, H, W)."""
        num_groups = self._groups_of(maps.shape[2])
        if num_groups == 1:
            return maps
        return torch.cat(maps.unsqueeze(1).chunk(num_groups, dim=3), dim=1).flatten(0, 1)

    def _join(self, spans: Tensor, num_clips: int) -> Tensor:
        """Undo `_cut`."""
        if len(spans) == num_clips:
            return spans
        groups = spans.reshape(num_clips, -1, *spans.shape[1:])
        return torch.cat(groups.unbind(1), dim=2)

    def _groups_of(self, num_frames: int) -> int:
        by_length = self.frames_per_group is not None
        divisor = self.frames_per_group or self.num_groups
        if num_frames % divisor:
            setting = "frames_per_group" if by_length else "num_groups"
            raise ValueError(
                f"{num_frames} frames cannot be cut into equal spans by {setting}={divisor}; "
                "change it or the clip length"
            )
        return num_frames // divisor if by_length else divisor
