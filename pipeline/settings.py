"""Everything that decides what an extraction computes, as one tree of frozen settings.

Nothing here imports torch, PyAV or OpenCV: the driver of an extraction reads it to plan.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator

from reelbank.pipeline.backbones.shipped import is_shipped
from reelbank.pipeline.backbones.zoo import backbone_info
from reelbank.pipeline.decode.config import DecodeConfig
from reelbank.pipeline.decode.sampling import clip_times
from reelbank.pipeline.detect.config import (
    DetectorConfig,
    Detectron2Config,
    HogConfig,
    LabelsConfig,
    TorchvisionConfig,
)
from reelbank.pipeline.shots.config import AdaptiveConfig, ShotConfig
from reelbank.pipeline.track.config import TrackConfig
from reelbank.stores.layout import checked_bank

FEATURES_VERSION = 1
"""Raised by hand when a change of this code changes rows although no setting changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneSettings:
    """One 3D CNN and the clips that it is shown."""

    name: str = "slowonly_tiny"
    """Name of the network; `reelbank doctor` lists them."""
    weights: str | None = None
    """Path of a checkpoint, name of weights that come with the package (`theatre` for
    slowonly_tiny), or null for weights drawn from `seed` (marked untrained)."""
    sha256: str | None = None
    """Digest that the checkpoint must have, or null for no check."""
    seed: int = 0
    """Seed of untrained weights."""
    num_frames: int | None = None
    """T, frames in a clip; null takes the network's own."""
    stride: int | None = None
    """τ, steps of the clip grid between frames; null takes the network's own."""
    clip_rate: float | Literal["native"] = 30.0
    """Grid on which clips are sampled, in Hz; 'native' is the video's own mean rate."""
    short_side: int | None = None
    """Pixels of the shorter side that the network sees; null takes the network's own."""
    batch_size: int = 4
    """Clips in one forward pass; the last batch of a span is padded to it."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the network; the lower ones run under autocast."""

    def __post_init__(self) -> None:
        backbone_info(self.name)
        for name in ("num_frames", "stride", "short_side", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} is not possible; use 1 or more")
        if self.clip_rate != "native" and not 0 < self.clip_rate <= 1000:
            raise ValueError(
                f"clip_rate={self.clip_rate} is not possible; use 'native' or (0, 1000]"
            )

    def resolved(self) -> "BackboneSettings":
        """The same with every null that stands for the network's own value filled in."""
        info = backbone_info(self.name)
        return replace(
            self,
            num_frames=self.num_frames or info.num_frames,
            stride=self.stride or info.frame_stride,
            short_side=self.short_side or info.short_side,
        )

    def sample_times(self, key_time: float, native_rate: float) -> list[float]:
        """Times of the frames of the clip around `key_time`, rising; of resolved settings."""
        assert self.num_frames is not None
        assert self.stride is not None
        rate = native_rate if self.clip_rate == "native" else self.clip_rate
        times = clip_times(key_time, num_frames=self.num_frames, stride=self.stride, rate=rate)
        return [float(time) for time in times]


