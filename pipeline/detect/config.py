"""Settings of the detectors; imports nothing heavy, so that a driver can check a recipe."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TypeAlias

PUBLISHED_WEIGHTS: dict[str, dict[str, str]] = {
    "fasterrcnn_resnet50_fpn": {"COCO_V1": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"},
    "fasterrcnn_resnet50_fpn_v2": {"COCO_V1": "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"},
    "fasterrcnn_mobilenet_v3_large_fpn": {
        "COCO_V1": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth"
    },
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        "COCO_V1": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
    },
}
"""Torchvision's models and, for each name of its weights, the published file; the eight digits at
the end of a file's name begin its SHA-256. A file never changes under its name."""

PYTHON_SUFFIXES = frozenset({".py", ".pyc", ".pyo"})


@dataclass(frozen=True, kw_only=True, slots=True)
class HogConfig:
    """OpenCV's built-in people detector: histograms of oriented gradients, a linear SVM."""

    kind: Literal["hog"] = "hog"
    """Tells the settings of the detectors apart."""
    longest_side: int = 1280
    """Pixels of the frame's longer side while searching, made larger or smaller; people of fewer
    than about 96 pixels in height are not found."""
    window_stride: int = 8
    """Pixels between neighbouring windows, a multiple of 8."""
    scale: float = 1.1
    """Ratio of neighbouring sizes of the image pyramid."""
    hit_threshold: float = 0.25
    """Least SVM margin of a window; on a crowded street (MOT17-04, 1280 pixels) 0.25 finds 45 % of
    the people with 67 % of the boxes right at IoU 0.5, and 1.0 finds 30 % with 90 % right."""
    min_score: float = 0.0
    """Least score kept; the score is a logistic of the margin, so this is a second threshold."""
    nms_iou: float = 0.4
    """A box that overlaps a better one by more than this is dropped."""
    max_per_frame: int = 100
    """Most boxes kept in a frame, the best ones."""

    def __post_init__(self) -> None:
        _require_at_least("longest_side", self.longest_side, 128)
        _require_at_least("window_stride", self.window_stride, 8)
        if self.window_stride % 8:
            raise ValueError(
                f"window_stride={self.window_stride} is no multiple of the cell of 8; use 8 or 16"
            )
        if not self.scale > 1.0:
            raise ValueError(f"scale={self.scale} makes no pyramid; use more than 1, such as 1.1")
        _require_unit("min_score", self.min_score)
        _require_unit("nms_iou", self.nms_iou)
        _require_at_least("max_per_frame", self.max_per_frame, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchvisionConfig:
    """Torchvision's Faster R-CNN with a feature pyramid, trained on COCO."""

    kind: Literal["torchvision"] = "torchvision"
    """Tells the settings of the detectors apart."""
    model: str = "fasterrcnn_resnet50_fpn_v2"
    """Torchvision's name of the model."""
    weights: str | None
    """Path of a .pth or .safetensors file, or the name of published weights, such as 'COCO_V1',
    which are then fetched; null: untrained, from `seed`."""
    sha256: str | None = None
    """SHA-256 that the weights file must have, hexadecimal; null: not checked."""
    seed: int = 0
    """Seed of the random weights where `weights` is null."""
    min_score: float = 0.05
    """Least score kept."""
    nms_iou: float = 0.5
    """A box that overlaps a better one of its category by more than this is dropped."""
    max_per_frame: int = 100
    """Most boxes kept in a frame, the best ones of `categories`."""
    categories: tuple[str, ...] | None = None
    """COCO names to keep; null keeps all."""
    short_side: int | None = None
    """Pixels of the shorter side that the network sees; null: as the model was trained."""
    long_side: int | None = None
    """Most pixels of the longer side that the network sees; null: as the model was trained."""
    mixed_precision: bool = False
    """Half precision and channels-last layout on a CUDA device; without effect on a CPU."""

    def __post_init__(self) -> None:
        if self.model not in PUBLISHED_WEIGHTS:
            known = ", ".join(sorted(PUBLISHED_WEIGHTS))
            raise ValueError(f"unknown torchvision detector model={self.model!r}; known: {known}")
        _require_weights(self.weights, self.sha256)
        if self.weights is not None and _is_bare_name(self.weights):
            names = PUBLISHED_WEIGHTS[self.model]
            if self.weights not in names:
                raise ValueError(
                    f"unknown published weights={self.weights!r} of {self.model}; known: "
                    f"{', '.join(sorted(names))}; or give the path of a file with its suffix"
                )
        _require_unit("min_score", self.min_score)
        _require_unit("nms_iou", self.nms_iou)
        _require_at_least("max_per_frame", self.max_per_frame, 1)
        if self.categories is not None:
            _require_at_least("the number of categories", len(self.categories), 1)
        if self.short_side is not None:
            _require_at_least("short_side", self.short_side, 32)
        if self.long_side is not None:
            _require_at_least("long_side", self.long_side, self.short_side or 32)

    @property
    def published_file(self) -> str | None:
        """Name of the published file that `weights` names; None for a path or untrained."""
        return None if self.weights is None else PUBLISHED_WEIGHTS[self.model].get(self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class Detectron2Config:
    """A detector of detectron2 with a box head, from a YAML config."""

    kind: Literal["detectron2"] = "detectron2"
    """Tells the settings of the detectors apart."""
    config: str
    """Name in detectron2's model zoo, such as 'COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml', or the
    path of a YAML file; a Python config is refused."""
    weights: str | None
    """Path of the zoo's .pkl, a .pth or a .safetensors file; null: untrained, from `seed`."""
    sha256: str | None = None
    """SHA-256 that the weights file must have, hexadecimal; null: not checked."""
    seed: int = 0
    """Seed of the random weights where `weights` is null."""
    min_score: float = 0.05
    """Least score kept."""
    nms_iou: float | None = None
    """A box that overlaps a better one of its category by more than this is dropped; null: as the
    YAML says."""
    max_per_frame: int = 100
    """Most boxes kept in a frame, the best ones of `categories`."""
    categories: tuple[str, ...] | None = None
    """Names to keep; null keeps all."""
    mixed_precision: bool = False
    """Half precision on a CUDA device; without effect on a CPU."""

    def __post_init__(self) -> None:
        suffix = PurePath(self.config).suffix.lower()
        if suffix in PYTHON_SUFFIXES:
            raise ValueError(
                f"config={self.config!r} is a Python file, and nothing from strangers is executed; "
                "use a YAML config (.yaml) of detectron2"
            )
        if suffix not in {".yaml", ".yml"}:
            raise ValueError(
                f"config={self.config!r} is no YAML file; give a name of the model zoo, such as "
                "'COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml', or the path of a .yaml file"
            )
        if "://" in self.config:
            raise ValueError(f"config={self.config!r} is an address; fetch it and give its path")
        _require_weights(self.weights, self.sha256)
        _require_unit("min_score", self.min_score)
        if self.nms_iou is not None:
            _require_unit("nms_iou", self.nms_iou)
        _require_at_least("max_per_frame", self.max_per_frame, 1)
        if self.categories is not None:
            _require_at_least("the number of categories", len(self.categories), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelsConfig:
    """Known boxes from label files, with the faults of a detector: for generated films."""

    kind: Literal["labels"] = "labels"
    """Tells the settings of the detectors apart."""
    labels: str
    """Folder of CSV files with the columns name, time, x1, y1, x2, y2 and label."""
    seed: int = 0
    """Decides every fault, together with the video and the time."""
    jitter: float = 0.04
    """Furthest shift of each side of a box, over the box's width or height; below 0.1, so that
    every box keeps an overlap with the truth of more than 0.6."""
    miss_rate: float = 0.03
    """Share of known boxes that are not found."""
    false_per_frame: float = 0.1
    """Mean number of boxes in a frame that hold nothing."""
    false_category: str = "person"
    """What those are taken for."""
    true_scores: tuple[float, float] = (0.86, 1.0)
    """Range of the scores of known boxes; all lie above the 0.85 that heads ask for in a test."""
    false_scores: tuple[float, float] = (0.3, 0.92)
    """Range of the scores of boxes that hold nothing; some pass for true ones."""
    min_score: float = 0.05
    """Least score kept."""
    max_per_frame: int = 100
    """Most boxes kept in a frame, the best ones."""

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("labels='' names no folder; give the folder of label files")
        _require_at_least("seed", self.seed, 0)
        for name in ("miss_rate", "min_score"):
            _require_unit(name, getattr(self, name))
        if not 0.0 <= self.jitter <= 0.1:
            raise ValueError(f"jitter={self.jitter} lies outside [0, 0.1]; use 0.1 at most")
        if not 0.0 <= self.false_per_frame <= 10.0:
            raise ValueError(
                f"false_per_frame={self.false_per_frame} lies outside [0, 10]; use 10 at most"
            )
        for name in ("true_scores", "false_scores"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high <= 1.0:
                raise ValueError(f"{name}={low}, {high} is no range in [0, 1]; use low, then high")
        _require_at_least("max_per_frame", self.max_per_frame, 1)


DetectorConfig: TypeAlias = HogConfig | TorchvisionConfig | Detectron2Config | LabelsConfig
"""One of the detectors' settings, told apart by `kind`."""


def _is_bare_name(weights: str) -> bool:
    return not PurePath(weights).suffix and len(PurePath(weights).parts) == 1


def _require_weights(weights: str | None, sha256: str | None) -> None:
    if weights is not None and "://" in weights:
        raise ValueError(f"weights={weights!r} is an address; fetch the file and give its path")
    if weights == "":
        raise ValueError("weights='' names no file; give a path, or null for untrained weights")
    if sha256 is None:
        return
    if weights is None:
        raise ValueError(f"sha256={sha256!r} has no weights to be checked against; give weights")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(
            f"sha256={sha256!r} is no SHA-256; give its 64 digits of 0-9 and a-f (sha256sum FILE)"
        )


def _require_unit(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}={value} lies outside [0, 1]; use a value between 0 and 1")


def _require_at_least(name: str, value: int, limit: int) -> None:
    if value < limit:
        raise ValueError(f"{name}={value} is too small; use at least {limit}")
