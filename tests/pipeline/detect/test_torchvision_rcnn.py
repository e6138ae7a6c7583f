import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import get_model_builder, get_model_weights
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.config import PUBLISHED_WEIGHTS, TorchvisionConfig
from tests.contracts.detector import DetectorContract, assert_same, blocks, street

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"


LARGER = 300.0


def small(**changes):
    # A random network gives each of 91 labels a score near 1/91.
    return TorchvisionConfig(**({"model": SMALL, "weights": None, "min_score": 0.0} | changes))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = get_model_builder(SMALL)(weights=None, weights_backbone=None).eval()
    return decided(model)


def decided(model):
    """The same random network with larger logits, so that few labels get most of the score."""
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(LARGER)
    model.roi_heads.detections_per_img = 10**6
    return model


class TestTorchvision(DetectorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return small()

    def test_random_weights_are_flagged_and_follow_the_seed(self, detector, found):
        assert detector.untrained is True
        assert detector.feature_dim == 1024
        (other,) = build_detector(small(seed=1)).detect([street(0)])
        assert not np.array_equal(other.features, found[0].features)

    def test_building_leaves_the_global_random_state_alone(self, config):
        before = torch.random.get_rng_state()
        build_detector(config)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_the_count_is_that_of_the_wanted_categories(self, found):
        some = found[0].categories[-1]
        (kept,) = build_detector(small(categories=(some,), max_per_frame=3)).detect([street(0)])
        assert set(kept.categories) == {some}
        assert len(kept) == 3

    def test_min_score_drops_the_rest(self, found):
        least = float(found[0].scores[4]) - 1e-6
        (kept,) = build_detector(small(min_score=least)).detect([street(0)])
        assert len(kept) > 0
        assert np.all(kept.scores >= least)


def test_an_unknown_category_is_answered_with_close_ones():
    with pytest.raises(ValueError, match=r"'persn' is unknown.*person"):
        build_detector(small(categories=("persn",)))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_loaded_weights_give_torchvisions_own_boxes_and_scores(network, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        safetensors.torch.save_file(network.state_dict(), path)
    detector = build_detector(small(weights=str(path), min_score=0.05))
    assert detector.untrained is False
    frame = blocks(4)
    (ours,) = detector.detect([frame])
    with torch.inference_mode():
        (theirs,) = network([torch.from_numpy(frame).permute(2, 0, 1) / 255.0])
    height, width = frame.shape[:2]
    assert len(ours) > 0
    np.testing.assert_array_equal(ours.scores, theirs["scores"].numpy()[: len(ours)])
    expected = theirs["boxes"].numpy() / np.float32([width, height, width, height])
    # Rows of equal score may be ordered otherwise, so each row of ours is looked up.
    distances = np.abs(ours.boxes[:, None] - expected[None, :]).max(axis=2)
    assert np.all(distances.min(axis=1) < 1e-5)


def test_features_are_the_box_heads_output_at_the_final_boxes(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    frame = blocks(5)
    (ours,) = build_detector(small(weights=str(tmp_path / "weights.pth"), min_score=0.05)).detect(
        [frame]
    )
    with torch.inference_mode():
        images, _ = network.transform([torch.from_numpy(frame).permute(2, 0, 1) / 255.0])
        height, width = images.image_sizes[0]
        boxes = torch.from_numpy(ours.boxes * np.float32([width, height, width, height]))
        maps = network.backbone(images.tensors)
        pooled = network.roi_heads.box_roi_pool(maps, [boxes], images.image_sizes)
        expected = network.roi_heads.box_head(pooled).numpy()
    np.testing.assert_allclose(ours.features, expected, atol=1e-5)


def test_the_first_models_published_file_is_read_as_torchvision_reads_it(tmp_path):
    """Frozen normalisation without counters, and no epsilon: what COCO_V1 of that model holds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = FasterRCNN(
            resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5),
            num_classes=91,
            min_size=96,
            max_size=128,
        ).eval()
        for module in theirs.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.eps = 0.0
                nn.init.uniform_(module.running_var, 1e-5, 3e-5)
                nn.init.constant_(module.weight, 3e-3)
    decided(theirs)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    config = TorchvisionConfig(
        model="fasterrcnn_resnet50_fpn",
        weights=str(tmp_path / "weights.pth"),
        short_side=96,
        long_side=128,
        min_score=0.05,
    )
    frame = blocks(6, height=96, width=128)
    (ours,) = build_detector(config).detect([frame])
    with torch.inference_mode():
        (expected,) = theirs([torch.from_numpy(frame).permute(2, 0, 1) / 255.0])
    assert len(ours) > 0
    np.testing.assert_allclose(ours.scores, expected["scores"].numpy()[: len(ours)], rtol=1e-3)


def test_the_table_of_published_weights_is_torchvisions():
    for model, files in PUBLISHED_WEIGHTS.items():
        own = get_model_weights(model)
        assert files == {entry.name: entry.url.rsplit("/", maxsplit=1)[1] for entry in own}


def test_weights_of_another_model_are_refused_by_the_names_of_their_tensors(network, tmp_path):
    state = network.state_dict()
    state["roi_heads.box_predictor.cls_score.bias"] = torch.zeros(21)
    del state["rpn.head.cls_logits.bias"]
    state["surplus.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"does not fit") as caught:
        build_detector(small(weights=str(tmp_path / "other.pth")))
    for part in (
        "other.pth",
        "1 missing: rpn.head.cls_logits.bias",
        "1 unexpected: surplus.weight",
        "cls_score.bias (21,) instead of (91,)",
    ):
        assert part in str(caught.value)


def test_published_weights_that_cannot_be_fetched_are_one_sentence_with_the_remedy(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # No proxy listens there: the same as no network, on any machine.
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"could not be fetched .*by hand, then give its path"):
        build_detector(small(weights="COCO_V1"))


def test_a_published_file_in_the_cache_must_have_the_digest_in_its_name(
    monkeypatch, tmp_path, network
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / PUBLISHED_WEIGHTS[SMALL]["COCO_V1"])
    with pytest.raises(ValueError, match=r"expected it to begin with 907ea3f9; remove the file"):
        build_detector(small(weights="COCO_V1"))


def test_equal_frames_of_a_batch_give_equal_results():
    detector = build_detector(small())
    first, second = detector.detect([blocks(9), blocks(9)])
    assert_same(first, second)
