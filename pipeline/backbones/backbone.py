"""What every network on pixels offers: a normalised clip in, the maps of its last stage out."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reelbank.pipeline.backbones.config import BackboneConfig


class Backbone(nn.Module, ABC):
    """A network on clips. `classify` exists where it was built with classes."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.feature_dims: tuple[int, ...] = config.feature_dims
        """Channels of the last map of each pathway."""
        self.num_frames: int = config.num_frames
        """Frames of a clip."""
        self.stride_hint: int = config.frame_stride
        """Default frames of the clip grid from one frame of the clip to the next."""
        self.spatial_stride: int = config.spatial_stride
        """Pixels of the clip for each cell of a map."""
        self.mean: tuple[float, float, float] = config.mean
        """Mean of R, G, B in [0, 1], to be subtracted from the frames."""
        self.std: tuple[float, float, float] = config.std
        """Deviation of R, G, B, to be divided by."""

    @property
    def feature_dim(self) -> int:
        """Channels of all pathways together."""
        return sum(self.feature_dims)

    @abstractmethod
    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Maps (N, C_i, T_i, h, w) of the last stage, for each pathway i.

        `clips`: (N, 3, T, H, W) RGB, float, scaled to [0, 1], less `mean`, over `std`.
        """

    @abstractmethod
    def classify(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Logits (N, num_classes) as the published heads give them; no dropout, no softmax."""


def normalise(frames: Tensor, backbone: Backbone) -> Tensor:
    """Frames (N, T, H, W, 3), uint8 RGB, as float32 clips (N, 3, T, H, W) for `backbone`."""
    mean = torch.tensor(backbone.mean, device=frames.device)
    std = torch.tensor(backbone.std, device=frames.device)
    return ((frames.float() / 255.0 - mean) / std).permute(0, 4, 1, 2, 3)
