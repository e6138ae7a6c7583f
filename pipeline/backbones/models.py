"""A backbone by name, with weights from a file or, marked so, without any."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.pipeline.backbones.backbone import Backbone
from reelbank.pipeline.backbones.checkpoints import load_into, load_state, read_licence
from reelbank.pipeline.backbones.config import BackboneConfig, TorchvisionConfig
from reelbank.pipeline.backbones.digests import file_sha256
from reelbank.pipeline.backbones.non_local import NonLocal
from reelbank.pipeline.backbones.resnet3d import SlowFast, SlowOnly
from reelbank.pipeline.backbones.shipped import weights_path
from reelbank.pipeline.backbones.torchvision_video import TorchvisionVideo
from reelbank.pipeline.backbones.zoo import BACKBONES, backbone_config

__all__ = ["BACKBONES", "LoadedBackbone", "build_backbone"]

CALIBRATION_SIDE = 64
CALIBRATION_CLIPS = 4


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
    """A backbone that is ready to extract, and where its weights come from."""

    module: Backbone
    """The network, in evaluation mode, on the CPU, float32."""
    untrained: bool
    """Its weights are random."""
    weights_digest: str | None
    """SHA-256 of the weights file, hexadecimal; None where untrained."""
    licence: str | None
    """What the weights file itself says of its licence; None where it says nothing."""


def build_backbone(
    name: str,
    *,
    weights: str | None = None,
    sha256: str | None = None,
    seed: int = 0,
    num_classes: int | None = None,
) -> LoadedBackbone:
    """Build `name`; load `weights` (shipped ones by name, or a file of a known format) or draw them
    from `seed`.

    With `num_classes` the network keeps its head (`classify`); without, head tensors in the file
    are passed over. The global random state is left as it was.
    """
    config = backbone_config(name)
    weights = None if weights is None else weights_path(name, weights)
    if weights is None and sha256 is not None:
        raise ValueError(f"sha256={sha256} is given without weights; name the file, or drop it")
    with seeded(seed):
        module = construct(config, num_classes)
        if weights is None:
            draw_weights(module, config)
    module.eval().requires_grad_(False)
    if weights is None:
        return LoadedBackbone(module, untrained=True, weights_digest=None, licence=None)
    load_into(module, load_state(weights, sha256), source=weights)
    return LoadedBackbone(
        module,
        untrained=False,
        weights_digest=file_sha256(weights),
        licence=read_licence(weights),
    )


def construct(config: BackboneConfig, num_classes: int | None = None) -> Backbone:
    """The network of a config, with whatever weights torch gives it."""
    if isinstance(config, TorchvisionConfig):
        return TorchvisionVideo(config, num_classes)
    if config.speed_ratio > 1:
        return SlowFast(config, num_classes)
    return SlowOnly(config, num_classes)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's CPU generator at `seed` inside, as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def draw_weights(module: Backbone, config: BackboneConfig) -> None:
    """Random weights through which activations stay of order 1 and clips stay distinguishable.

    He initialisation alone lets the variance double with each residual block and drives all
    features towards one direction, since a norm with initial statistics does nothing. So the
    statistics are measured once, on clips of seeded noise. In float64, so that the result does
    not depend on the number of threads. Non-local blocks begin as identities, as published.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, NonLocal):
            nn.init.zeros_(layer.norm.weight)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm3d)]
    if not norms:
        return
    clips = noise_clips(CALIBRATION_CLIPS, config.num_frames, CALIBRATION_SIDE)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        module.double().train()(clips.double())
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.float()


def noise_clips(num_clips: int, num_frames: int, side: int) -> Tensor:
    """Clips (N, 3, T, side, side) of variance 1 with equal power in each octave, as pictures have.

    Half of the power is grey, that is shared by the three channels.
    """
    clips = torch.zeros(num_clips, 3, num_frames, side, side)
    scales = [2**octave for octave in range(side.bit_length())]
    for scale in scales:
        cells = (max(1, num_frames // scale), side // scale, side // scale)
        coarse = torch.randn(num_clips, 3, *cells) + torch.randn(num_clips, 1, *cells)
        clips += F.interpolate(coarse, size=clips.shape[2:], mode="nearest")
    return clips.mul_((2 * len(scales)) ** -0.5)
