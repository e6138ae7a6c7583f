"""State dicts under published names load whole and give what the published network gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reelbank.pipeline.backbones.checkpoints import load_into
from reelbank.pipeline.backbones.config import NonLocalConfig, ResNet3DConfig
from reelbank.pipeline.backbones.models import construct
from reelbank.pipeline.backbones.zoo import BACKBONES

from .published_names import Published

WIDTH = 16


def our_config(published: Published) -> ResNet3DConfig:
    has_non_local = any(published.non_local)
    return ResNet3DConfig(
        num_frames=4 * published.alpha,
        frame_stride=2,
        num_blocks=published.blocks,
        width=published.width,
        speed_ratio=published.alpha,
        fusion_kernel=published.fusion_kernel,
        non_local=NonLocalConfig(after_blocks=published.non_local) if has_non_local else None,
    )


@pytest.mark.parametrize("alpha", [1, 4])
@pytest.mark.parametrize(
    ("style", "with_non_local"),
    [
        ("pyslowfast", False),
        ("pyslowfast", True),
        ("caffe2", False),
        ("caffe2", True),
        ("pytorchvideo", False),  # which has no member with non-local blocks
    ],
)
def test_a_state_dict_under_published_names_gives_the_published_logits(
    style: str, alpha: int, with_non_local: bool
) -> None:
    locations = ((), (1, 3), (1, 3, 5), ()) if with_non_local else ((), (), (), ())
    published = Published(style=style, width=WIDTH, alpha=alpha, non_local=locations)
    state = published.random_state(seed=3)
    module = construct(our_config(published), published.num_classes).eval()
    load_into(module, state)
    clips = torch.randn(2, 3, 4 * alpha, 64, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = published.logits(state, clips)
        found = module.classify(module(clips))
    assert 1e-3 < expected.std() < 1e3
    if with_non_local:
        plain = replace(published, non_local=((), (), (), ()))
        assert not torch.allclose(plain.logits(state, clips), expected, atol=1e-2)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("slowonly_r50_8x8", Published(style="pyslowfast")),
        ("slowonly_r50_8x8", Published(style="pytorchvideo")),
        ("slowonly_r101_8x8", Published(style="pyslowfast", blocks=(3, 4, 23, 3))),
        ("slowfast_r50_8x8", Published(style="pytorchvideo", alpha=4)),
        ("slowfast_r50_4x16", Published(style="pyslowfast", alpha=8, fusion_kernel=5)),
        (
            "slowfast_r101_8x8",
            Published(style="pytorchvideo", alpha=4, blocks=(3, 4, 23, 3), fusion_kernel=5),
        ),
        (
            "slowfast_nl_r50_8x8",
            Published(
                style="caffe2", alpha=4, fusion_kernel=5, non_local=((), (1, 3), (1, 3, 5), ())
            ),
        ),
    ],
)
def test_a_named_size_takes_every_tensor_of_the_published_file(
    name: str, published: Published
) -> None:
    with torch.device("meta"):
        module = construct(BACKBONES[name](), 400)
        state = {k: torch.empty(shape) for k, shape in published.parameters().items()}
        load_into(module, state)
    assert sum(p.numel() for p in module.parameters()) == sum(
        int(np.prod(shape))
        for key, shape in published.parameters().items()
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked", "_rm", "_riv"))
    )


def test_a_file_of_a_data_parallel_run_loads() -> None:
    published = Published(style="pyslowfast", width=8, blocks=(1, 1, 1, 1))
    state = {f"module.{k}": v for k, v in published.random_state(0).items()}
    module = construct(our_config(published))
    load_into(module, state)
    torch.testing.assert_close(
        module.state_dict()["slow.stem.conv.weight"],
        state["module.s1.pathway0_stem.conv.weight"],
    )


def test_pytorchvideo_itself_agrees_where_it_is_installed() -> None:
    hub = pytest.importorskip("pytorchvideo.models.hub", reason="pytorchvideo is not installed")
    clips = torch.randn(1, 3, 32, 224, 224, generator=torch.Generator().manual_seed(0))
    picks = torch.linspace(0, 31, 8).long()
    for name, reference, num_frames in (
        ("slowonly_r50_8x8", hub.slow_r50(), 8),
        ("slowfast_r50_8x8", hub.slowfast_r50(), 32),
    ):
        module = construct(BACKBONES[name](), 400).eval()
        load_into(module, reference.eval().state_dict())
        clip = clips[:, :, :num_frames]
        inputs = clip if num_frames == 8 else [clip[:, :, picks], clip.clone()]
        with torch.inference_mode():
            torch.testing.assert_close(
                module.classify(module(clip)), reference(inputs), atol=1e-4, rtol=0
            )
