"""The named backbones: what can be known of each without torch.

The driver of an extraction imports this file to check recipes and to plan; it must import no torch.

Source of the sizes: Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019, and
the configurations of the published weights (PySlowFast, pytorchvideo); of I3D: Wu, PhD thesis,
table 7.1 (Long-Term Feature Banks, CVPR 2019), and its released configurations.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from reelbank.pipeline.backbones.config import (
    BackboneConfig,
    NonLocalConfig,
    ResNet3DConfig,
    TorchvisionConfig,
)

STAGE_BLOCKS = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
TORCHVISION_RESNET_MEAN = (0.43216, 0.394666, 0.37645)
TORCHVISION_RESNET_STD = (0.22803, 0.22145, 0.216989)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def slowonly_tiny() -> ResNet3DConfig:
    """A small member for CPUs, with weights that come with the package: 14 layers, 256 channels."""
    return ResNet3DConfig(
        num_frames=8,
        frame_stride=8,
        num_blocks=STAGE_BLOCKS[14],
        width=16,
        expansion=2,
        # Few pixels, so finer maps: neighbours in a frame of 160 x 96 have cells of their own.
        dilated=True,
        short_side=96,
    )


def slowonly_r50_8x8() -> ResNet3DConfig:
    """SlowOnly (Slow) R50 of the model zoos."""
    return ResNet3DConfig(num_frames=8, frame_stride=8, num_blocks=STAGE_BLOCKS[50])


def slowonly_r50_4x16() -> ResNet3DConfig:
    """The same network on 4 frames."""
    return replace(slowonly_r50_8x8(), num_frames=4, frame_stride=16)


def slowonly_r101_8x8() -> ResNet3DConfig:
    """SlowOnly R101; temporal kernels in all of its 23 blocks of the fourth stage."""
    return replace(slowonly_r50_8x8(), num_blocks=STAGE_BLOCKS[101])


def slowonly_nl_r50_8x8() -> ResNet3DConfig:
    """SlowOnly R50 with five non-local blocks (SLOW_NLN_8x8_R50)."""
    return replace(slowonly_r50_8x8(), non_local=NonLocalConfig())


def slowonly_nl_r50_4x16() -> ResNet3DConfig:
    """The same network on 4 frames (SLOW_NLN_4x16_R50)."""
    return replace(slowonly_r50_4x16(), non_local=NonLocalConfig())


def slowfast_r50_8x8() -> ResNet3DConfig:
    """SlowFast R50: 8 slow frames of 32; its lateral kernels are longer than its siblings'."""
    return ResNet3DConfig(
        num_frames=32,
        frame_stride=2,
        num_blocks=STAGE_BLOCKS[50],
        speed_ratio=4,
        fusion_kernel=7,
    )


def slowfast_r50_4x16() -> ResNet3DConfig:
    """SlowFast R50: 4 slow frames of 32."""
    return replace(slowfast_r50_8x8(), speed_ratio=8, fusion_kernel=5)


def slowfast_r101_8x8() -> ResNet3DConfig:
    """SlowFast R101, temporal kernels in all blocks (SLOWFAST_8x8_R101_101_101, pytorchvideo)."""
    return replace(slowfast_r50_8x8(), num_blocks=STAGE_BLOCKS[101], fusion_kernel=5)


def slowfast_r101_50_50_8x8() -> ResNet3DConfig:
    """SlowFast R101, temporal kernels in as many blocks as R50 has (SLOWFAST_8x8_R101_50_50)."""
    return replace(slowfast_r101_8x8(), num_temporal_blocks=STAGE_BLOCKS[50])


def slowfast_nl_r50_8x8() -> ResNet3DConfig:
    """SlowFast R50 with five non-local blocks (SLOWFAST_NLN_8x8_R50: lateral kernels of 5)."""
    return replace(slowfast_r50_8x8(), fusion_kernel=5, non_local=NonLocalConfig())


def slowfast_nl_r50_4x16() -> ResNet3DConfig:
    """SlowFast R50 on 4 slow frames with five non-local blocks (SLOWFAST_NLN_4x16_R50)."""
    return replace(slowfast_r50_4x16(), non_local=NonLocalConfig())


def slowfast_nl_r101_8x8() -> ResNet3DConfig:
    """The trunk of the AVA detector (AVA SLOWFAST_32x2_R101_50_50), at stride 32."""
    non_local = NonLocalConfig(after_blocks=((), (), (6, 13, 20), ()), pool=(2, 2, 2))
    return replace(slowfast_r101_50_50_8x8(), non_local=non_local)


def slowfast_r101_50_50_16x8() -> ResNet3DConfig:
    """The same trunk on 16 slow frames of 64 (SLOWFAST_16x8_R101_50_50)."""
    return replace(slowfast_r101_50_50_8x8(), num_frames=64)


def i3d_r50() -> ResNet3DConfig:
    """I3D R50 of table 7.1 without its non-local blocks."""
    return ResNet3DConfig(
        num_frames=32,
        frame_stride=2,
        num_blocks=STAGE_BLOCKS[50],
        temporal_kernels=(5, 3, (3, 1), (3, 1), (1, 3)),
        temporal_pool=2,
        last_stride=1,
    )


def i3d_nl_r50() -> ResNet3DConfig:
    """I3D-NL R50 of table 7.1; the blocks of its second stage see four frames at a time.

    As released for EPIC-Kitchens; for AVA and Charades its last stage is dilated.
    """
    non_local = NonLocalConfig(kind="softmax", frames_per_group=(None, 4, None, None))
    return replace(i3d_r50(), non_local=non_local)


