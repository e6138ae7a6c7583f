"""Torchvision's Faster R-CNN with a feature pyramid (Ren et al. 2015; Lin et al. 2017).

RoI features are the box head's output, 1024 numbers, at the final boxes: pooled and sent through
the head a second time, because the first time it saw the proposals that the boxes came from.

Calibration: score = softmax over COCO's categories and background.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import get_model_builder, get_model_weights

from reelbank.pipeline.backbones.checkpoints import load_state
from reelbank.pipeline.detect.boxes import clip
from reelbank.pipeline.detect.config import TorchvisionConfig
from reelbank.pipeline.detect.loading import fill_model
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.detect.selection import Selector, to_numpy
from reelbank.pipeline.detect.weights import checked_digest, weights_path
from reelbank.stores.records import Detections

NUM_LABELS = 91
"""COCO's numbering with its gaps; 0 is the background."""
NO_EPSILON = "fasterrcnn_resnet50_fpn"
"""This model's published weights were trained when batch normalisation added nothing to the
variance; torchvision, too, takes the epsilon away when it loads them by name."""
EVERY_BOX = 2**31 - 1


class TorchvisionDetector:
    """Frames go through one at a time, so that a frame's result cannot depend on its neighbours."""

    def __init__(self, config: TorchvisionConfig, *, device: str = "cpu") -> None:
        self.config = config
        self.untrained = config.weights is None
        self._device = torch.device(device)
        names = tuple(get_model_weights(config.model)["COCO_V1"].meta["categories"])
        self._autocasts = config.mixed_precision and self._device.type == "cuda"
        model: Any = _build_model(config)
        if config.weights is not None:
            path = _fetch_published(config) if config.published_file else weights_path(config)
            checked_digest(path, config.sha256)
            fill_model(model, load_state(path), path=path)
        model.eval().to(self._device)
        if self._autocasts:
            model.to(memory_format=torch.channels_last)
        self._model = model
        self.feature_dim = int(model.roi_heads.box_predictor.cls_score.in_features)
        self._selector = Selector(
            names,
            config.categories,
            max_per_frame=config.max_per_frame,
            feature_dim=self.feature_dim,
        )

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        """Detections of each frame: RoI features are the box head's output at the final boxes."""
        return [self._detect_one(frame) for frame in frames]

    @torch.inference_mode()
    def _detect_one(self, frame: NDArray[np.uint8]) -> Detections:
        if self._has_no_pixels(frame):
            return self._selector.nothing(frame)
        # Copied: the frame may be read-only, or a view that PyTorch cannot hold.
        pixels = torch.from_numpy(frame.copy()).to(self._device)
        image = pixels.permute(2, 0, 1).float() / 255.0  # (height, width, 3) -> (3, height, width)
        images, _ = self._model.transform([image])
        with torch.autocast(self._device.type, dtype=torch.float16, enabled=self._autocasts):
            maps = self._model.backbone(images.tensors)
            proposals, _ = self._model.rpn(images, maps)
            (found,), _ = self._model.roi_heads(maps, proposals, images.image_sizes)
        height, width = images.image_sizes[0]
        size = np.asarray([width, height, width, height], dtype=np.float32)
        boxes = clip(to_numpy(found["boxes"]) / size)
        scores = to_numpy(found["scores"])
        labels = found["labels"].cpu().numpy()

        def features_at(kept: NDArray[np.intp]) -> NDArray[np.float32]:
            final = found["boxes"][torch.from_numpy(kept).to(self._device)]
            with torch.autocast(self._device.type, dtype=torch.float16, enabled=self._autocasts):
                pooled = self._model.roi_heads.box_roi_pool(maps, [final], images.image_sizes)
                return to_numpy(self._model.roi_heads.box_head(pooled))  # (n, 1024)

        return self._selector.detections(frame, boxes, scores, labels, features_at)

    def _has_no_pixels(self, frame: NDArray[np.uint8]) -> bool:
        """Whether the frame is so long and thin that resizing would leave it no short side."""
        short, long = sorted(frame.shape[:2])
        transform = self._model.transform
        scale = min(min(transform.min_size) / short, transform.max_size / long)
        return bool(short * scale < 1.0)


def _build_model(config: TorchvisionConfig) -> nn.Module:
    """The network with random weights of `config.seed`; fetches nothing."""
    sizes = {"min_size": config.short_side, "max_size": config.long_side}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: nn.Module = get_model_builder(config.model)(
            weights=None,
            weights_backbone=None,
            num_classes=NUM_LABELS,
            box_score_thresh=config.min_score,
            box_nms_thresh=config.nms_iou,
            # All: `max_per_frame` counts the boxes of the wanted categories alone.
            box_detections_per_img=EVERY_BOX,
            **{name: pixels for name, pixels in sizes.items() if pixels is not None},
        )
    if config.model == NO_EPSILON and config.weights is not None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return model


def _fetch_published(config: TorchvisionConfig) -> Path:
    """The published file in PyTorch's cache, fetched where absent; its name holds its digest."""
    assert config.weights is not None
    assert config.published_file is not None
    path = Path(torch.hub.get_dir()) / "checkpoints" / config.published_file
    digits = path.stem.rsplit("-", maxsplit=1)[1]
    if not path.is_file():
        url = get_model_weights(config.model)[config.weights].url
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digits, progress=False)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"the published weights {config.weights} of {config.model} could not be fetched "
                f"({error}); fetch {url} by hand, then give its path as weights"
            ) from error
    found = checked_digest(path, None)
    if not found.startswith(digits):
        raise ValueError(
            f"published weights file {path} has SHA-256 {found}, expected it to begin with "
            f"{digits}; remove the file, so that it is fetched again"
        )
    return path
