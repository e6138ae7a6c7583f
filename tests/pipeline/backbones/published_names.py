"""The published networks written a second time, plainly, on state dicts under the published names.

`parameters` gives the names and shapes of PySlowFast's and pytorchvideo's files by rule; `logits`
runs such a state dict with torch's functions. Neither knows the code that it is compared with.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Published:
    style: str
    """`pyslowfast`, `pytorchvideo` or `caffe2`."""
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    alpha: int = 1
    fusion_kernel: int = 7
    non_local: tuple[tuple[int, ...], ...] = ((), (), (), ())
    num_classes: int = 400

    def stem(self, path: int) -> tuple[str, str]:
        if self.style == "pyslowfast":
            return f"s1.pathway{path}_stem.conv", f"s1.pathway{path}_stem.bn"
        if self.style == "caffe2":
            return ("t_conv1", "t_res_conv1_bn") if path else ("conv1", "res_conv1_bn")
        inner = f"blocks.0.multipathway_blocks.{path}" if self.alpha > 1 else "blocks.0"
        return f"{inner}.conv", f"{inner}.norm"

    def block(self, stage: int, path: int, index: int, part: str) -> tuple[str, str]:
        """Convolution and norm of part 1 (shortcut), a, b or c; `stage` counts from 2."""
        if self.style == "pyslowfast":
            base = f"s{stage}.pathway{path}_res{index}.branch"
            conv = f"{base}1" if part == "1" else f"{base}2.{part}"
            return conv, f"{conv}_bn"
        if self.style == "caffe2":
            branch = "1" if part == "1" else f"2{part}"
            conv = f"{'t_' if path else ''}res{stage}_{index}_branch{branch}"
            return conv, f"{conv}_bn"
        middle = f"multipathway_blocks.{path}." if self.alpha > 1 else ""
        base = f"blocks.{stage - 1}.{middle}res_blocks.{index}"
        if part == "1":
            return f"{base}.branch1_conv", f"{base}.branch1_norm"
        return f"{base}.branch2.conv_{part}", f"{base}.branch2.norm_{part}"

    def fusion(self, level: int) -> tuple[str, str]:
        if self.style == "pyslowfast":
            return f"s{level + 1}_fuse.conv_f2s", f"s{level + 1}_fuse.bn"
        if self.style == "caffe2":
            last = self.blocks[level - 1] - 1
            base = f"t_res{level + 1}_{last}_branch2c_bn" if level else "t_pool1"
            return f"{base}_subsample", f"{base}_subsample_bn"
        base = f"blocks.{level}.multipathway_fusion"
        return f"{base}.conv_fast_to_slow", f"{base}.norm"

    def non_local_part(self, stage: int, index: int, part: str) -> str:
        if self.style == "caffe2":
            return f"nonlocal_conv{stage}_{index}_{part}"
        part = part if part == "bn" else f"conv_{part}"
        return f"s{stage}.pathway0_nonlocal{index}.{part}"

    def head(self) -> str:
        if self.style == "pytorchvideo":
            return f"blocks.{6 if self.alpha > 1 else 5}.proj"
        return "pred" if self.style == "caffe2" else "head.projection"

    def tensor(self, layer: str, kind: str) -> str:
        if self.style != "caffe2":
            return f"{layer}.{kind}"
        norm = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
        is_norm = layer.endswith("_bn")
        return f"{layer}_{norm[kind] if is_norm else kind[0]}"

    @property
    def paths(self) -> range:
        return range(2 if self.alpha > 1 else 1)

    def time_kernel(self, stage: int, path: int) -> int:
        slow, fast = {1: 1, 2: 1, 3: 1, 4: 3, 5: 3}, {1: 5, 2: 3, 3: 3, 4: 3, 5: 3}
        return (fast if path else slow)[stage]

    def path_width(self, path: int) -> int:
        return self.width // 8 if path else self.width

    def layers(self) -> Iterator[tuple[str, str | None, tuple[int, ...], bool]]:
        """Convolution, its norm, shape of its weight, whether it has a bias."""
        for path in self.paths:
            width = self.path_width(path)
            conv, norm = self.stem(path)
            yield conv, norm, (width, 3, self.time_kernel(1, path), 7, 7), False
            channels = width
            for stage in range(2, 6):
                inner = width * 2 ** (stage - 2)
                out = inner * 4
                if path == 0 and self.alpha > 1:
                    fast = (self.width // 8) * (1 if stage == 2 else 4 * 2 ** (stage - 3))
                    channels += 2 * fast
                    shape = (2 * fast, fast, self.fusion_kernel, 1, 1)
                    yield *self.fusion(stage - 2), shape, False
                for index in range(self.blocks[stage - 2]):
                    k = self.time_kernel(stage, path)
                    if index == 0:
                        yield *self.block(stage, path, 0, "1"), (out, channels, 1, 1, 1), False
                    yield *self.block(stage, path, index, "a"), (inner, channels, k, 1, 1), False
                    yield *self.block(stage, path, index, "b"), (inner, inner, 1, 3, 3), False
                    yield *self.block(stage, path, index, "c"), (out, inner, 1, 1, 1), False
                    channels = out
                    if path == 0 and index in self.non_local[stage - 2]:
                        for part in ("theta", "phi", "g"):
                            name = self.non_local_part(stage, index, part)
                            yield name, None, (out // 2, out, 1, 1, 1), True
                        name = self.non_local_part(stage, index, "out")
                        norm = self.non_local_part(stage, index, "bn")
                        yield name, norm, (out, out // 2, 1, 1, 1), True

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Every name of the file with its shape."""
        found: dict[str, tuple[int, ...]] = {}
        for conv, norm, shape, bias in self.layers():
            found[self.tensor(conv, "weight")] = shape
            if bias:
                found[self.tensor(conv, "bias")] = shape[:1]
            if norm:
                for kind in ("weight", "bias", "running_mean", "running_var"):
                    found[self.tensor(norm, kind)] = shape[:1]
                if self.style != "caffe2":
                    found[f"{norm}.num_batches_tracked"] = ()
        dim = sum(self.path_width(path) * 32 for path in self.paths)
        found[self.tensor(self.head(), "weight")] = (self.num_classes, dim)
        found[self.tensor(self.head(), "bias")] = (self.num_classes,)
        return found

    def random_state(self, seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        state = {}
        for name, shape in self.parameters().items():
            values = torch.rand(shape, generator=generator)
            if "nonlocal" in name and ("theta" in name or "phi" in name):
                # Affinities are products without bound: kept small, so that five stay finite.
                state[name] = (values - 0.5) * 0.05
            elif len(shape) == 5:
                fan_in = shape[1] * shape[2] * shape[3] * shape[4]
                state[name] = (values - 0.5) * (12 * 2 / fan_in) ** 0.5
            elif name.endswith("num_batches_tracked"):
                state[name] = torch.tensor(7)
            elif name.endswith(("running_var", "_riv")):
                state[name] = values + 0.5
            elif name.endswith(("_s", "weight")) and len(shape) == 1:
                state[name] = values * 0.4 + 0.3
            else:
                state[name] = (values - 0.5) * 0.4
        return state

    def logits(self, state: dict[str, Tensor], clips: Tensor) -> Tensor:
        num_frames = clips.shape[2]
        picks = [i * (num_frames - 1) // max(num_frames // self.alpha - 1, 1)
                 for i in range(num_frames // self.alpha)]  # fmt: skip
        maps = [self._stem(state, p, clips if p or self.alpha == 1 else clips[:, :, picks])
                for p in self.paths]  # fmt: skip
        for stage in range(2, 6):
            if self.alpha > 1:
                conv, norm = self.fusion(stage - 2)
                weight = state[self.tensor(conv, "weight")]
                pad = (self.fusion_kernel // 2, 0, 0)
                fused = F.conv3d(maps[1], weight, stride=(self.alpha, 1, 1), padding=pad)
                maps[0] = torch.cat([maps[0], self._norm(state, norm, fused).relu()], 1)
            maps = [self._stage(state, stage, p, maps[p]) for p in self.paths]
        pooled = torch.cat([m.mean((2, 3, 4)) for m in maps], 1)
        head = self.head()
        return F.linear(
            pooled, state[self.tensor(head, "weight")], state[self.tensor(head, "bias")]
        )

    def _norm(self, state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[self.tensor(name, kind)][:, None, None, None]
            for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def _stem(self, state: dict[str, Tensor], path: int, clips: Tensor) -> Tensor:
        conv, norm = self.stem(path)
        weight = state[self.tensor(conv, "weight")]
        x = F.conv3d(clips, weight, stride=(1, 2, 2), padding=(weight.shape[2] // 2, 3, 3))
        return F.max_pool3d(self._norm(state, norm, x).relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))

    def _conv(
        self, state: dict[str, Tensor], names: tuple[str, str], x: Tensor, stride: int
    ) -> Tensor:
        weight = state[self.tensor(names[0], "weight")]
        pad = tuple(k // 2 for k in weight.shape[2:])
        return self._norm(
            state, names[1], F.conv3d(x, weight, stride=(1, stride, stride), padding=pad)
        )

    def _stage(self, state: dict[str, Tensor], stage: int, path: int, x: Tensor) -> Tensor:
        for index in range(self.blocks[stage - 2]):
            stride = 2 if index == 0 and stage > 2 else 1
            y = self._conv(state, self.block(stage, path, index, "a"), x, 1).relu()
            y = self._conv(state, self.block(stage, path, index, "b"), y, stride).relu()
            y = self._conv(state, self.block(stage, path, index, "c"), y, 1)
            if index == 0:
                x = self._conv(state, self.block(stage, path, 0, "1"), x, stride)
            x = (x + y).relu()
            if path == 0 and index in self.non_local[stage - 2]:
                x = x + self._non_local(state, stage, index, x)
        return x

    def _non_local(self, state: dict[str, Tensor], stage: int, index: int, x: Tensor) -> Tensor:
        def dense(part: str, value: Tensor) -> Tensor:
            name = self.non_local_part(stage, index, part)
            weight = state[self.tensor(name, "weight")].flatten(1)
            bias = state[self.tensor(name, "bias")][:, None, None, None]
            return torch.einsum("oc,ncthw->nothw", weight, value) + bias

        pooled = F.max_pool3d(x, (1, 2, 2))
        theta = dense("theta", x)
        phi, g = dense("phi", pooled), dense("g", pooled)
        affinity = torch.einsum("ncthw,ncuvx->nthwuvx", theta, phi)
        affinity = affinity / affinity[0, 0, 0, 0].numel()
        seen = torch.einsum("nthwuvx,ncuvx->ncthw", affinity, g)
        return self._norm(state, self.non_local_part(stage, index, "bn"), dense("out", seen))