def i3d_nl_r101() -> ResNet3DConfig:
    """I3D-NL R101, as released."""
    base = i3d_nl_r50()
    assert base.non_local is not None
    non_local = replace(base.non_local, after_blocks=((), (1, 3), (6, 13, 20), ()))
    return replace(base, num_blocks=STAGE_BLOCKS[101], non_local=non_local)


def dilated(make: Callable[[], ResNet3DConfig]) -> Callable[[], ResNet3DConfig]:
    """The member whose maps have 1/16 of the side, as the published AVA detectors use it."""
    return lambda: replace(make(), dilated=True)


def torchvision_resnet(model: str) -> TorchvisionConfig:
    """r3d_18, mc3_18 or r2plus1d_18, as their Kinetics weights were tested."""
    return TorchvisionConfig(
        model=model,
        num_frames=16,
        frame_stride=2,
        feature_dims=(512,),
        spatial_stride=16,
        short_side=128,
        mean=TORCHVISION_RESNET_MEAN,
        std=TORCHVISION_RESNET_STD,
    )


def torchvision_s3d() -> TorchvisionConfig:
    """S3D; its weights were tested on 128 frames, which few machines want for each key time."""
    return replace(
        torchvision_resnet("s3d"),
        num_frames=32,
        feature_dims=(1024,),
        spatial_stride=32,
        short_side=256,
    )


def torchvision_swin(model: str, feature_dim: int) -> TorchvisionConfig:
    """A video Swin transformer."""
    return TorchvisionConfig(
        model=model,
        num_frames=32,
        frame_stride=2,
        feature_dims=(feature_dim,),
        spatial_stride=32,
        short_side=256,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


BACKBONES: dict[str, Callable[[], BackboneConfig]] = {
    "slowonly_tiny": slowonly_tiny,
    "slowonly_r50_4x16": slowonly_r50_4x16,
    "slowonly_r50_4x16_dilated": dilated(slowonly_r50_4x16),
    "slowonly_r50_8x8": slowonly_r50_8x8,
    "slowonly_r50_8x8_dilated": dilated(slowonly_r50_8x8),
    "slowonly_r101_8x8": slowonly_r101_8x8,
    "slowonly_nl_r50_4x16": slowonly_nl_r50_4x16,
    "slowonly_nl_r50_8x8": slowonly_nl_r50_8x8,
    "slowfast_r50_4x16": slowfast_r50_4x16,
    "slowfast_r50_8x8": slowfast_r50_8x8,
    "slowfast_r50_8x8_dilated": dilated(slowfast_r50_8x8),
    "slowfast_r101_8x8": slowfast_r101_8x8,
    "slowfast_r101_50_50_8x8": slowfast_r101_50_50_8x8,
    "slowfast_r101_50_50_16x8": slowfast_r101_50_50_16x8,
    "slowfast_nl_r50_4x16": slowfast_nl_r50_4x16,
    "slowfast_nl_r50_8x8": slowfast_nl_r50_8x8,
    "slowfast_nl_r101_8x8": slowfast_nl_r101_8x8,
    "slowfast_nl_r101_8x8_dilated": dilated(slowfast_nl_r101_8x8),
    "i3d_r50": i3d_r50,
    "i3d_r50_dilated": dilated(i3d_r50),
    "i3d_nl_r50": i3d_nl_r50,
    "i3d_nl_r50_dilated": dilated(i3d_nl_r50),
    "i3d_nl_r101": i3d_nl_r101,
    "i3d_nl_r101_dilated": dilated(i3d_nl_r101),
    "torchvision/r3d_18": lambda: torchvision_resnet("r3d_18"),
    "torchvision/mc3_18": lambda: torchvision_resnet("mc3_18"),
    "torchvision/r2plus1d_18": lambda: torchvision_resnet("r2plus1d_18"),
    "torchvision/s3d": torchvision_s3d,
    "torchvision/swin3d_t": lambda: torchvision_swin("swin3d_t", 768),
    "torchvision/swin3d_s": lambda: torchvision_swin("swin3d_s", 768),
    "torchvision/swin3d_b": lambda: torchvision_swin("swin3d_b", 1024),
}


def backbone_config(name: str) -> BackboneConfig:
    """The shapes behind a name; an unknown name is answered with the closest and with all."""
    if name not in BACKBONES:
        closest = difflib.get_close_matches(name, BACKBONES, n=1, cutoff=0.4)
        hint = f"did you mean {closest[0]!r}? " if closest else ""
        raise ValueError(f"unknown backbone {name!r}; {hint}known: {', '.join(BACKBONES)}")
    return BACKBONES[name]()


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneInfo:
    """What a planner or a recipe needs to know of a backbone."""

    name: str
    """Its name in `BACKBONES`."""
    num_frames: int
    """Frames of a clip."""
    frame_stride: int
    """Frames of the 30 Hz clip grid from one frame of the clip to the next."""
    short_side: int
    """Short side in pixels to which frames are scaled by default."""
    spatial_stride: int
    """Pixels of the clip for each cell of a map."""
    mean: tuple[float, float, float]
    """Mean of R, G, B in [0, 1], to be subtracted."""
    std: tuple[float, float, float]
    """Deviation of R, G, B, to be divided by."""
    feature_dims: tuple[int, ...]
    """Channels of the last map of each pathway."""

    @property
    def feature_dim(self) -> int:
        """Length of a `clip` or `person` row; a `grid` row has k*k times as many."""
        return sum(self.feature_dims)


def backbone_info(name: str) -> BackboneInfo:
    """Default clip, normalisation and dimensions of a backbone, found without torch."""
    config = backbone_config(name)
    return BackboneInfo(
        name=name,
        num_frames=config.num_frames,
        frame_stride=config.frame_stride,
        short_side=config.short_side,
        spatial_stride=config.spatial_stride,
        mean=config.mean,
        std=config.std,
        feature_dims=config.feature_dims,
    )
