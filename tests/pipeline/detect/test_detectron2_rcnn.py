"""Runs wherever detectron2 is importable; it is not on the package index."""

import importlib.util
import pickle
import subprocess
import sys

import numpy as np
import pytest

from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.config import Detectron2Config
from tests.contracts.detector import DetectorContract, blocks

HAS_DETECTRON2 = importlib.util.find_spec("detectron2") is not None
needs_detectron2 = pytest.mark.skipif(
    not HAS_DETECTRON2, reason="detectron2 is not installed: see its installation page"
)
# PyTorch's own deprecations inside detectron2 are not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.meshgrid.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*pkg_resources.*:UserWarning"),
]

TINY = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  WEIGHTS: detectron2://ImageNetPretrained/never/fetched.pkl
  BACKBONE: {NAME: build_resnet_fpn_backbone}
  RESNETS: {DEPTH: 18, RES2_OUT_CHANNELS: 64, OUT_FEATURES: [res2, res3, res4, res5]}
  FPN: {IN_FEATURES: [res2, res3, res4, res5], OUT_CHANNELS: 32}
  ANCHOR_GENERATOR: {SIZES: [[16], [32], [64], [128], [256]]}
  RPN: {IN_FEATURES: [p2, p3, p4, p5, p6], PRE_NMS_TOPK_TEST: 100, POST_NMS_TOPK_TEST: 40}
  ROI_HEADS: {NAME: StandardROIHeads, IN_FEATURES: [p2, p3, p4, p5]}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead, NUM_FC: 2, FC_DIM: 48, POOLER_RESOLUTION: 7}
DATASETS: {TEST: [coco_2017_val]}
INPUT: {MIN_SIZE_TEST: 128, MAX_SIZE_TEST: 256}
VERSION: 2
"""
C4 = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  RESNETS: {DEPTH: 50}
  PIXEL_STD: [5000.0, 5000.0, 5000.0]
  RPN: {PRE_NMS_TOPK_TEST: 60, POST_NMS_TOPK_TEST: 20}
DATASETS: {TEST: [coco_2017_val]}
INPUT: {MIN_SIZE_TEST: 96, MAX_SIZE_TEST: 128}
VERSION: 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectron2")
    for name, text in (("tiny", TINY), ("c4", C4)):
        (folder / f"{name}.yaml").write_text(text)
    mask = (
        "_BASE_: tiny.yaml\n"
        "MODEL: {MASK_ON: true, ROI_MASK_HEAD: {NAME: MaskRCNNConvUpsampleHead}}\n"
    )
    (folder / "mask.yaml").write_text(mask)
    cascade = (
        "_BASE_: tiny.yaml\nMODEL:\n  ROI_HEADS: {NAME: CascadeROIHeads}\n"
        "  ROI_BOX_HEAD: {CLS_AGNOSTIC_BBOX_REG: true}\n  RPN: {POST_NMS_TOPK_TRAIN: 40}\n"
    )
    (folder / "cascade.yaml").write_text(cascade)
    proposals = "_BASE_: tiny.yaml\nMODEL: {META_ARCHITECTURE: ProposalNetwork}\n"
    (folder / "proposals.yaml").write_text(proposals)
    return folder


def settings(folder, name="tiny", **changes):
    path = str(folder / f"{name}.yaml")
    return Detectron2Config(**({"config": path, "weights": None, "min_score": 0.0} | changes))


@pytest.fixture(scope="module")
def zoo_file(folder):
    """Random weights in the zoo's format: a pickle of plain arrays, with larger logits."""
    state = build_detector(settings(folder, seed=5))._model.state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    arrays["roi_heads.box_predictor.cls_score.weight"] *= 30.0
    path = folder / "model_final_tiny.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "a test"}, protocol=2))
    return path


@needs_detectron2
class TestDetectron2(DetectorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, folder):
        return settings(folder)

    def test_random_weights_are_flagged_and_names_are_cocos(self, detector, found):
        assert detector.untrained is True
        assert detector.feature_dim == 48
        assert "person" in detector._selector.names
        assert len(detector._selector.names) == 80


@needs_detectron2
@pytest.mark.parametrize(("name", "dim"), [("c4", 2048), ("mask", 48), ("cascade", 48)])
def test_other_box_heads_give_features_too(folder, name, dim):
    detector = build_detector(settings(folder, name, max_per_frame=5))
    (found,) = detector.detect([blocks(1, height=96, width=128)])
    assert found.features.shape == (len(found), dim) == (5, detector.feature_dim)


