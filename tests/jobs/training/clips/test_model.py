"""Features are the bank's, statistics stay, and the order of boxes does not matter."""

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig, OperatorConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.jobs.training.clips.dataset import TestClips
from reelbank.jobs.training.clips.films import films_of
from reelbank.jobs.training.clips.model import ClipModel
from reelbank.jobs.training.labelled.samples import boxed_clips, whole_clips
from reelbank.pipeline.backbones.models import build_backbone
from tests.jobs.training.clips.stores import clips_config

FILM = "learn_0.mp4"


def make_model(*, is_frozen=False, **head):
    torch.manual_seed(0)
    backbone = build_backbone("slowonly_tiny").module
    given = {"bank": "none", "classifier_dropout": 0.0} | head
    config = FeatureBankHeadConfig(short_term_dim=backbone.feature_dim, num_classes=3, **given)
    return ClipModel(backbone, make_head(config), is_frozen=is_frozen)


def rows_of(model, frames, boxes, clip_of):
    return model.rows(model.maps(frames), boxes, clip_of, clip_size=tuple(frames.shape[2:4]))


def looks(model):
    """Statistics, and everything else, of the network."""
    state = {name: one.clone() for name, one in model.backbone.state_dict().items()}
    names = ("running_mean", "running_var", "num_batches_tracked")
    kept = {name: one for name, one in state.items() if name.endswith(names)}
    return kept, {name: one for name, one in state.items() if name not in kept}


def one_step(model):
    """Away from where the loss is now."""
    model.train()
    frames = torch.randint(0, 256, (3, 4, 24, 24, 3), dtype=torch.uint8)
    boxes = torch.tensor([[0.1, 0.1, 0.9, 0.9]] * 3)
    loss = model(frames, boxes, torch.arange(3)).square().sum()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad


def test_batch_norms_stay_while_other_weights_move():
    model = make_model()
    statistics, weights = looks(model)
    assert statistics
    for _ in range(3):
        one_step(model)
    after, moved = looks(model)
    assert all(torch.equal(one, after[name]) for name, one in statistics.items())
    norms = {name for name in weights if "norm" in name}
    assert any(name.endswith("norm_a.weight") for name in norms)
    for name, one in weights.items():
        assert torch.equal(one, moved[name]) == (name in norms), name


def test_norms_stay_in_evaluation_mode_whatever_the_model_is_told():
    model = make_model()
    for mode in (True, False, True):
        model.train(mode)
        norms = [one for one in model.modules() if isinstance(one, _BatchNorm)]
        assert norms
        assert not any(one.training for one in norms)
        assert model.head.training == mode


def test_a_frozen_network_gets_no_gradient_and_the_head_does():
    model = make_model(is_frozen=True)
    weights = looks(model)[1]
    head = {name: one.clone() for name, one in model.head.state_dict().items()}
    one_step(model)
    one_step(model)
    assert not any(one.training for one in model.backbone.modules())
    assert all(torch.equal(one, looks(model)[1][name]) for name, one in weights.items())
    assert any(not torch.equal(one, model.head.state_dict()[name]) for name, one in head.items())


def bank_rows(store, bank, times):
    return np.concatenate(store.bank(bank).rows_at(FILM, times)).astype(np.float32)


@torch.no_grad()
def test_features_of_boxes_are_the_banks_rows(blocks):
    bank = blocks.bank("person")
    times = np.repeat(bank.times(FILM), bank.counts(FILM))
    boxes = bank.window(FILM, 0.0, 1000.0, boxes=True).boxes
    samples = boxed_clips(
        (FILM,),
        np.zeros(len(times), np.int64),
        times,
        place=np.zeros(len(times), np.int64),
        boxes=boxes.astype(np.float64),
        targets=None,
    )
    model = make_model().eval()
    clips = TestClips(samples, films_of(blocks, [FILM]), clips_config())
    views = [view for number in range(len(clips)) for view in clips[number]]
    found = rows_of(
        model,
        torch.stack([view.frames for view in views]),
        torch.cat([view.boxes for view in views]),
        torch.from_numpy(samples.clip),
    )
    expected = bank_rows(blocks, "person", bank.times(FILM))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


@torch.no_grad()
def test_features_of_whole_clips_are_the_banks_rows(blocks):
    times = blocks.bank("clip").times(FILM)
    samples = whole_clips((FILM,), np.zeros(len(times), np.int64), times, None)
    clips = TestClips(samples, films_of(blocks, [FILM]), clips_config())
    model = make_model().eval()
    frames = torch.stack([clips[number][0].frames for number in range(len(clips))])
    found = rows_of(model, frames, None, torch.arange(len(clips)))
    np.testing.assert_allclose(found, bank_rows(blocks, "clip", times), rtol=2e-3, atol=2e-3)


@torch.no_grad()
def test_boxes_may_come_in_any_order():
    model = make_model().eval()
    frames = torch.randint(0, 256, (3, 4, 32, 48, 3), dtype=torch.uint8)
    corners = torch.rand(7, 2, 2).sort(dim=1).values
    boxes = corners.reshape(7, 4)
    clip_of = torch.tensor([0, 0, 2, 2, 2, 0, 2])  # Clip 1 has none.
    found = rows_of(model, frames, boxes, clip_of)
    order = torch.randperm(7)
    shuffled = rows_of(model, frames, boxes[order], clip_of[order])
    assert torch.equal(shuffled, found[order])
    alone = rows_of(model, frames[2:], boxes[clip_of == 2], torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(found[clip_of == 2], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_whole_clip_attends_to_its_moments():
    model = make_model(bank="short_term", operator=OperatorConfig(inner_dim=8, init="he")).eval()
    clips, own = torch.randint(0, 256, (2, 4, 24, 24, 3), dtype=torch.uint8), torch.arange(2)
    maps = model.maps(clips)
    moments = maps[0].float().mean(dim=(3, 4)).transpose(1, 2)
    assert moments.shape[:2] == (2, 4)
    expected = model.head(moments.mean(dim=1), moments, window_of=own)
    torch.testing.assert_close(model(clips, None, own), expected, rtol=1e-4, atol=1e-5)
    # Boxes read the boxes that they share a clip with, and a box alone reads itself.
    whole_frames = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    rows = rows_of(model, clips, whole_frames, own)
    of_boxes = model.head(rows, rows[:, None], window_of=own)
    torch.testing.assert_close(model(clips, whole_frames, own), of_boxes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("has_boxes", [True, False])
def test_a_batch_without_boxes_has_a_loss_that_moves_nothing(has_boxes):
    model = make_model().train()
    frames = torch.zeros(1, 4, 24, 24, 3, dtype=torch.uint8)
    nothing = torch.zeros(0, dtype=torch.int64)
    logits = model(frames, torch.zeros(0, 4) if has_boxes else None, nothing[:0])
    if not has_boxes:  # A clip without a box is an item by itself.
        assert logits.shape == (1, 3)
        return
    assert logits.shape == (0, 3)
    logits.sum().backward()
    grads = [one.grad for one in model.parameters() if one.grad is not None]
    assert all(bool((one == 0).all()) for one in grads)
