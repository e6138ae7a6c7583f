"""The 3D ResNet family: SlowOnly and I3D with one pathway, SlowFast with two.

Source: Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019, table 1; I3D:
Wu, PhD thesis, table 7.1, whose pool2 is the pooling of the first stage.
alpha -> speed_ratio, 1 / beta -> channel_ratio. Slow frames are taken from the fast clip at
linspace(0, T - 1, T / alpha), cut to whole indices, as the published weights were trained.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.pipeline.backbones.backbone import Backbone
from reelbank.pipeline.backbones.config import (
    NonLocalConfig,
    ResNet3DConfig,
    TimeKernel,
    TimeKernels,
)
from reelbank.pipeline.backbones.non_local import NonLocal

HEAD_WINDOW = 7
"""Side of the windows that the published heads average over: the last map of a 224-pixel crop.
Those on maps of 1/16 of the side average over all of it."""


def conv3d(
    channels_in: int,
    channels_out: int,
    kernel: tuple[int, int, int],
    *,
    stride: tuple[int, int, int] = (1, 1, 1),
    dilation: int = 1,
) -> nn.Conv3d:
    """A convolution without bias that keeps the size where the stride is 1."""
    return nn.Conv3d(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        dilation=(1, dilation, dilation),
        padding=(kernel[0] // 2, kernel[1] // 2 * dilation, kernel[2] // 2 * dilation),
        bias=False,
    )


class Stem(nn.Module):
    """Convolution, norm and max-pooling: a quarter of the side, every frame."""

    def __init__(self, channels: int, temporal_kernel: int) -> None:
        super().__init__()
        self.conv = conv3d(3, channels, (temporal_kernel, 7, 7), stride=(1, 2, 2))
        self.norm = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, clips: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, C, T, H / 4, W / 4)."""
        pooled: Tensor = self.pool(F.relu(self.norm(self.conv(clips)), inplace=True))
        return pooled


