"""A detector and a 3D CNN that read the numbers off the frames that they are shown.

Put in the place of real ones they tell, row by row, which frames a row has seen. Run as a program
it extracts with them: `python -m tests.jobs.canary INPUT STORE SETTING...`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelbank.pipeline.backbones import models
from reelbank.pipeline.backbones.backbone import Backbone
from reelbank.pipeline.backbones.config import BackboneConfig, ResNet3DConfig
from reelbank.pipeline.backbones.zoo import BACKBONES
from reelbank.pipeline.detect.build import DETECTORS
from reelbank.pipeline.detect.moments import Moment
from reelbank.stores.records import Detections
from tests.jobs.extraction import extract
from tests.videos import read_number

NUM_FRAMES = 8
SPATIAL_STRIDE = 16
UNREADABLE = -1
CATEGORIES = ("person", "car", "person", "person")

RECIPE = (
    "backbones.main={name: canary, weights: null, short_side: 112, batch_size: 3}",
    "banks={person: {dtype: float32}, clip: {dtype: float32}}",
    "banks.object={kind: object, dtype: float32}",
    "banks.grid={kind: grid, dtype: float32}",
    "resources.detector_batch=2",
    "resources.threads=1",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryConfig(ResNet3DConfig):
    """Shapes of the canary; its pixels come unnormalised."""

    @property
    def feature_dims(self) -> tuple[int, ...]:
        return (NUM_FRAMES + 2,)

    @property
    def spatial_stride(self) -> int:
        return SPATIAL_STRIDE


class CanaryBackbone(Backbone):
    """Map channel i holds the number of frame i everywhere; the last two hold x and y in [0, 1]."""

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        pictures = (clips * 255).round().to(torch.uint8).permute(0, 2, 3, 4, 1).numpy()
        height, width = pictures.shape[2:4]
        rows, columns = -(-height // SPATIAL_STRIDE), -(-width // SPATIAL_STRIDE)
        maps = torch.empty(len(pictures), NUM_FRAMES + 2, 1, rows, columns)
        for clip, frames in zip(maps, pictures, strict=True):
            for index, frame in enumerate(frames):
                clip[index] = number_of(frame)
            clip[-2] = (torch.arange(columns) + 0.5) * SPATIAL_STRIDE / width
            clip[-1] = (torch.arange(rows)[:, None] + 0.5) * SPATIAL_STRIDE / height
        return (maps,)

    def classify(self, maps: tuple[Tensor, ...]) -> Tensor:
        raise NotImplementedError


class CanaryDetector:
    """Frame n shows up to four things, of categories in turn; all that is told of them tells n."""

    feature_dim = 2
    untrained = True

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        return [things(number_of(frame)) for frame in frames]


def things(number: int) -> Detections:
    """What the detector finds in frame `number`."""
    count = (number + number // 25) % 5
    left = 0.1 + 0.15 * np.arange(count)
    top = np.full(count, 0.2 + number % 7 / 50)
    boxes = np.stack([left, top, left + 0.3, top + 0.5], axis=1).astype(np.float32)
    appearance = np.zeros((count, 48), np.uint8)
    appearance[:, :4] = np.array([number], "<u4").view(np.uint8)
    return Detections(
        boxes=boxes.reshape(-1, 4),
        scores=(0.9 - 0.1 * np.arange(count)).astype(np.float32),
        categories=tuple(CATEGORIES[rank % len(CATEGORIES)] for rank in range(count)),
        features=np.stack([np.full(count, number), np.arange(count)], axis=1).astype(np.float32),
        appearance=appearance,
    )


def number_of(frame: NDArray[np.uint8]) -> int:
    """The number that a frame carries; padding carries none."""
    try:
        return read_number(frame)
    except ValueError:
        return UNREADABLE


def install(patch: pytest.MonkeyPatch) -> None:
    """Make 'canary' a backbone, and the canary the detector of kind 'hog'."""
    construct = models.construct

    def with_canary(config: BackboneConfig, num_classes: int | None = None) -> Backbone:
        if isinstance(config, CanaryConfig):
            return CanaryBackbone(config)
        return construct(config, num_classes)

    zeros, ones = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    config = CanaryConfig(num_frames=NUM_FRAMES, frame_stride=4, mean=zeros, std=ones)
    patch.setitem(BACKBONES, "canary", lambda: config)
    patch.setattr(models, "construct", with_canary)
    patch.setitem(DETECTORS, "hog", lambda config, device: CanaryDetector())


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        extract(Path(sys.argv[1]), Path(sys.argv[2]), *RECIPE, *sys.argv[3:])
