"""I3D-NL of the released Long-Term Feature Banks a second time, plainly, on its own blob names.

Written from table 7.1 of the thesis and the names of the released files, block by block; norms are
scale and bias. It does not know the code that it is compared with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

KERNELS = {
    50: {2: (3, 3, 3), 3: (3, 1, 3, 1), 4: (3, 1, 3, 1, 3, 1), 5: (1, 3, 1)},
    101: {2: (3, 3, 3), 3: (3, 1, 3, 1), 4: (3, 1) * 11 + (3,), 5: (1, 3, 1)},
}
"""Length in time of the first convolution of each block, by depth and stage."""
NON_LOCAL = {50: {3: (1, 3), 4: (1, 3, 5)}, 101: {3: (1, 3), 4: (6, 13, 20)}}
"""Blocks that a non-local block follows."""


@dataclass(frozen=True, kw_only=True)
class Released:
    depth: int = 50
    width: int = 64
    num_classes: int = 80
    has_non_local: bool = True
    is_dilated: bool = True
    """Res5 with dilation 2, as for AVA and Charades; without, as for EPIC-Kitchens."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every blob of a trained network with its shape, but for what belongs to the training."""
        found: dict[str, tuple[int, ...]] = {"conv1_w": (self.width, 3, 5, 7, 7)}
        found |= self._affine("res_conv1_bn", self.width)
        channels = self.width
        for stage, kernels in KERNELS[self.depth].items():
            inner = self.width * 2 ** (stage - 2)
            out = inner * 4
            for index, kernel in enumerate(kernels):
                convolutions = {
                    "branch2a": (inner, channels, kernel, 1, 1),
                    "branch2b": (inner, inner, 1, 3, 3),
                    "branch2c": (out, inner, 1, 1, 1),
                }
                if index == 0:
                    convolutions["branch1"] = (out, channels, 1, 1, 1)
                for branch, shape in convolutions.items():
                    found[f"res{stage}_{index}_{branch}_w"] = shape
                    found |= self._affine(f"res{stage}_{index}_{branch}_bn", shape[0])
                channels = out
                if index in self.after(stage):
                    found |= self._non_local_shapes(f"nonlocal_conv{stage}_{index}", out)
        found["pred_w"] = (self.num_classes, channels)
        found["pred_b"] = (self.num_classes,)
        return found

    def after(self, stage: int) -> tuple[int, ...]:
        return NON_LOCAL[self.depth].get(stage, ()) if self.has_non_local else ()

    @staticmethod
    def _affine(name: str, channels: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}_s": (channels,), f"{name}_b": (channels,)}

    def _non_local_shapes(self, name: str, channels: int) -> dict[str, tuple[int, ...]]:
        half = channels // 2
        found: dict[str, tuple[int, ...]] = {}
        for part in ("theta", "phi", "g"):
            found[f"{name}_{part}_w"] = (half, channels, 1, 1, 1)
            found[f"{name}_{part}_b"] = (half,)
        found[f"{name}_out_w"] = (channels, half, 1, 1, 1)
        found[f"{name}_out_b"] = (channels,)
        return found | self._affine(f"{name}_bn", channels)

    def random_blobs(self, seed: int) -> dict[str, Tensor]:
        """Float64 blobs through which activations stay of order 1."""
        generator = torch.Generator().manual_seed(seed)
        blobs = {}
        for name, shape in self.shapes().items():
            values = torch.randn(shape, generator=generator, dtype=torch.float64)
            if len(shape) == 5:
                blobs[name] = values * (2 / torch.tensor(shape[1:]).prod()) ** 0.5
            elif name.endswith("_s"):
                blobs[name] = 0.5 + 0.1 * values
            else:
                blobs[name] = 0.1 * values
        return blobs

    def maps(self, blobs: Mapping[str, Tensor], clips: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, C, T / 2, H / 16, W / 16)."""
        x = F.conv3d(clips, blobs["conv1_w"], stride=(1, 2, 2), padding=(2, 3, 3))
        x = self._affined(blobs, "res_conv1_bn", x).relu()
        x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for stage, kernels in KERNELS[self.depth].items():
            for index in range(len(kernels)):
                stride = 2 if index == 0 and stage in (3, 4) else 1
                dilation = 2 if stage == 5 and self.is_dilated else 1
                x = self._block(blobs, f"res{stage}_{index}", x, stride, dilation)
                if index in self.after(stage):
                    # Res3 has so many positions that each four frames are kept to themselves.
                    spans = torch.split(x, 4, dim=2) if stage == 3 else (x,)
                    name = f"nonlocal_conv{stage}_{index}"
                    x = torch.cat([s + self._non_local(blobs, name, s) for s in spans], dim=2)
            if stage == 2:
                x = torch.maximum(x[:, :, 0::2], x[:, :, 1::2])
        return x

    @staticmethod
    def _affined(blobs: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
        scale, bias = (blobs[f"{name}_{kind}"][:, None, None, None] for kind in "sb")
        return x * scale + bias

    def _block(
        self, blobs: Mapping[str, Tensor], name: str, x: Tensor, stride: int, dilation: int
    ) -> Tensor:
        def convolve(branch: str, value: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
            weight = blobs[f"{name}_{branch}_w"]
            time, side = weight.shape[2], weight.shape[3]
            convolved = F.conv3d(
                value,
                weight,
                stride=(1, stride, stride),
                padding=(time // 2, side // 2 * dilation, side // 2 * dilation),
                dilation=(1, dilation, dilation),
            )
            return self._affined(blobs, f"{name}_{branch}_bn", convolved)

        y = convolve("branch2a", x).relu()
        y = convolve("branch2c", convolve("branch2b", y, stride, dilation).relu())
        shortcut = convolve("branch1", x, stride) if f"{name}_branch1_w" in blobs else x
        return (shortcut + y).relu()

    def _non_local(self, blobs: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
        def dense(part: str, value: Tensor) -> Tensor:
            weight = blobs[f"{name}_{part}_w"].flatten(1)
            bias = blobs[f"{name}_{part}_b"][:, None, None, None]
            return torch.einsum("oc,ncthw->nothw", weight, value) + bias

        pooled = F.max_pool3d(x, (1, 2, 2))
        theta, phi, g = dense("theta", x), dense("phi", pooled), dense("g", pooled)
        affinity = torch.einsum("ncthw,ncuvx->nthwuvx", theta, phi) / theta.shape[1] ** 0.5
        weights = affinity.flatten(4).softmax(dim=4).reshape(affinity.shape)
        seen = torch.einsum("nthwuvx,ncuvx->ncthw", weights, g)
        return self._affined(blobs, f"{name}_bn", dense("out", seen))
