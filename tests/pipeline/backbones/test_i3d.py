"""I3D-NL of the thesis' table 7.1: its size, its blocks, the released files that it takes."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from reelbank.pipeline.backbones.checkpoints import load_into, load_state
from reelbank.pipeline.backbones.config import NonLocalConfig, ResNet3DConfig
from reelbank.pipeline.backbones.models import build_backbone, construct
from reelbank.pipeline.backbones.non_local import NonLocal
from reelbank.pipeline.backbones.zoo import BACKBONES, backbone_info

from .released_lfb import Released

NAMES = [name for name in BACKBONES if name.startswith("i3d")]
WIDTH = 8


def small(name: str) -> ResNet3DConfig:
    """The named network, narrow, on 16 frames."""
    config = BACKBONES[name]()
    assert isinstance(config, ResNet3DConfig)
    return replace(config, width=WIDTH, num_frames=16)


def random_clips(num_frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, num_frames, height, width, generator=generator, dtype=torch.float64)


def as_training_saves(blobs: dict[str, Tensor]) -> dict[str, object]:
    """With what lies beside the blobs in a file that training wrote."""
    saved: dict[str, object] = {name: blob.float().numpy() for name, blob in blobs.items()}
    momenta = {f"{name}_momentum": saved[name] for name in ("conv1_w", "pred_w")}
    return saved | momenta | {"model_iter": 140000, "lr": np.float32(4e-5).reshape(())}


@pytest.mark.parametrize(
    ("name", "num_parameters", "giga_multiply_adds"),
    [
        ("i3d_r50", 27_223_872, 152.5),
        ("i3d_nl_r50", 34_582_336, 190.6),
        ("i3d_nl_r50_dilated", 34_582_336, 190.6),
        ("i3d_nl_r101_dilated", 58_293_056, 264.8),
    ],
)
def test_a_trunk_has_the_parameters_multiply_adds_and_output_of_table_7_1(
    name: str, num_parameters: int, giga_multiply_adds: float
) -> None:
    with torch.device("meta"):
        module = construct(BACKBONES[name]()).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            maps = module(torch.empty(1, 3, 32, 224, 224))
    assert [tuple(m.shape) for m in maps] == [(1, 2048, 16, 14, 14)]
    assert sum(p.numel() for p in module.parameters()) == num_parameters
    assert round(counter.get_total_flops() / 2e9, 1) == giga_multiply_adds


@pytest.mark.parametrize("name", NAMES)
def test_its_clips_span_63_frames_and_its_maps_a_sixteenth_of_the_side(name: str) -> None:
    info = backbone_info(name)
    assert (info.num_frames - 1) * info.frame_stride + 1 == 63
    assert (info.spatial_stride, info.feature_dims, info.short_side) == (16, (2048,), 256)
    assert (info.mean, info.std) == ((0.45,) * 3, (0.225,) * 3)


@pytest.mark.parametrize(
    "name", ["i3d_r50_dilated", "i3d_nl_r50", "i3d_nl_r50_dilated", "i3d_nl_r101_dilated"]
)
def test_released_blobs_give_what_the_released_network_gives(name: str) -> None:
    released = Released(
        depth=101 if "r101" in name else 50,
        width=WIDTH,
        has_non_local="_nl_" in name,
        is_dilated=name.endswith("_dilated"),
    )
    blobs = released.random_blobs(seed=1)
    module = construct(small(name)).double().eval()
    load_into(module, blobs)
    clips = random_clips(16, 64, 96)
    with torch.inference_mode():
        expected = released.maps(blobs, clips)
        (found,) = module(clips)
    assert found.shape == (1, WIDTH * 32, 8, 4, 6)
    assert 0.01 < expected.std() < 100
    assert (expected > 0).double().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-8 * float(expected.max()), rtol=0)


@pytest.mark.parametrize("is_dilated", [True, False])
def test_dilation_and_non_local_blocks_change_the_maps(is_dilated: bool) -> None:
    """So that the comparison above would notice if one of them were left out."""
    released = Released(width=WIDTH, is_dilated=is_dilated)
    blobs, clips = released.random_blobs(seed=1), random_clips(16, 64, 96)
    maps = released.maps(blobs, clips)
    others = (
        replace(released, is_dilated=not is_dilated),
        replace(released, has_non_local=False),
    )
    for other in others:
        assert (other.maps(blobs, clips) - maps).abs().max() > 0.01 * maps.abs().max()


@pytest.mark.parametrize(
    ("name", "released"),
    [
        ("i3d_r50", Released(has_non_local=False)),
        ("i3d_nl_r50_dilated", Released()),
        ("i3d_nl_r50", Released(num_classes=125)),
        ("i3d_nl_r101_dilated", Released(depth=101, num_classes=157)),
    ],
)
def test_a_named_size_takes_every_blob_of_a_released_file(name: str, released: Released) -> None:
    with torch.device("meta"):
        module = construct(BACKBONES[name](), released.num_classes)
        load_into(module, {k: torch.empty(shape) for k, shape in released.shapes().items()})
    assert sum(p.numel() for p in module.parameters()) == sum(
        int(np.prod(shape)) for shape in released.shapes().values()
    )


def test_a_released_file_loads_with_its_operator_and_training_state_passed_over(
    tmp_path: Path,
) -> None:
    released = Released(width=WIDTH)
    blobs = released.random_blobs(seed=2)
    operator = {
        f"{name}_{kind}": torch.ones(4)
        for name in ("lfb_1x1", "lfb_nl0_theta", "lfb_nl1_out", "box_pooled_fbonl_reduc")
        for kind in "wb"
    }
    operator["res5_2_branch2c_bn_pooled_fbonl_reduc_w"] = torch.ones(4)
    path = tmp_path / "model_final.pkl"
    saved = as_training_saves(blobs | operator)
    path.write_bytes(pickle.dumps({"blobs": saved}, protocol=2))
    module = construct(small("i3d_nl_r50_dilated")).eval()
    load_into(module, load_state(path))
    clips = random_clips(16, 64, 64)
    with torch.inference_mode():
        found = module(clips.float())[0].double()
    expected = released.maps(blobs, clips)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.max()), rtol=0)


def test_norms_of_which_only_some_have_statistics_are_refused() -> None:
    blobs = Released(width=WIDTH).random_blobs(seed=0)
    blobs["res_conv1_bn_rm"] = torch.zeros(WIDTH)
    blobs["res_conv1_bn_riv"] = torch.ones(WIDTH)
    with pytest.raises(ValueError, match=r"missing: slow\.stages\.0\.blocks\.0\.norm_a\.running"):
        load_into(construct(small("i3d_nl_r50")), blobs)


@pytest.mark.parametrize("style", ["torchvision", "caffe2"])
def test_a_2d_network_is_inflated_so_that_a_still_clip_gives_what_the_picture_gave(
    style: str,
) -> None:
    from torchvision.models.resnet import Bottleneck, ResNet

    picture_network = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5).double().eval()
    generator = torch.Generator().manual_seed(0)
    for layer in picture_network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var, layer.running_mean):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5, generator=generator)
    config = ResNet3DConfig(
        num_frames=17,
        frame_stride=1,
        num_blocks=(1, 1, 1, 1),
        temporal_kernels=(5, 3, (3, 1), 3, 3),
        non_local=NonLocalConfig(after_blocks=((), (0,), (), ()), kind="softmax"),
    )
    module = construct(config, 5).double().eval()
    state = dict(picture_network.state_dict())
    load_into(module, caffe2_names(state) if style == "caffe2" else state)
    picture = torch.randn(1, 3, 64, 96, generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        network = nn.Sequential(*list(picture_network.children())[:-2])
        expected = network(picture)
        (maps,) = module(picture[:, :, None].expand(-1, -1, 17, -1, -1))
    # What a kernel sees before the first and after the last frame is zero: the middle is whole.
    torch.testing.assert_close(maps[:, :, 8], expected)
    torch.testing.assert_close(module.state_dict()["classifier.bias"], state["fc.bias"])


def caffe2_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision ResNet of one block a stage, under the names of a Caffe2 file."""
    norm = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    named = {}
    for name, tensor in state.items():
        *module, kind = name.split(".")
        if kind == "num_batches_tracked":
            continue
        if module == ["fc"]:
            named[f"pred_{kind[0]}"] = tensor
        elif len(module) == 1:
            named["conv1_w" if module == ["conv1"] else f"res_conv1_bn_{norm[kind]}"] = tensor
        else:
            base = f"res{int(module[0][-1]) + 1}_0_branch"
            if module[2] == "downsample":
                branch, is_norm = "1", module[3] == "1"
            else:
                branch, is_norm = f"2{'abc'[int(module[2][-1]) - 1]}", module[2].startswith("bn")
            named[f"{base}{branch}_{f'bn_{norm[kind]}' if is_norm else 'w'}"] = tensor
    return named


