"""R-CNN detectors of detectron2 with a box head: Faster, Mask and Cascade R-CNN, FPN or C4.

Source: Wu et al., Detectron2, 2019; its model zoo. Frames are prepared as its DefaultPredictor
does, and boxes and scores equal that one's. RoI features are the (last) box head's output at the
final boxes: 1024 numbers with a feature pyramid, 2048 with C4.

Departures: weights and YAML are read without running anything; mask and keypoint heads are left
out, since boxes do not depend on them.

Calibration: score = softmax over the config's categories and background.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reelbank.pipeline.backbones.checkpoints import load_state
from reelbank.pipeline.detect.boxes import clip
from reelbank.pipeline.detect.config import Detectron2Config
from reelbank.pipeline.detect.detectron2_config import (
    HOW_TO_GET_DETECTRON2,
    config_files,
    config_path,
)
from reelbank.pipeline.detect.loading import fill_model
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.detect.selection import Selector, to_numpy
from reelbank.pipeline.detect.weights import checked_digest, weights_path
from reelbank.stores.records import Detections

try:
    from detectron2.config import CfgNode, get_cfg
    from detectron2.data import MetadataCatalog
    from detectron2.data.transforms import ResizeShortestEdge
    from detectron2.modeling import build_model
    from detectron2.modeling.roi_heads import Res5ROIHeads, StandardROIHeads
    from detectron2.structures import Boxes
except ImportError as error:
    raise ImportError(f"{HOW_TO_GET_DETECTRON2} ({error})") from error

EVERY_BOX = -1
NOT_NEEDED = (
    "roi_heads.mask_head.",
    "roi_heads.keypoint_head.",
    "proposal_generator.anchor_generator.",
    "pixel_mean",
    "pixel_std",
    "sem_seg_head.",
)
"""Tensors of a file that the boxes do not need, or that come from the config."""


class Detectron2Detector:
    """Frames go through one at a time, so that a frame's result cannot depend on its neighbours."""

    def __init__(self, config: Detectron2Config, *, device: str = "cpu") -> None:
        self.config = config
        self.untrained = config.weights is None
        self._device = torch.device(device)
        self._autocasts = config.mixed_precision and self._device.type == "cuda"
        settings = _read_settings(config, device=device)
        self._is_bgr = settings.INPUT.FORMAT == "BGR"
        short_side = settings.INPUT.MIN_SIZE_TEST
        self._resize = ResizeShortestEdge([short_side, short_side], settings.INPUT.MAX_SIZE_TEST)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._model = build_model(settings).eval()
        self._pool = _RoiFeatures(self._model, config)
        self.feature_dim = self._pool.feature_dim
        self._selector = Selector(
            _category_names(settings, num_categories=self._model.roi_heads.num_classes),
            config.categories,
            max_per_frame=config.max_per_frame,
            feature_dim=self.feature_dim,
        )
        if config.weights is not None:
            path = weights_path(config)
            checked_digest(path, config.sha256)
            fill_model(self._model, load_state(path), path=path, ignored=NOT_NEEDED)

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        """Detections of each frame: RoI features are the box head's output at the final boxes."""
        return [self._detect_one(frame) for frame in frames]

    @torch.inference_mode()
    def _detect_one(self, frame: NDArray[np.uint8]) -> Detections:
        ordered = np.ascontiguousarray(frame[:, :, ::-1]) if self._is_bgr else frame
        resize = self._resize.get_transform(ordered)
        if min(resize.new_h, resize.new_w) < 1:  # So long and thin that no short side is left.
            return self._selector.nothing(frame)
        resized = resize.apply_image(ordered).astype(np.float32)
        image = torch.as_tensor(resized.transpose(2, 0, 1))
        with torch.autocast(self._device.type, dtype=torch.float16, enabled=self._autocasts):
            images = self._model.preprocess_image([{"image": image}])
            maps = self._model.backbone(images.tensor)
            proposals, _ = self._model.proposal_generator(images, maps, None)
            (found,), _ = self._model.roi_heads(images, maps, proposals, None)
        size = np.asarray([resize.new_w, resize.new_h] * 2, dtype=np.float32)
        boxes = clip(to_numpy(found.pred_boxes.tensor) / size)
        scores = to_numpy(found.scores)
        labels = found.pred_classes.cpu().numpy()

        def features_at(kept: NDArray[np.intp]) -> NDArray[np.float32]:
            final = found.pred_boxes.tensor[torch.from_numpy(kept).to(self._device)]
            with torch.autocast(self._device.type, dtype=torch.float16, enabled=self._autocasts):
                return to_numpy(self._pool(maps, final))

        return self._selector.detections(frame, boxes, scores, labels, features_at)


