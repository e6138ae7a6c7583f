"""A 3D CNN and a head on its features, trained together.

Source: Wu, PhD thesis, section 7.2.1 ("with batch normalization layers frozen"): statistics, scales
and shifts of all batch norms stay as they were loaded; the released code gives its affine layers no
gradient either. The bank's network is another one, with its own weights.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reelbank.heads.feature_bank.head import FeatureBankHead, ShortTermHead
from reelbank.jobs.training.bank_dataset import WindowBatch
from reelbank.pipeline.backbones.backbone import Backbone, normalise
from reelbank.pipeline.backbones.roi_pooling import clip_features, moment_features, roi_features


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

    def maps(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Maps of the network for frames (N, T, h, w, 3) uint8."""
        clips = normalise(frames, self.backbone)
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            maps: tuple[Tensor, ...] = self.backbone(clips)
        return maps

    def forward(
        self,
        frames: Tensor,
        boxes: Tensor | None,
        clip_of: Tensor,
        window: WindowBatch | None = None,
    ) -> Tensor:
        """Logits (M, num_classes) of boxes (M, 4) in [0, 1] of the clips `clip_of` (M,), in any
        order; boxes=None: of the clips, each as a whole.

        `frames` (N, T, h, w, 3) uint8. Times of the N windows are relative to their clips. Without
        windows an operator reads what shares the clip: its boxes, or, without boxes, its moments
        (thesis, section 7.4.1).
        """
        maps = self.maps(frames)
        rows = self.rows(maps, boxes, clip_of, clip_size=(frames.shape[2], frames.shape[3]))
        bank = mask = times = None
        if window is not None:
            bank, mask, times = window.rows, window.mask, window.times
        elif boxes is None and self.head.config.bank == "short_term":
            bank = moment_features(maps)
        logits: Tensor = self.head(rows, bank, mask, times=times, window_of=clip_of)
        return logits

    def rows(
        self,
        maps: Sequence[Tensor],
        boxes: Tensor | None,
        clip_of: Tensor,
        *,
        clip_size: tuple[int, int],
    ) -> Tensor:
        """Rows (M, dim), float32, as an extraction makes them of clips of that height and width."""
        if boxes is None:
            return clip_features(maps)
        order = torch.argsort(clip_of, stable=True)
        counts = torch.bincount(clip_of, minlength=len(maps[0])).tolist()
        rows = roi_features(
            maps,
            torch.split(boxes[order], counts),
            clip_size=clip_size,
            spatial_stride=self.backbone.spatial_stride,
            aligned=self.roi_aligned,
        )
        return rows[torch.argsort(order)]
