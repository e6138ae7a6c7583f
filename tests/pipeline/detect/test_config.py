import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from reelbank.pipeline.detect.build import DETECTORS, build_detector
from reelbank.pipeline.detect.config import (
    DetectorConfig,
    Detectron2Config,
    HogConfig,
    TorchvisionConfig,
)

ZOO = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HogConfig(longest_side=10), "longest_side=10 .*at least 128"),
        (lambda: HogConfig(window_stride=12), "window_stride=12 .*use 8 or 16"),
        (lambda: HogConfig(scale=1.0), "scale=1.0 .*more than 1"),
        (lambda: HogConfig(nms_iou=1.5), r"nms_iou=1.5 .*\[0, 1\]"),
        (lambda: HogConfig(min_score=float("nan")), "min_score=nan"),
        (lambda: TorchvisionConfig(model="yolo", weights=None), "model='yolo'; known: .*_v2"),
        (lambda: TorchvisionConfig(weights="COCO_V9"), "'COCO_V9' .*known: COCO_V1"),
        (lambda: TorchvisionConfig(weights=""), "names no file"),
        (lambda: TorchvisionConfig(weights="https://example.org/w.pth"), "is an address"),
        (lambda: TorchvisionConfig(weights="w.pth", sha256="abc"), "no SHA-256"),
        (lambda: TorchvisionConfig(weights=None, sha256="0" * 64), "no weights to be checked"),
        (lambda: TorchvisionConfig(weights=None, categories=()), "number of categories=0"),
        (lambda: TorchvisionConfig(weights=None, short_side=800, long_side=600), "long_side=600"),
        (lambda: Detectron2Config(config="mask_rcnn.py", weights=None), "Python .*not|Python file"),
        (lambda: Detectron2Config(config="new_baselines/mask.PY", weights=None), "Python file"),
        (lambda: Detectron2Config(config="model.pkl", weights=None), "no YAML file"),
        (lambda: Detectron2Config(config="http://a.org/c.yaml", weights=None), "is an address"),
        (lambda: Detectron2Config(config=ZOO, weights=None, max_per_frame=0), "max_per_frame=0"),
    ],
)
def test_an_impossible_setting_is_refused_by_name_with_the_remedy(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"kind": "hog"}, HogConfig()),
        ({"kind": "torchvision", "weights": "COCO_V1"}, TorchvisionConfig(weights="COCO_V1")),
        (
            {"kind": "detectron2", "config": ZOO, "weights": None},
            Detectron2Config(config=ZOO, weights=None),
        ),
    ],
)
def test_a_recipes_mapping_becomes_the_settings_of_its_kind(written, expected):
    assert TypeAdapter(DetectorConfig).validate_python(written) == expected


def test_weights_must_be_said_even_where_there_are_none():
    with pytest.raises(ValidationError, match="weights"):
        TypeAdapter(TorchvisionConfig).validate_python({"kind": "torchvision"})


def test_every_kind_of_settings_has_a_builder():
    assert set(DETECTORS) == {"hog", "torchvision", "detectron2", "labels"}


def test_an_unknown_kind_is_answered_with_the_known():
    strange = HogConfig()
    object.__setattr__(strange, "kind", "yolo")
    with pytest.raises(ValueError, match="'yolo'; known: detectron2, hog, labels, torchvision"):
        build_detector(strange)


def test_settings_and_digests_need_no_heavy_library():
    program = """
import sys
import reelbank.pipeline.detect.build, reelbank.pipeline.detect.config
import reelbank.pipeline.detect.detectron2_config, reelbank.pipeline.detect.weights
heavy = {"torch", "torchvision", "cv2", "av", "detectron2", "ray"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy else 0)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