@needs_detectron2
@pytest.mark.parametrize("name", ["tiny", "mask"])
def test_boxes_and_scores_equal_those_of_detectron2s_own_predictor(folder, zoo_file, name):
    from detectron2.config import get_cfg
    from detectron2.engine import DefaultPredictor

    cfg = get_cfg()
    cfg.merge_from_file(str(folder / "tiny.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = str(zoo_file)
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.02
    cfg.TEST.DETECTIONS_PER_IMAGE = -1
    frame = blocks(2)
    theirs = DefaultPredictor(cfg)(np.ascontiguousarray(frame[:, :, ::-1]))["instances"]
    detector = build_detector(settings(folder, name, weights=str(zoo_file), min_score=0.02))
    assert detector.untrained is False
    (ours,) = detector.detect([frame])
    assert len(ours) > 5
    height, width = frame.shape[:2]
    boxes = theirs.pred_boxes.tensor.numpy() / np.float32([width, height, width, height])
    np.testing.assert_array_equal(ours.scores, theirs.scores.numpy()[: len(ours)])
    # Rows of equal score may be ordered otherwise, so each row of ours is looked up.
    distances = np.abs(ours.boxes[:, None] - boxes[None]).max(axis=2)
    assert np.all(distances.min(axis=1) < 1e-6)


@needs_detectron2
def test_features_are_the_box_heads_output_at_the_final_boxes(folder, zoo_file):
    import torch
    from detectron2.structures import Boxes

    detector = build_detector(settings(folder, weights=str(zoo_file), min_score=0.02))
    (found,) = detector.detect([blocks(2)])
    model = detector._model
    frame = np.ascontiguousarray(blocks(2)[:, :, ::-1])
    resized = detector._resize.get_transform(frame).apply_image(frame)
    height, width = resized.shape[:2]
    with torch.inference_mode():
        image = torch.from_numpy(resized.astype("float32").transpose(2, 0, 1))
        maps = model.backbone(model.preprocess_image([{"image": image}]).tensor)
        boxes = torch.from_numpy(found.boxes * np.float32([width, height, width, height]))
        chosen = [maps[name] for name in ("p2", "p3", "p4", "p5")]
        expected = model.roi_heads.box_head(model.roi_heads.box_pooler(chosen, [Boxes(boxes)]))
    assert found.features.max() > 1.0
    np.testing.assert_allclose(found.features, expected.numpy(), rtol=1e-3, atol=1e-2)


@needs_detectron2
def test_an_untrained_config_of_the_zoo_builds_without_a_network():
    config = Detectron2Config(
        config="COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", weights=None, categories=("person",)
    )
    detector = build_detector(config)
    assert detector.feature_dim == 1024
    (found,) = detector.detect([np.zeros((8, 2000, 3), dtype=np.uint8)])
    assert set(found.categories) <= {"person"}


@needs_detectron2
def test_a_name_that_is_not_in_the_zoo_is_answered_with_some_that_are():
    config = Detectron2Config(config="COCO-Detection/faster_rcnn_R_5.yaml", weights=None)
    with pytest.raises(ValueError, match=r"R_5.yaml'.*faster_rcnn_R_50_FPN_1x.yaml"):
        build_detector(config)


@needs_detectron2
def test_a_detector_without_a_box_head_is_refused(folder):
    with pytest.raises(ValueError, match=r"ProposalNetwork without a box head.*use Faster"):
        build_detector(settings(folder, "proposals"))


@needs_detectron2
def test_an_unknown_key_of_a_config_is_named(folder):
    (folder / "typo.yaml").write_text("MODEL: {RESNETTS: {DEPTH: 50}}\nVERSION: 2\n")
    with pytest.raises(ValueError, match=r"typo.yaml does not suit.*RESNETTS"):
        build_detector(settings(folder, "typo"))


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


@needs_detectron2
def test_a_zoo_file_with_code_in_it_is_refused_naming_the_global(folder):
    (folder / "bomb.pkl").write_bytes(pickle.dumps({"model": {"w": Bomb()}, "__author__": "x"}))
    with pytest.raises(ValueError, match=r"bomb.pkl.*builtins.exec"):
        build_detector(settings(folder, weights=str(folder / "bomb.pkl")))


@needs_detectron2
def test_weights_of_another_config_are_refused_by_the_names_of_their_tensors(folder, zoo_file):
    content = pickle.loads(zoo_file.read_bytes())
    content["model"]["roi_heads.box_head.fc2.weight"] = np.zeros((7, 48), dtype=np.float32)
    del content["model"]["roi_heads.box_head.fc2.bias"]
    (folder / "other.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"1 missing: .*fc2.bias.*fc2.weight \(7, 48\) instead"):
        build_detector(settings(folder, weights=str(folder / "other.pkl")))


def test_without_detectron2_one_sentence_says_how_to_get_it(tmp_path):
    """In a process of its own, where importing detectron2 fails as if it were absent."""
    (tmp_path / "c.yaml").write_text("VERSION: 2\n")
    program = f"""
import sys
sys.modules["detectron2"] = None
from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.config import Detectron2Config
try:
    build_detector(Detectron2Config(config={str(tmp_path / "c.yaml")!r}, weights=None))
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--no-build-isolation" in run.stdout
    assert "install.html" in run.stdout
    assert run.stdout.count("\n") == 1