class Bottleneck(nn.Module):
    """Residual block: tx1x1, 1x3x3 (strided or dilated), 1x1x1."""

    def __init__(
        self,
        channels_in: int,
        channels_inner: int,
        channels_out: int,
        *,
        temporal_kernel: int,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv_a = conv3d(channels_in, channels_inner, (temporal_kernel, 1, 1))
        self.norm_a = nn.BatchNorm3d(channels_inner)
        self.conv_b = conv3d(
            channels_inner,
            channels_inner,
            (1, 3, 3),
            stride=(1, stride, stride),
            dilation=dilation,
        )
        self.norm_b = nn.BatchNorm3d(channels_inner)
        self.conv_c = conv3d(channels_inner, channels_out, (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_norm: nn.Module = nn.Identity()
        if channels_in != channels_out or stride != 1:
            self.shortcut = conv3d(channels_in, channels_out, (1, 1, 1), stride=(1, stride, stride))
            self.shortcut_norm = nn.BatchNorm3d(channels_out)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H / stride, W / stride)."""
        inner = F.relu(self.norm_a(self.conv_a(maps)), inplace=True)
        inner = F.relu(self.norm_b(self.conv_b(inner)), inplace=True)
        residual = self.norm_c(self.conv_c(inner))
        return F.relu(self.shortcut_norm(self.shortcut(maps)) + residual, inplace=True)


class Stage(nn.Module):
    """Bottlenecks of one width, some of them followed by a non-local block, and a pooling."""

    def __init__(
        self,
        blocks: Iterable[Bottleneck],
        non_local: Mapping[int, NonLocal],
        *,
        temporal_pool: int = 1,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.non_local = nn.ModuleDict({str(index): one for index, one in non_local.items()})
        self.pool = nn.MaxPool3d((temporal_pool, 1, 1)) if temporal_pool > 1 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the stage before -> maps of this stage."""
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if str(index) in self.non_local:
                maps = self.non_local[str(index)](maps)
        pooled: Tensor = self.pool(maps)
        return pooled


def non_local_blocks(
    config: NonLocalConfig | None, stage: int, channels: int
) -> dict[int, NonLocal]:
    """The non-local blocks of a stage, by the index of the block that each follows."""
    if config is None:
        return {}
    frames = config.frames_per_group[stage]
    after_blocks = config.after_blocks[stage]
    return {i: NonLocal(channels, config, frames_per_group=frames) for i in after_blocks}


def kernel_of_block(kernels: TimeKernel, index: int) -> int:
    """Length in time of a block's first convolution: (3, 1) gives 3, 1, 3, 1, ..."""
    return kernels if isinstance(kernels, int) else kernels[index % len(kernels)]


class Pathway(nn.Module):
    """Stem and four stages; `extra_channels[i]` come in beside the input of stage i."""

    def __init__(
        self,
        config: ResNet3DConfig,
        *,
        width: int,
        temporal_kernels: TimeKernels,
        extra_channels: tuple[int, ...] = (0, 0, 0, 0),
        non_local: NonLocalConfig | None = None,
    ) -> None:
        super().__init__()
        self.stem = Stem(width, temporal_kernels[0])
        self.stages = nn.ModuleList()
        channels = width
        for stage in range(4):
            inner = width * 2**stage
            num_temporal = (config.num_temporal_blocks or config.num_blocks)[stage]
            blocks = []
            for index in range(config.num_blocks[stage]):
                first = index == 0
                blocks.append(
                    Bottleneck(
                        channels + extra_channels[stage] if first else channels,
                        inner,
                        inner * config.expansion,
                        temporal_kernel=kernel_of_block(temporal_kernels[stage + 1], index)
                        if index < num_temporal
                        else 1,
                        stride=config.strides[stage] if first else 1,
                        dilation=2 if config.dilated and stage == 3 else 1,
                    )
                )
                channels = inner * config.expansion
            self.stages.append(
                Stage(
                    blocks,
                    non_local_blocks(non_local, stage, channels),
                    temporal_pool=config.temporal_pool if stage == 0 else 1,
                )
            )

    def forward(self, clips: Tensor) -> Tensor:
        """Maps of the last stage; for a pathway that nothing comes into."""
        maps: Tensor = self.stem(clips)
        for stage in self.stages:
            maps = stage(maps)
        return maps


def mean_over_windows(maps: Tensor) -> Tensor:
    """(N, C, T, h, w) -> (N, C, 1, h', w'): the mean over time and each window of the head."""
    sides = [min(HEAD_WINDOW, side) for side in maps.shape[3:]]
    return F.avg_pool3d(maps, (maps.shape[2], *sides), stride=1)


class ResNet3D(Backbone):
    """What both members share: the head."""

    def __init__(self, config: ResNet3DConfig, num_classes: int | None) -> None:
        super().__init__(config)
        self.classifier = (
            nn.Linear(sum(config.feature_dims), num_classes) if num_classes is not None else None
        )

    def classify(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Logits (N, num_classes): the mean over all 7x7 windows, as in the published heads."""
        if self.classifier is None:
            raise ValueError("this backbone was built without a head; give num_classes to have one")
        if self.spatial_stride == 32:
            maps = tuple(mean_over_windows(path) for path in maps)
        pooled = torch.cat([path.mean(dim=(2, 3, 4)) for path in maps], dim=1)
        logits: Tensor = self.classifier(pooled)
        return logits


class SlowOnly(ResNet3D):
    """One pathway."""

    def __init__(self, config: ResNet3DConfig, num_classes: int | None = None) -> None:
        super().__init__(config, num_classes)
        self.slow = Pathway(
            config,
            width=config.width,
            temporal_kernels=config.temporal_kernels,
            non_local=config.non_local,
        )

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, T, H, W) -> one map (N, C, T', H / stride, W / stride)."""
        return (self.slow(clips),)


class Fusion(nn.Module):
    """Lateral connection: fast maps, strided in time to the slow ones and put beside them."""

    def __init__(self, channels: int, config: ResNet3DConfig) -> None:
        super().__init__()
        channels_out = channels * config.fusion_ratio
        self.conv = conv3d(
            channels,
            channels_out,
            (config.fusion_kernel, 1, 1),
            stride=(config.speed_ratio, 1, 1),
        )
        self.norm = nn.BatchNorm3d(channels_out)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        """(N, C, T, H, W) and (N, C', T * speed_ratio, H, W) -> (N, C + fused, T, H, W)."""
        return torch.cat([slow, F.relu(self.norm(self.conv(fast)), inplace=True)], dim=1)


class SlowFast(ResNet3D):
    """Two pathways; the fast one feeds the slow one before each stage."""

    def __init__(self, config: ResNet3DConfig, num_classes: int | None = None) -> None:
        super().__init__(config, num_classes)
        fast_width = config.width // config.channel_ratio
        fast_channels = [fast_width] + [fast_width * config.expansion * 2**i for i in range(3)]
        self.speed_ratio = config.speed_ratio
        self.slow = Pathway(
            config,
            width=config.width,
            temporal_kernels=config.temporal_kernels,
            extra_channels=tuple(c * config.fusion_ratio for c in fast_channels),
            non_local=config.non_local,
        )
        self.fast = Pathway(config, width=fast_width, temporal_kernels=config.fast_temporal_kernels)
        self.fusions = nn.ModuleList(Fusion(c, config) for c in fast_channels)

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, T, H, W) of the fast pathway -> slow and fast maps."""
        if clips.shape[2] % self.speed_ratio:
            raise ValueError(
                f"a clip of {clips.shape[2]} frames cannot feed two pathways; "
                f"give a multiple of {self.speed_ratio}"
            )
        slow = self.slow.stem(self.slow_frames(clips))
        fast = self.fast.stem(clips)
        for fusion, slow_stage, fast_stage in zip(
            self.fusions, self.slow.stages, self.fast.stages, strict=True
        ):
            slow = slow_stage(fusion(slow, fast))
            fast = fast_stage(fast)
        return slow, fast

    def slow_frames(self, clips: Tensor) -> Tensor:
        """The frames of the slow pathway: evenly spaced, the first and the last among them."""
        num_frames = clips.shape[2]
        # On the CPU wherever the clips are: which frames are taken must not depend on the device.
        indices = torch.linspace(
            0, num_frames - 1, num_frames // self.speed_ratio, device="cpu"
        ).long()
        return clips.index_select(2, indices.to(clips.device))
