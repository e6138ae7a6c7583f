"""The networks: published sizes, the behaviour of untrained weights, rows that do not depend on
their neighbours in the batch."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from reelbank.pipeline.backbones.backbone import Backbone, normalise
from reelbank.pipeline.backbones.checkpoints import load_into
from reelbank.pipeline.backbones.config import NonLocalConfig, ResNet3DConfig
from reelbank.pipeline.backbones.models import build_backbone, construct
from reelbank.pipeline.backbones.non_local import NonLocal
from reelbank.pipeline.backbones.resnet3d import SlowFast
from reelbank.pipeline.backbones.roi_pooling import clip_features, grid_features, roi_features
from reelbank.pipeline.backbones.zoo import BACKBONES

FAMILY = [name for name in BACKBONES if name.startswith("slow")]
TORCHVISION = [name for name in BACKBONES if name.startswith("torchvision/")]


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return build_backbone("slowonly_tiny").module


def random_clips(
    module: Backbone, num_clips: int, height: int, width: int, seed: int = 0
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_clips, 3, module.num_frames, height, width, generator=generator)


@pytest.mark.parametrize(
    ("name", "num_parameters", "giga_multiply_adds"),
    [
        ("slowonly_r50_8x8", 32_454_096, 54.5),
        ("slowfast_r50_8x8", 34_566_488, 65.7),
        ("slowonly_r50_4x16", 32_454_096, 27.3),
        ("slowonly_r101_8x8", 60_359_120, 111.6),
        ("slowfast_r101_8x8", 62_826_968, 125.9),
        ("slowfast_r101_50_50_16x8", 53_774_808, 213.0),
    ],
)
def test_a_published_size_has_its_parameters_and_multiply_adds(
    name: str, num_parameters: int, giga_multiply_adds: float
) -> None:
    with torch.device("meta"):
        module = construct(BACKBONES[name](), 400).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            module.classify(module(torch.empty(1, 3, module.num_frames, 256, 256)))
    assert sum(p.numel() for p in module.parameters()) == num_parameters
    assert round(counter.get_total_flops() / 2e9, 1) == giga_multiply_adds


@pytest.mark.parametrize("name", FAMILY)
def test_maps_have_the_stated_channels_frames_and_cells(name: str) -> None:
    config = BACKBONES[name]()
    with torch.device("meta"):
        module = construct(config).eval()
        maps = module(torch.empty(2, 3, module.num_frames, 256, 320))
    side = 256 // config.spatial_stride, 320 // config.spatial_stride
    frames = [config.num_frames // config.speed_ratio, config.num_frames]
    assert [tuple(m.shape) for m in maps] == [
        (2, dim, t, *side) for dim, t in zip(config.feature_dims, frames, strict=False)
    ]
    assert module.feature_dim == sum(config.feature_dims)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone() -> None:
    state = torch.random.get_rng_state()
    one, two, other = (build_backbone("slowonly_tiny", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one.untrained
    assert one.weights_digest is None
    weights = [b.module.state_dict() for b in (one, two, other)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not torch.equal(weights[0]["slow.stem.conv.weight"], weights[2]["slow.stem.conv.weight"])


def test_untrained_weights_do_not_depend_on_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        states = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            states.append(build_backbone("slowonly_tiny").module.state_dict())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_untrained_features_are_of_order_one_and_tell_clips_apart(tiny: Backbone) -> None:
    """Plain pictures: gradients of different colour and direction, still or moving."""
    rows = torch.linspace(0, 1, 128)[:, None].expand(128, 170)
    columns = torch.linspace(0, 1, 170)[None].expand(128, 170)
    pictures = [rows, 1 - rows, columns, (rows * 40).sin().abs(), (columns * 40).sin().abs()]
    frames = torch.stack([p[None, :, :, None].expand(8, -1, -1, 3) for p in pictures])
    moving = torch.stack([torch.roll(pictures[4], 5 * t, 1) for t in range(8)])[..., None]
    frames = torch.cat([frames, moving.expand(-1, -1, -1, 3)[None]])
    clips = normalise((frames * 255).to(torch.uint8), tiny)
    with torch.inference_mode():
        features = clip_features(tiny(clips))
    assert 0.1 < features.std(dim=0).mean() < 10
    unit = torch.nn.functional.normalize(features, dim=1)
    assert (unit @ unit.T - torch.eye(len(unit))).max() < 0.999
    assert (features.std(dim=0) > 1e-3).float().mean() > 0.95


def test_a_deep_untrained_network_stays_inside_float16() -> None:
    module = build_backbone("slowonly_r50_4x16").module
    with torch.inference_mode():
        maps = module(random_clips(module, 1, 64, 96))
    assert maps[0].isfinite().all()
    assert 0.01 < maps[0].std() < 1000


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_does_not_depend_on_its_slot_or_its_neighbours(tiny: Backbone, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    clip = random_clips(tiny, 1, 128, 228, seed=9)
    box = torch.tensor([[0.1, 0.2, 0.6, 0.9]])
    seen = []
    try:
        for slot in range(4):
            clips = random_clips(tiny, 4, 128, 228, seed=slot) * slot
            clips[slot] = clip[0]
            with torch.inference_mode():
                maps = tiny(clips)
                rows = (
                    clip_features(maps)[slot],
                    grid_features(maps, 2)[slot],
                    roi_features(maps, [box] * 4, clip_size=(128, 228))[slot],
                )
            seen.append(torch.cat(rows))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(seen[0], row) for row in seen)


def test_reduced_precision_and_channels_last_give_nearly_the_same(tiny: Backbone) -> None:
    clips = random_clips(tiny, 2, 128, 170)
    with torch.inference_mode():
        expected = clip_features(tiny(clips))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = clip_features(tiny(clips))
        last = build_backbone("slowonly_tiny").module.to(memory_format=torch.channels_last_3d)
        permuted = clip_features(last(clips.contiguous(memory_format=torch.channels_last_3d)))
    torch.testing.assert_close(permuted, expected, atol=1e-4, rtol=1e-4)
    assert torch.nn.functional.cosine_similarity(half, expected).min() > 0.999


def test_two_pathways_and_non_local_blocks_run_in_bfloat16() -> None:
    config = ResNet3DConfig(
        num_frames=8,
        frame_stride=2,
        num_blocks=(1, 1, 1, 1),
        width=16,
        speed_ratio=4,
        non_local=NonLocalConfig(after_blocks=((), (0,), (0,), ())),
    )
    module = construct(config, 5).eval()
    clips = random_clips(module, 1, 64, 64).contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module.classify(module(clips))
    assert logits.shape == (1, 5)
    assert logits.isfinite().all()


def test_slow_frames_are_spread_from_the_first_to_the_last() -> None:
    with torch.device("meta"):
        module = construct(BACKBONES["slowfast_r50_8x8"]())
    assert isinstance(module, SlowFast)
    numbers = torch.arange(32.0)[None, None, :, None, None]
    assert module.slow_frames(numbers).flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    with pytest.raises(ValueError, match="give a multiple of 4"):
        module(torch.zeros(1, 3, 30, 32, 32))


def test_a_dilated_network_takes_the_weights_of_its_sibling() -> None:
    config = replace(BACKBONES["slowonly_tiny"](), num_frames=4, dilated=False)
    plain, dilated = construct(config).eval(), construct(replace(config, dilated=True)).eval()
    dilated.load_state_dict(plain.state_dict())
    clips = random_clips(plain, 1, 64, 64)
    with torch.inference_mode():
        assert plain(clips)[0].shape[-2:] == (2, 2)
        assert dilated(clips)[0].shape[-2:] == (4, 4)


@pytest.mark.parametrize("kind", ["dot_product", "softmax"])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_non_local_block_is_a_weighted_sum_over_positions(kind: str, groups: int) -> None:
    torch.manual_seed(0)
    block = NonLocal(4, NonLocalConfig(kind=kind, pool=(1, 1, 1), num_groups=groups)).eval()
    maps = torch.randn(2, 4, 4, 2, 3)
    with torch.inference_mode():
        found = block(maps)
        theta, phi, value = block.theta(maps), block.phi(maps), block.value(maps)
        for clip in range(2):
            for span in range(groups):
                times = range(span * 4 // groups, (span + 1) * 4 // groups)
                places = [(t, y, x) for t in times for y in range(2) for x in range(3)]
                for t, y, x in places:
                    products = torch.stack(
                        [theta[clip, :, t, y, x] @ phi[clip, :, a, b, c] for a, b, c in places]
                    )
                    weights = (
                        torch.softmax(products / 2**0.5, 0)
                        if kind == "softmax"
                        else products / len(places)
                    )
                    values = torch.stack([value[clip, :, a, b, c] for a, b, c in places])
                    seen = (weights @ values)[None, :, None, None, None]
                    expected = maps[clip, :, t, y, x] + block.norm(block.out(seen)).flatten()
                    torch.testing.assert_close(found[clip, :, t, y, x], expected)


def test_time_that_cannot_be_cut_into_groups_is_refused() -> None:
    block = NonLocal(4, NonLocalConfig(num_groups=2))
    with pytest.raises(ValueError, match="num_groups=2"):
        block(torch.zeros(1, 4, 3, 2, 2))


def test_a_network_without_a_head_says_so(tiny: Backbone) -> None:
    with pytest.raises(ValueError, match="without a head"):
        tiny.classify(tiny(random_clips(tiny, 1, 32, 32)))


def test_normalise_undoes_the_mean_and_deviation(tiny: Backbone) -> None:
    frames = torch.randint(0, 256, (2, 8, 4, 6, 3), dtype=torch.uint8)
    clips = normalise(frames, tiny)
    assert clips.shape == (2, 3, 8, 4, 6)
    back = (clips * 0.225 + 0.45) * 255
    torch.testing.assert_close(back, frames.permute(0, 4, 1, 2, 3).float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.endswith(("3d_s", "3d_b")) else [])
        for name in TORCHVISION
    ],
)
def test_a_torchvision_model_gives_its_own_logits_from_its_map(name: str) -> None:
    from torchvision.models import get_model

    config = BACKBONES[name]()
    reference = get_model(config.model, num_classes=7).eval()
    module = construct(config, 7).eval()
    load_into(module, reference.state_dict())
    side = 224 if config.model == "s3d" else 64
    clips = torch.randn(1, 3, 16, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = module(clips)
        torch.testing.assert_close(module.classify(maps), reference(clips), atol=1e-5, rtol=1e-5)
    assert maps[0].shape[1] == config.feature_dims[0]
    assert maps[0].shape[-1] == side // config.spatial_stride
    headless = construct(config).eval()
    load_into(headless, reference.state_dict())
