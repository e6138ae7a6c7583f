"""Clips are those of the extraction, and batches do not depend on who loads them."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from reelbank.jobs.training.batches import named_values
from reelbank.jobs.training.clips.config import AugmentConfig
from reelbank.jobs.training.clips.dataset import TestClips, collate_clips
from reelbank.jobs.training.clips.films import films_of
from reelbank.jobs.training.clips.task import make_clip_task
from reelbank.jobs.training.labelled.samples import whole_clips
from reelbank.jobs.training.loading import ShuffledOrder, StepSampler, make_loader
from reelbank.jobs.training.workers import Workers
from reelbank.pipeline.backbones.backbone import normalise
from reelbank.pipeline.backbones.zoo import backbone_info
from reelbank.pipeline.models import Models
from reelbank.pipeline.plan import Span
from reelbank.pipeline.settings import BackboneSettings, BankSettings, ExtractSettings, Resources
from reelbank.pipeline.span import extract_span
from tests.jobs.training.clips.stores import SIDE, clips_config, recipe

FILM = "try_0.mp4"


@pytest.fixture(scope="module")
def data(blocks):
    return make_clip_task(recipe(), blocks)[1]


def clips_seen_by_an_extraction(info):
    """What the network of an extraction is given for each key time of a film."""
    shown = BackboneSettings(short_side=SIDE, num_frames=4, stride=8, batch_size=1)
    settings = ExtractSettings(
        shots=None,
        detector=None,
        tracks=None,
        backbones={"main": shown},
        banks={"clip": BankSettings(kind="clip")},
        resources=Resources(threads=1),
    ).resolved()
    models, seen = Models(settings), []
    module = models.backbone("main").module
    module.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    span = Span(info, 0.0, float("inf"))
    output = extract_span(span, ["bank:clip"], models=models, settings=settings, stored=None)
    return output.times, seen, module


def test_a_clip_before_augmentation_is_the_extractions_to_the_bit(blocks):
    films = films_of(blocks, [FILM])
    times, expected, module = clips_seen_by_an_extraction(films[FILM])
    samples = whole_clips((FILM,), np.zeros(len(times), np.int64), times, None)
    clips = TestClips(samples, films, clips_config())
    assert len(clips) == len(expected) > 5
    for number, theirs in enumerate(expected):
        (view,) = clips[number]
        assert view.boxes is None
        assert torch.equal(normalise(view.frames[None], module), theirs)


def test_an_item_has_the_boxes_of_its_clip_and_their_targets(data):
    dataset = data.dataset
    whole = type(dataset)(
        dataset.samples,
        dataset._source._films,
        clips_config(augment=AugmentConfig(crop_size=0, flip=False)),
    )
    samples = dataset.samples
    for index in (0, 7):
        batch, items = whole[index], samples.clip == index
        assert batch.frames.shape[:2] == (1, 4)
        assert min(batch.frames.shape[2:4]) == SIDE
        np.testing.assert_allclose(batch.boxes.numpy(), samples.boxes[items], atol=1e-6)
        np.testing.assert_array_equal(batch.targets.numpy(), samples.targets[items])
        assert batch.times.tolist() == [samples.times[index]]


def test_boxes_that_a_crop_leaves_out_are_learned_at_its_border(data):
    samples, stride = data.dataset.samples, backbone_info("slowonly_tiny").spatial_stride
    on_border = 0
    for index in range(len(data.dataset)):
        batch, items = data.dataset[index], samples.clip == index
        np.testing.assert_array_equal(batch.targets.numpy(), samples.targets[items])
        sides = batch.boxes[:, 2:] - batch.boxes[:, :2]
        assert (sides > 0).all()
        on_border += int(lies_on_border(batch, stride).sum())
    # The crop is hardly wider than one block, and there are two side by side.
    assert on_border > 0


def lies_on_border(batch, stride):
    """(m,) which boxes are a strip of one cell along a border of the crop."""
    sides = batch.frames.new_tensor(batch.frames.shape[2:4]).flip(0)
    cell = stride / sides.float()
    low, high = batch.boxes[:, :2], batch.boxes[:, 2:]
    is_strip = ((high - low) - cell).abs() < 1e-4
    return (is_strip & ((low < 1e-4) | (high > 1 - 1e-4))).any(dim=1)


def test_blocks_are_where_their_boxes_are(data):
    """The middle of each labelled box shows the colour of its class, after any augmentation."""
    stride = backbone_info("slowonly_tiny").spatial_stride
    for index in range(len(data.dataset)):
        batch = data.dataset[index]
        # The clip's middle is its key time: 4 frames at 8 steps of 30 Hz begin 16/30 s before it.
        picture = batch.frames[0, 2].numpy().astype(int)
        height, width = picture.shape[:2]
        shown = ~lies_on_border(batch, stride)
        for box, target in zip(batch.boxes[shown].numpy(), batch.targets[shown], strict=True):
            x, y = (box[0] + box[2]) / 2 * width, (box[1] + box[3]) / 2 * height
            if min(box[2:] - box[:2]) * SIDE < 5:
                continue
            red, _, blue = picture[int(y), int(x)]
            assert (red > blue) == bool(target[0])


def loaded(data, *, loaders, first=0, last=3):
    order = ShuffledOrder(num_samples=len(data.dataset), batch_size=5, seed=1)
    steps = range(first, last)
    sampler = StepSampler(steps, order, seed=1, accumulation=1, workers=Workers())
    return list(make_loader(data, sampler, processes=loaders, for_gpu=False))


def assert_equal(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        mine, theirs = dict(named_values(one)), dict(named_values(other))
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            same = torch.equal(value, theirs[name]) if value is not None else theirs[name] is None
            assert same, name


def test_a_resumed_run_gets_the_batches_of_one_that_was_not_interrupted(data):
    assert_equal(loaded(data, loaders=0)[2:], loaded(data, loaders=0, first=2))


@pytest.mark.slow
def test_batches_are_the_same_in_any_number_of_loaders(data):
    expected = loaded(data, loaders=0)
    for loaders in (1, 2):
        assert_equal(loaded(data, loaders=loaders), expected)


def test_one_clip_is_looked_at_in_another_way_in_another_step(data):
    frames = []
    for step in range(4):
        sampler = StepSampler(
            range(step, step + 1), lambda _: [3], seed=0, accumulation=1, workers=Workers()
        )
        frames += [one.frames for one in make_loader(data, sampler, processes=0, for_gpu=False)]
    assert any(not torch.equal(frames[0], other) for other in frames[1:])


def test_batches_hold_nothing_that_is_not_finite(data):
    """A batch that broke a training down is searched for such numbers."""
    batch = collate_clips([data.dataset[0], data.dataset[5]])
    assert not batch.window.mask.all()
    tensors = [one for _, one in named_values(batch) if isinstance(one, torch.Tensor)]
    assert all(bool(torch.isfinite(one).all()) for one in tensors)
    since = batch.window.times[batch.window.mask]
    assert since.min() >= -2
    assert since.max() < 2


def test_clips_of_several_sizes_make_no_batch(data):
    one = data.dataset[0]
    other = one._replace(frames=one.frames[:, :, :, :-1])
    with pytest.raises(ValueError, match=r"2 sizes .*\(28, 27\), \(28, 28\).*crop_size"):
        collate_clips([one, other])


def test_the_dataset_travels_to_a_loader_that_was_started_anew(data):
    again = pickle.loads(pickle.dumps(data.dataset))
    assert len(again) == len(data.dataset)
    loader = DataLoader(again, batch_size=2, collate_fn=collate_clips)
    assert next(iter(loader)).frames.shape[0] == 2
