"""A 3D CNN and a head on its features, trained together.

Source: Wu, PhD thesis, section 7.2.1 ("with batch normalization layers frozen"): statistics, scales
and shifts of all batch norms stay as they were loaded; the released code gives its affine layers no
gradient either. The bank's network is another one, with its own weights.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reelbank.heads.feature_bank.head import FeatureBankHead, ShortTermHead
from reelbank.jobs.training.bank_dataset import WindowBatch
from reelbank.pipeline.backbones.backbone import Backbone, normalise
from reelbank.pipeline.backbones.roi_pooling import clip_features, roi_features


class ClipModel(nn.Module):
    """Pixels in, logits out."""

    def __init__(
        self,
        backbone: Backbone,
        head: FeatureBankHead | ShortTermHead,
        *,
        is_frozen: bool = False,
        roi_aligned: bool = True,
    ) -> None:
        """With `is_frozen` the network's weights and mode stay too."""
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last_3d)
        self.head = head
        self.is_frozen, self.roi_aligned = is_frozen, roi_aligned
        backbone.requires_grad_(not is_frozen)
        for norm in self._norms():
            norm.requires_grad_(False)

    def train(self, mode: bool = True) -> "ClipModel":
        """Switch dropout and the like; batch norms stay as they are."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        for norm in self._norms():
            norm.eval()
        return self

    def _norms(self) -> Iterator[_BatchNorm]:
        return (one for one in self.backbone.modules() if isinstance(one, _BatchNorm))

    def features(self, frames: Tensor, boxes: Tensor | None, clip_of: Tensor) -> Tensor:
        """Rows (M, dim), float32, as an extraction makes them.

        `frames` (N, T, h, w, 3) uint8; `boxes` (M, 4) in [0, 1] of the clips `clip_of` (M,), in
        any order; None: a row for each clip.
        """
        clips = normalise(frames, self.backbone)
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            maps: tuple[Tensor, ...] = self.backbone(clips)
            if boxes is None:
                return clip_features(maps)
            order = torch.argsort(clip_of, stable=True)
            counts = torch.bincount(clip_of, minlength=len(frames)).tolist()
            rows = roi_features(
                maps,
                torch.split(boxes[order], counts),
                clip_size=(frames.shape[2], frames.shape[3]),
                spatial_stride=self.backbone.spatial_stride,
                aligned=self.roi_aligned,
            )
            return rows[torch.argsort(order)]

    def forward(
        self,
        frames: Tensor,
        boxes: Tensor | None,
        clip_of: Tensor,
        window: WindowBatch | None = None,
    ) -> Tensor:
        """Logits (M, num_classes); arguments as in `features`, and the N windows of the clips.

        Times of a window are relative to its clip.
        """
        rows = self.features(frames, boxes, clip_of)
        if window is None:
            logits: Tensor = self.head(rows, window_of=clip_of)
            return logits
        logits = self.head(rows, window.rows, window.mask, times=window.times, window_of=clip_of)
        return logits  # noqa: RET504 - mypy knows no type of a module's call
