"""What the driver learns of a backbone, without torch."""

import subprocess
import sys
import textwrap

import pytest

from reelbank.pipeline.backbones.config import NonLocalConfig, ResNet3DConfig
from reelbank.pipeline.backbones.digests import check_sha256, file_sha256
from reelbank.pipeline.backbones.zoo import BACKBONES, backbone_info


def run_without(packages: list[str], code: str) -> None:
    blocked = f"import sys\nfor p in {packages!r}: sys.modules[p] = None\n"
    subprocess.run([sys.executable, "-c", blocked + textwrap.dedent(code)], check=True)


def test_every_backbone_is_described_without_torch() -> None:
    run_without(
        ["torch", "torchvision", "numpy", "safetensors"],
        """
        from reelbank.pipeline.backbones.zoo import BACKBONES, backbone_info
        from reelbank.pipeline.backbones.digests import file_sha256
        for name in BACKBONES:
            assert backbone_info(name).feature_dim > 0
        """,
    )


def test_the_family_builds_where_torchvision_and_safetensors_are_absent() -> None:
    run_without(
        ["torchvision", "safetensors", "ray", "av", "cv2"],
        """
        import torch
        from reelbank.pipeline.backbones import checkpoints, roi_pooling
        from reelbank.pipeline.backbones.models import build_backbone
        module = build_backbone("slowonly_tiny").module
        assert roi_pooling.clip_features(module(torch.zeros(1, 3, 8, 32, 32))).shape == (1, 256)
        try:
            build_backbone("torchvision/r3d_18")
        except ImportError as error:
            assert "install it" in str(error)
        else:
            raise AssertionError
        """,
    )


def test_an_unknown_name_is_answered_with_the_closest_and_with_all() -> None:
    with pytest.raises(ValueError, match="did you mean 'slowfast_r50_8x8'") as raised:
        backbone_info("slowfast_r50_8x9")
    assert all(name in str(raised.value) for name in BACKBONES)


@pytest.mark.parametrize(
    ("name", "frames", "stride", "dims"),
    [
        ("slowonly_tiny", 8, 8, (256,)),
        ("slowonly_r50_4x16", 4, 16, (2048,)),
        ("slowfast_r50_8x8", 32, 2, (2048, 256)),
        ("torchvision/r3d_18", 16, 2, (512,)),
    ],
)
def test_info_gives_clip_and_dimensions(
    name: str, frames: int, stride: int, dims: tuple[int, ...]
) -> None:
    info = backbone_info(name)
    assert (info.num_frames, info.frame_stride, info.feature_dims) == (frames, stride, dims)
    assert info.feature_dim == sum(dims)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"num_frames": 0, "frame_stride": 1}, "num_frames=0"),
        ({"num_frames": 6, "frame_stride": 1, "speed_ratio": 4}, "multiple of speed_ratio"),
        (
            {"num_frames": 8, "frame_stride": 1, "speed_ratio": 4, "width": 20},
            "multiple of channel_ratio",
        ),
    ],
)
def test_an_impossible_size_is_refused_by_field(fields: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ResNet3DConfig(**fields)


def test_an_unknown_kind_of_non_local_block_is_refused() -> None:
    with pytest.raises(ValueError, match="kind='gauss'"):
        NonLocalConfig(kind="gauss")


def test_a_wrong_digest_names_file_found_and_expected(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    assert check_sha256(path, file_sha256(path).upper()) == file_sha256(path)
    with pytest.raises(ValueError, match=r"w\.safetensors: SHA-256 is .* expected 00; fetch"):
        check_sha256(path, "00")
