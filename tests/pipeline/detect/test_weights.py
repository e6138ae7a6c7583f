import hashlib
import pickle

import pytest
import torch

from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.config import Detectron2Config, HogConfig, TorchvisionConfig
from reelbank.pipeline.detect.weights import weights_digest

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_where_there_is_no_file_there_is_no_digest():
    assert weights_digest(HogConfig()) is None
    assert weights_digest(TorchvisionConfig(weights=None)) is None


def test_published_weights_are_named_by_their_published_file_without_being_fetched():
    digest = weights_digest(TorchvisionConfig(weights="COCO_V1"))
    assert digest == "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"


@pytest.mark.parametrize("kind", ["torchvision", "detectron2"])
def test_a_files_digest_is_its_sha256_and_is_held_against_the_setting(tmp_path, kind):
    path = tmp_path / "weights of a film \u5f71\u753b.pth"
    path.write_bytes(b"some bytes")
    expected = hashlib.sha256(b"some bytes").hexdigest()

    def config(sha256):
        if kind == "torchvision":
            return TorchvisionConfig(weights=str(path), sha256=sha256)
        return Detectron2Config(config="a.yaml", weights=str(path), sha256=sha256)

    assert weights_digest(config(None)) == weights_digest(config(expected)) == expected
    with pytest.raises(ValueError, match=f"SHA-256.*{expected}.*expected {'0' * 64}; fetch"):
        weights_digest(config("0" * 64))


def test_an_absent_file_is_named_with_the_remedy(tmp_path):
    for path, found in ((tmp_path / "absent.pth", "is not there"), (tmp_path, "is a folder")):
        with pytest.raises(ValueError, match=rf"{path.name}.* {found}; correct the path"):
            weights_digest(TorchvisionConfig(weights=f"{path}/" if path.is_dir() else str(path)))


def test_a_torch_file_with_code_in_it_is_refused_and_never_run(tmp_path):
    torch.save({"model": Bomb()}, tmp_path / "bomb.pth")
    config = TorchvisionConfig(model=SMALL, weights=str(tmp_path / "bomb.pth"))
    with pytest.raises(ValueError, match=r"bomb.pth.*exec"):
        build_detector(config)


def test_a_pickle_with_code_in_it_is_refused_and_never_run(tmp_path):
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps({"model": Bomb(), "__author__": "x"}))
    config = TorchvisionConfig(model=SMALL, weights=str(tmp_path / "bomb.pkl"))
    with pytest.raises(ValueError, match=r"bomb.pkl.*exec"):
        build_detector(config)
