"""Settings of short-term features from a 3D CNN that is fine-tuned on clips decoded on the fly.

Source: Wu, PhD thesis, section 7.2.1: short side drawn from 256 to 320, crops of 224, flips, frozen
batch norm, boxes of the ground truth beside predicted ones; Table 7.2g: views in testing. Imports
nothing heavy, so that a driver can check a recipe.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from reelbank.pipeline.backbones.zoo import backbone_info
from reelbank.pipeline.settings import BackboneSettings

BoxSource = Literal["ground_truth", "predicted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """What is drawn for each clip in training, the same for all its frames; boxes move along."""

    short_side: tuple[int, int] | None = None
    """Least and greatest short side in pixels, both included; null: the network's own to 5/4 of it
    (256 to 320 for one of 256)."""
    crop_size: int | None = None
    """Side in pixels of the square that is cut out at a random place; null: 7/8 of the network's
    own short side (224); 0: the whole frame, for films of one shape; its short side is then the
    network's own."""
    flip: bool = True
    """Whether half of the clips are mirrored."""

    def __post_init__(self) -> None:
        if self.short_side is not None:
            _check_range("augment.short_side", self.short_side)
        if self.crop_size is not None and self.crop_size < 0:
            raise ValueError(f"augment.crop_size={self.crop_size} is negative; use 0 for no crop")
        if self.crop_size == 0 and self.short_side and self.short_side[0] != self.short_side[1]:
            raise ValueError(
                f"augment.short_side={list(self.short_side)} without a crop gives clips of many "
                "sizes, which make no batch; give one size, or a crop_size"
            )

    def resolved(self, short_side: int) -> "AugmentConfig":
        """The same with nulls filled in for a network of that short side."""
        if self.short_side is not None:
            sides = self.short_side
        else:
            sides = (short_side, short_side if self.crop_size == 0 else short_side * 5 // 4)
        size = short_side * 7 // 8 if self.crop_size is None else self.crop_size
        if size > sides[0]:
            raise ValueError(
                f"augment.crop_size={size} is larger than the least short side {sides[0]}; "
                "give both so that the crop fits"
            )
        return replace(self, short_side=sides, crop_size=size)


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewsConfig:
    """Views of a clip in testing; its scores are the means over them, on Charades the highest."""

    crops: Literal["centre", "three_crop", "whole"] = "centre"
    """`centre`: the middle square; `three_crop`: squares at both ends of the longer side and in its
    middle; `whole`: the frame as it is, which is what extraction looks at."""
    flip: bool = False
    """Whether each view is also seen mirrored."""
    scales: tuple[int, ...] | None = None
    """Short sides in pixels; null: the network's own alone. The thesis' three are 224, 256, 320."""

    def __post_init__(self) -> None:
        if self.scales is not None and (not self.scales or min(self.scales) < 1):
            raise ValueError(f"test.scales={list(self.scales)} is not possible; use 1 or more each")
        if self.scales is not None and len(set(self.scales)) != len(self.scales):
            raise ValueError(f"test.scales={list(self.scales)} repeats one; give each once")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipsConfig:
    """A 3D CNN and how clips, boxes and views come to it."""

    kind: Literal["clips"] = "clips"
    """Tells this from features of a bank."""
    backbone: str = "slowonly_tiny"
    """Name of the network; `reelbank doctor` lists them."""
    weights: str | None = None
    """Path of the weights that training begins with, or null for weights drawn from `seed`."""
    sha256: str | None = None
    """Digest that the weights must have, or null for no check."""
    seed: int = 0
    """Seed of weights that are drawn."""
    is_frozen: bool = False
    """Whether the network stays as it is and the head alone is trained."""
    num_frames: int | None = None
    """T, frames in a clip; null takes the network's own."""
    stride: int | None = None
    """τ, steps of the clip grid between frames; null takes the network's own."""
    clip_rate: float | Literal["native"] = 30.0
    """Grid on which clips are sampled, in Hz; 'native' is the video's own mean rate."""
    short_side: int | None = None
    """Pixels of the shorter side that the network sees in testing; null takes the network's own."""
    roi_aligned: bool = True
    """Whether RoIAlign shifts boxes by half a cell; as for the rows of a bank of kind person."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """What is drawn for each clip in training."""
    boxes: tuple[BoxSource, ...] = ("ground_truth", "predicted")
    """Where labels are about boxes: which of them are trained on, the labelled boxes, the stored
    detections, or both. Scores and overlaps that are asked for are those of the labels' settings;
    tests are always on detections."""
    test: ViewsConfig = field(default_factory=ViewsConfig)
    """Views of a clip in testing."""
    test_batch: int = 4
    """Clips that go through the network at once in testing."""
    decoder_threads: int = 1
    """Threads of one decoder; loaders decode clips beside each other already."""

    def __post_init__(self) -> None:
        _ = self.clip  # Checks what it shares with extraction.
        if not self.boxes or len(set(self.boxes)) != len(self.boxes):
            raise ValueError(
                f"boxes={list(self.boxes)} must name ground_truth, predicted or both, once"
            )
        for name in ("test_batch", "decoder_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is not possible; use 1 or more")
        if self.sha256 is not None and self.weights is None:
            raise ValueError(
                f"sha256={self.sha256} is given without weights; name the file, or drop it"
            )
        assert self.clip.short_side is not None
        self.augment.resolved(self.clip.short_side)

    @property
    def clip(self) -> BackboneSettings:
        """The network and its clips as extraction knows them, resolved."""
        return BackboneSettings(
            name=self.backbone,
            weights=self.weights,
            sha256=self.sha256,
            seed=self.seed,
            num_frames=self.num_frames,
            stride=self.stride,
            clip_rate=self.clip_rate,
            short_side=self.short_side,
        ).resolved()

    @property
    def feature_dim(self) -> int:
        """Width of the features (S) that the network gives a clip or a box."""
        return backbone_info(self.backbone).feature_dim

    def resolved(self) -> "ClipsConfig":
        """The same with every null that stands for the network's own value filled in."""
        clip = self.clip
        side = clip.short_side
        assert side is not None
        test = self.test if self.test.scales is not None else replace(self.test, scales=(side,))
        return replace(
            self,
            num_frames=clip.num_frames,
            stride=clip.stride,
            short_side=side,
            augment=self.augment.resolved(side),
            test=test,
        )


def _check_range(name: str, sides: tuple[int, int]) -> None:
    if not 1 <= sides[0] <= sides[1]:
        raise ValueError(f"{name}={list(sides)} is no range; give [least, greatest], 1 or more")
