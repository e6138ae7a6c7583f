"""Shapes of the families of backbones; their named members are those of zoo.py."""

import math
from dataclasses import dataclass

KINETICS_MEAN = (0.45, 0.45, 0.45)
KINETICS_STD = (0.225, 0.225, 0.225)
TimeKernel = int | tuple[int, ...]
"""Length in time of a stage's kernels; several are taken in turn, block after block."""
TimeKernels = tuple[int, TimeKernel, TimeKernel, TimeKernel, TimeKernel]


@dataclass(frozen=True, kw_only=True, slots=True)
class NonLocalConfig:
    """Which residual blocks of the slow pathway are followed by a non-local block, and its kind."""

    after_blocks: tuple[tuple[int, ...], ...] = ((), (1, 3), (1, 3, 5), ())
    """For each of the four stages, the indices of the blocks that one follows."""
    kind: str = "dot_product"
    """How affinities become weights: `dot_product` (divided by their number) or `softmax`."""
    pool: tuple[int, int, int] = (1, 2, 2)
    """Max-pooling over t, h, w of the positions that are attended to."""
    num_groups: int = 1
    """Spans of equal length into which time is cut; positions attend inside their own span."""
    frames_per_group: tuple[int | None, ...] = (None, None, None, None)
    """For each of the four stages, the frames of such a span; None: as many as `num_groups` say."""

    def __post_init__(self) -> None:
        if self.kind not in ("dot_product", "softmax"):
            raise ValueError(f"kind={self.kind!r} is unknown; use 'dot_product' or 'softmax'")
        for name in ("after_blocks", "frames_per_group"):
            if len(getattr(self, name)) != 4:
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} entries; give one for each of 4 stages"
                )
        if min(self.pool) < 1 or self.num_groups < 1:
            raise ValueError(f"pool={self.pool}, num_groups={self.num_groups}: use 1 or more")
        if any(frames is not None and frames < 1 for frames in self.frames_per_group):
            raise ValueError(f"frames_per_group={self.frames_per_group}: use 1 or more, or None")


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNet3DConfig:
    """One member of the 3D ResNet family; a second, fast pathway exists where `speed_ratio` > 1."""

    num_frames: int
    """Frames of a clip; with two pathways those of the fast one."""
    frame_stride: int
    """Frames of the clip grid from one frame of the clip to the next."""
    num_blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    """Bottleneck blocks in each stage."""
    width: int = 64
    """Channels of the slow stem and of the first stage inside its bottlenecks."""
    expansion: int = 4
    """Channels that leave a bottleneck, as a multiple of those inside it."""
    temporal_kernels: TimeKernels = (1, 1, 1, 3, 3)
    """Length in time of the slow kernels: stem, then first convolution of each stage's blocks."""
    fast_temporal_kernels: TimeKernels = (5, 3, 3, 3, 3)
    """The same for the fast pathway."""
    num_temporal_blocks: tuple[int, int, int, int] | None = None
    """Leading blocks of each stage whose kernels have that length, the rest 1; None: all."""
    speed_ratio: int = 1
    """Fast frames for each slow frame (alpha); 1: there is no fast pathway."""
    channel_ratio: int = 8
    """Slow channels for each fast channel (beta inverted)."""
    fusion_ratio: int = 2
    """Channels that a lateral connection hands to the slow pathway, for each fast channel."""
    fusion_kernel: int = 5
    """Length in time of the lateral convolutions."""
    non_local: NonLocalConfig | None = None
    """Non-local blocks of the slow pathway."""
    temporal_pool: int = 1
    """Frames of which the largest value is kept after the first stage; 1: every frame is."""
    last_stride: int = 2
    """Stride in space of the last stage where it is not dilated; at 1 maps have 1/16 of the side
    instead of 1/32."""
    dilated: bool = False
    """Last stage at stride 1 with dilation 2: maps have 1/16 of the side instead of 1/32."""
    short_side: int = 256
    """Short side in pixels to which frames are scaled by default."""
    mean: tuple[float, float, float] = KINETICS_MEAN
    """Mean of R, G, B in [0, 1], to be subtracted."""
    std: tuple[float, float, float] = KINETICS_STD
    """Deviation of R, G, B, to be divided by."""

    def __post_init__(self) -> None:
        counts = ("num_frames", "frame_stride", "width", "expansion", "speed_ratio")
        for name in (*counts, "temporal_pool", "last_stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is below 1; use 1 or more")
        if self.num_frames % self.speed_ratio:
            raise ValueError(
                f"num_frames={self.num_frames} is no multiple of speed_ratio={self.speed_ratio}; "
                "change one of them"
            )
        num_slow_frames = self.num_frames // self.speed_ratio
        if num_slow_frames % self.temporal_pool:
            raise ValueError(
                f"{num_slow_frames} frames are no multiple of temporal_pool={self.temporal_pool}; "
                "change num_frames or temporal_pool"
            )
        if self.speed_ratio > 1 and self.width % self.channel_ratio:
            raise ValueError(
                f"width={self.width} is no multiple of channel_ratio={self.channel_ratio}; "
                "change one of them"
            )

    @property
    def feature_dims(self) -> tuple[int, ...]:
        """Channels of the last stage, for each pathway."""
        slow = self.width * self.expansion * 8
        return (slow,) if self.speed_ratio == 1 else (slow, slow // self.channel_ratio)

    @property
    def strides(self) -> tuple[int, int, int, int]:
        """Stride in space of each stage's first block."""
        return (1, 2, 2, 1 if self.dilated else self.last_stride)

    @property
    def spatial_stride(self) -> int:
        """Pixels of the clip for each cell of a map."""
        return 4 * math.prod(self.strides)


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchvisionConfig:
    """A model of torchvision.models.video, taken as it is."""

    model: str
    """Its name there."""
    num_frames: int
    """Frames of a clip as its published weights were tested, or a shorter one that it allows."""
    frame_stride: int
    """Frames of the 30 Hz clip grid from one frame of the clip to the next."""
    feature_dims: tuple[int, ...]
    """Channels of the last map."""
    spatial_stride: int
    """Pixels of the clip for each cell of the map."""
    short_side: int
    """Short side in pixels to which frames are scaled by default."""
    mean: tuple[float, float, float]
    """Mean of R, G, B in [0, 1], to be subtracted."""
    std: tuple[float, float, float]
    """Deviation of R, G, B, to be divided by."""


BackboneConfig = ResNet3DConfig | TorchvisionConfig