def test_what_frames_see_of_each_other_ends_at_the_span() -> None:
    block = NonLocal(4, NonLocalConfig(kind="softmax"), frames_per_group=4).double().eval()
    maps = torch.randn(1, 4, 12, 4, 4, dtype=torch.float64)
    changed = maps.clone()
    changed[:, :, 5] += 1
    with torch.inference_mode():
        moved = (block(changed) - block(maps)).abs().amax(dim=(0, 1, 3, 4))
    assert [int(frame) for frame in moved.nonzero()] == [4, 5, 6, 7]


def test_frames_that_do_not_fill_their_spans_are_refused() -> None:
    block = NonLocal(4, NonLocalConfig(), frames_per_group=4)
    with pytest.raises(ValueError, match=r"6 frames .* frames_per_group=4"):
        block(torch.zeros(1, 4, 6, 2, 2))
    with pytest.raises(ValueError, match="frames_per_group has 1 entries"):
        NonLocalConfig(frames_per_group=(4,))
    with pytest.raises(ValueError, match="use 1 or more, or None"):
        NonLocalConfig(frames_per_group=(None, 0, None, None))
    with pytest.raises(ValueError, match="no multiple of temporal_pool=2"):
        ResNet3DConfig(num_frames=7, frame_stride=1, temporal_pool=2)


def test_its_classifier_sees_the_mean_over_the_whole_map() -> None:
    module = construct(small("i3d_nl_r50"), 5).eval()
    maps = (torch.randn(2, WIDTH * 32, 8, 9, 11),)
    assert isinstance(module.classifier, nn.Linear)
    with torch.inference_mode():
        expected = module.classifier(maps[0].mean(dim=(2, 3, 4)))
        torch.testing.assert_close(module.classify(maps), expected)


@pytest.mark.slow
def test_untrained_it_tells_clips_apart() -> None:
    module = build_backbone("i3d_nl_r50_dilated").module
    clips = torch.randn(2, 3, 32, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (maps,) = module(clips)
    assert maps.shape == (2, 2048, 16, 4, 6)
    assert 0.01 < maps.std() < 100
    rows = maps.mean(dim=(2, 3, 4))
    assert torch.nn.functional.cosine_similarity(rows[:1], rows[1:]) < 0.9999