@dataclass(frozen=True, kw_only=True, slots=True)
class BankSettings:
    """One bank: which rows of which network."""

    kind: Literal["person", "object", "clip", "grid"]
    """person: RoI features of the 3D CNN; object: RoI features of the detector; clip: global
    pool; grid: k×k pool."""
    backbone: str = "main"
    """Which entry of `backbones` makes the rows; not used by kind object."""
    category: str | None = None
    """Detections that have a row in a RoI bank; null: 'person' for kind person, all for object."""
    grid_size: int = 2
    """k of kind grid."""
    roi_aligned: bool = True
    """Whether RoIAlign of kind person shifts boxes by half a cell, to where the cells' centres are;
    false as in Caffe2, with which the released Long-Term Feature Banks were trained."""
    dtype: Literal["float16", "float32"] = "float16"
    """Type of the rows on disk."""
    compression: Literal["none", "zstd"] = "none"
    """zstd saves a fifth or so of the disk; rows are then read through a local cache."""

    def __post_init__(self) -> None:
        if self.grid_size < 1:
            raise ValueError(f"grid_size={self.grid_size} is not possible; use 1 or more")
        if not self.roi_aligned and self.kind != "person":
            raise ValueError(f"roi_aligned=false means nothing to kind {self.kind!r}; drop it")
        if self.category is not None and self.kind not in ("person", "object"):
            raise ValueError(
                f"category={self.category!r} means nothing to kind {self.kind!r}; drop it"
            )

    @property
    def roi_category(self) -> str | None:
        """Category whose detections have rows; None for all."""
        return self.category or ("person" if self.kind == "person" else None)

    @property
    def reads_detections(self) -> bool:
        """Whether a row belongs to a detection."""
        return self.kind in ("person", "object")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Where the work runs; of what is computed this moves the last bits of rows at most."""

    device: str = "cpu"
    """'cpu', 'cuda' or 'cuda:N'."""
    extractors: int | None = None
    """Extractor processes; null: one for each two cores of the cluster."""
    cpus: float = 1.0
    """CPUs that Ray sets aside for each extractor."""
    gpus: float = 0.0
    """GPUs that Ray sets aside for each extractor; a fraction lets several share a card."""
    threads: int = 2
    """Threads of arithmetic inside an extractor."""
    detector_batch: int = 1
    """Key frames that the detector sees at once."""

    def __post_init__(self) -> None:
        for name, low in (("cpus", 0), ("gpus", 0), ("threads", 1), ("detector_batch", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"{name}={getattr(self, name)} is not possible; use {low} or more")
        if self.extractors is not None and self.extractors < 1:
            raise ValueError(
                f"extractors={self.extractors} is not possible; use 1 or more, or null"
            )
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device={self.device!r} is no device; use cpu, cuda or cuda:N")
        if self.device.startswith("cuda") and self.gpus == 0:
            raise ValueError(
                f"device={self.device!r} with gpus=0: Ray would hide the card; "
                "set gpus, for example 0.5"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractSettings:
    """A whole extraction recipe."""

    part_minutes: float = 10.0
    """Length of a part: the span of work and of commit."""
    key_step_seconds: float = 1.0
    """Distance of key times, in seconds; 1 as in AVA."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """How video is read."""
    shots: ShotConfig | None = field(default_factory=AdaptiveConfig)
    """Shot detection; null for none (tracks then cross cuts, and are not made)."""
    detector: Annotated[DetectorConfig, Discriminator("kind")] | None = field(
        default_factory=HogConfig
    )
    """Detection at key times; null for none."""
    tracks: TrackConfig | None = field(default_factory=TrackConfig)
    """Linking of detections; null for none."""
    backbones: dict[str, BackboneSettings] = field(
        default_factory=lambda: {"main": BackboneSettings()}
    )
    """3D CNNs by the name that banks use."""
    banks: dict[str, BankSettings] = field(default_factory=dict)
    """Banks by name."""
    resources: Resources = field(default_factory=Resources)
    """Where the work runs."""

    def __post_init__(self) -> None:
        if not 0 < self.part_minutes <= 600:
            raise ValueError(f"part_minutes={self.part_minutes} is not possible; use (0, 600]")
        if not 0.01 <= self.key_step_seconds <= 3600:
            raise ValueError(
                f"key_step_seconds={self.key_step_seconds} is not possible; use 0.01 to 3600"
            )
        if self.tracks is not None and self.tracks.max_gap_seconds < self.key_step_seconds:
            raise ValueError(
                f"tracks.max_gap_seconds={self.tracks.max_gap_seconds} is shorter than "
                f"key_step_seconds={self.key_step_seconds}: nothing would be linked; raise it"
            )
        for name, bank in self.banks.items():
            self._check_bank(name, bank)
        if self.shots is None and self.detector is None and not self.banks:
            raise ValueError("nothing to extract: give shots, detector or banks")

    def _check_bank(self, name: str, bank: BankSettings) -> None:
        checked_bank(name)
        if bank.reads_detections and self.detector is None:
            raise ValueError(
                f"banks.{name}: kind {bank.kind} needs a detector, and detector is null"
            )
        if bank.kind != "object" and bank.backbone not in self.backbones:
            known = ", ".join(sorted(self.backbones)) or "none"
            raise ValueError(
                f"banks.{name}.backbone={bank.backbone!r} is not in backbones; known: {known}"
            )

    def resolved(self) -> "ExtractSettings":
        """The same with every null that stands for a network's own value filled in."""
        return replace(
            self, backbones={name: one.resolved() for name, one in self.backbones.items()}
        )

    def with_absolute_paths(self) -> "ExtractSettings":
        """The same with files named from the root, as workers with another folder need them."""
        backbones = {
            name: one
            if is_shipped(one.name, one.weights)
            else replace(one, weights=_absolute(one.weights))
            for name, one in self.backbones.items()
        }
        detector = self.detector
        if isinstance(detector, TorchvisionConfig):
            detector = replace(detector, weights=_absolute(detector.weights))
        elif isinstance(detector, Detectron2Config):
            detector = replace(
                detector,
                config=_absolute(detector.config) or detector.config,
                weights=_absolute(detector.weights),
            )
        elif isinstance(detector, LabelsConfig):
            folder = Path(detector.labels).expanduser().absolute()
            detector = replace(detector, labels=str(folder))
        return replace(self, backbones=backbones, detector=detector)


def _absolute(path: str | None) -> str | None:
    """A file's absolute path; names of published weights and configs stay as they are."""
    return str(Path(path).absolute()) if path is not None and Path(path).is_file() else path
