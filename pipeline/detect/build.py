"""From settings to a detector; each back end's libraries are imported when it is built."""

from collections.abc import Callable

from reelbank.pipeline.detect.config import (
    DetectorConfig,
    Detectron2Config,
    HogConfig,
    LabelsConfig,
    TorchvisionConfig,
)
from reelbank.pipeline.detect.protocol import Detector


def _build_hog(config: DetectorConfig, device: str) -> Detector:
    from reelbank.pipeline.detect.hog import HogDetector

    assert isinstance(config, HogConfig)
    return HogDetector(config)  # OpenCV's detector runs on the CPU, whatever the device.


def _build_torchvision(config: DetectorConfig, device: str) -> Detector:
    from reelbank.pipeline.detect.torchvision_rcnn import TorchvisionDetector

    assert isinstance(config, TorchvisionConfig)
    return TorchvisionDetector(config, device=device)


def _build_detectron2(config: DetectorConfig, device: str) -> Detector:
    from reelbank.pipeline.detect.detectron2_rcnn import Detectron2Detector

    assert isinstance(config, Detectron2Config)
    return Detectron2Detector(config, device=device)


def _build_labels(config: DetectorConfig, device: str) -> Detector:
    from reelbank.pipeline.detect.labels import LabelsDetector

    assert isinstance(config, LabelsConfig)
    return LabelsDetector(config)


DETECTORS: dict[str, Callable[[DetectorConfig, str], Detector]] = {
    "hog": _build_hog,
    "torchvision": _build_torchvision,
    "detectron2": _build_detectron2,
    "labels": _build_labels,
}


def build_detector(config: DetectorConfig, *, device: str = "cpu") -> Detector:
    """The detector that `config` describes, on `device` ('cpu', 'cuda', 'cuda:1', ...).

    The number of threads is left to the caller: OpenCV and PyTorch know one number for the whole
    process (`cv2.setNumThreads`, `torch.set_num_threads`). 'hog' gives the same with any number;
    a network's sums may differ in the last digits, so a job keeps to one number.
    """
    if config.kind not in DETECTORS:
        known = ", ".join(sorted(DETECTORS))
        raise ValueError(f"unknown detector kind {config.kind!r}; known: {known}")
    return DETECTORS[config.kind](config, device)