class _RoiFeatures:
    """The box head's output at given boxes, for each way in which detectron2 builds one."""

    def __init__(self, model: nn.Module, config: Detectron2Config) -> None:
        heads = getattr(model, "roi_heads", None)
        if isinstance(heads, Res5ROIHeads):
            self.feature_dim = int(heads.res5[-1].out_channels)
        elif isinstance(heads, StandardROIHeads):
            # Cascade R-CNN has one head for each stage; the boxes come from the last.
            is_cascade = isinstance(heads.box_head, nn.ModuleList)
            self._box_head = heads.box_head[-1] if is_cascade else heads.box_head
            self.feature_dim = int(self._box_head.output_shape.channels)
        else:
            raise ValueError(
                f"config={config.config!r} builds a {type(model).__name__} without a box head, so "
                "it has no RoI features; use Faster, Mask or Cascade R-CNN"
            )
        self._heads = heads

    def __call__(self, maps: dict[str, Tensor], boxes: Tensor) -> Tensor:
        """Features (n, feature_dim) at `boxes` (n, 4) in pixels of the resized frame."""
        heads = self._heads
        if isinstance(heads, Res5ROIHeads):
            chosen = [maps[name] for name in heads.in_features]
            pooled: Tensor = heads._shared_roi_transform(chosen, [Boxes(boxes)])
        else:
            chosen = [maps[name] for name in heads.box_in_features]
            pooled = self._box_head(heads.box_pooler(chosen, [Boxes(boxes)]))
        return pooled if pooled.dim() == 2 else pooled.mean(dim=(2, 3))


def _read_settings(config: Detectron2Config, *, device: str) -> CfgNode:
    """detectron2's own settings for `config`: its YAML, then what ours overrules."""
    path = config_path(config)
    config_files(path)  # Checks the file and its bases: plain YAML, nothing to fetch.
    settings = get_cfg()
    try:
        settings.merge_from_file(str(path), allow_unsafe=False)
    except (KeyError, AssertionError, ValueError) as error:
        raise ValueError(
            f"config {path} does not suit this version of detectron2 ({error}); correct that key"
        ) from error
    settings.MODEL.WEIGHTS = ""
    settings.MODEL.DEVICE = device
    settings.MODEL.MASK_ON = False
    settings.MODEL.KEYPOINT_ON = False
    settings.MODEL.ROI_HEADS.SCORE_THRESH_TEST = config.min_score
    if config.nms_iou is not None:
        settings.MODEL.ROI_HEADS.NMS_THRESH_TEST = config.nms_iou
    # All: `max_per_frame` counts the boxes of the wanted categories alone.
    settings.TEST.DETECTIONS_PER_IMAGE = EVERY_BOX
    if settings.MODEL.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals":
        raise ValueError(f"config {path} wants proposals made elsewhere; use a Faster R-CNN config")
    return settings


def _category_names(settings: CfgNode, *, num_categories: int) -> tuple[str, ...]:
    """Names of the labels from the data set that the config was made for, else 'category_<n>'."""
    for dataset in (*settings.DATASETS.TEST, *settings.DATASETS.TRAIN):
        names = MetadataCatalog.get(dataset).get("thing_classes", None)
        if names is not None and len(names) == num_categories:
            return tuple(names)
    return tuple(f"category_{label}" for label in range(num_categories))
