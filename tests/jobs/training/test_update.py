"""One update: parts make up the batch, several losses add up, precision, clipping, overflow."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from reelbank.jobs.training.checkpoints import load_checkpoint
from reelbank.jobs.training.config import SGDConfig
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.logs import read_log
from reelbank.jobs.training.loop import evaluate, fit
from reelbank.jobs.training.update import Updater
from reelbank.jobs.training.workers import Workers
from tests.jobs.training.tasks import (
    Head,
    Labelled,
    MaskedHead,
    Noisy,
    Plain,
    Progressive,
    losses_of,
    small_config,
    train,
)

SLOW_SGD = SGDConfig(learning_rate=1.0, momentum=0, nesterov=False)


def batch_of(indices) -> Labelled:
    return Labelled(
        *(torch.stack(column) for column in zip(*map(Plain().__getitem__, indices), strict=True))
    )


def gradients(task, parts, tmp_path, num_samples=None, **changes) -> dict[str, torch.Tensor]:
    config = small_config(optimiser=SLOW_SGD, **changes)
    updater = Updater(task, config, Workers())
    task.model.train()
    num_samples = num_samples or sum(len(part.rows) for part in parts)
    done = updater.update(0, iter(parts), num_samples=num_samples, run=tmp_path)
    named = task.model.named_parameters()
    return {name: one.grad.clone() for name, one in named} | {"loss": torch.tensor(done.loss)}


def autograd(loss, task) -> dict[str, torch.Tensor]:
    """The gradient by torch itself."""
    names, parameters = zip(*task.model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)) | {
        "loss": loss.detach()
    }


def assert_close(found, expected, tolerance=1e-6):
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        torch.testing.assert_close(found[name], one.to(found[name].dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("make", [Head, MaskedHead])
@pytest.mark.parametrize("lengths", [(12,), (4, 4, 4), (1, 5, 6), (2, 3, 7)])
def test_parts_of_any_size_give_the_gradient_of_the_whole_batch(tmp_path, make, lengths):
    task = make(dropout=0.0, norm=False)
    ends = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    parts = [batch_of(range(begin, end)) for begin, end in pairwise(ends)]
    twin = make(dropout=0.0, norm=False)
    [whole] = twin.losses(batch_of(range(12)))
    assert_close(gradients(task, parts, tmp_path), autograd(whole, twin))


def test_parts_without_a_label_count_nothing(tmp_path):
    labelled, bare = batch_of([1, 2, 3]), batch_of([0, 4, 8])
    assert not bare.mask.any()
    twin = MaskedHead(dropout=0.0, norm=False)
    [loss] = twin.losses(labelled)
    task = MaskedHead(dropout=0.0, norm=False)
    assert_close(gradients(task, [bare, labelled], tmp_path), autograd(loss, twin))
    nothing = gradients(MaskedHead(dropout=0.0, norm=False), [bare], tmp_path)
    assert all(not one.any() for one in nothing.values())


def test_the_gradient_of_several_passes_is_that_of_the_sum_of_their_losses(tmp_path):
    twin = Progressive(dropout=0.0, norm=False)
    whole = sum(twin.losses(batch_of(range(6))))
    task = Progressive(dropout=0.0, norm=False)
    assert_close(gradients(task, [batch_of(range(6))], tmp_path), autograd(whole, twin))


def test_only_one_pass_is_held_at_a_time(tmp_path):
    # A graph that was gone through has freed what it kept, or a second backward would succeed.
    kept = []

    class Keeper(Progressive):
        def losses(self, batch):
            for loss in super().losses(batch):
                if kept:
                    with pytest.raises(RuntimeError, match="second time"):
                        kept[-1].backward()
                kept.append(loss)
                yield loss

    gradients(Keeper(dropout=0.0, norm=False), [batch_of(range(6))], tmp_path)
    assert len(kept) == 3


def test_a_long_gradient_is_shortened(tmp_path):
    parts = [batch_of(range(6))]
    free = gradients(Head(0.0, norm=False), parts, tmp_path)
    clipped = gradients(Head(0.0, norm=False), parts, tmp_path, clip_norm=0.01)
    norm = torch.cat([one.flatten() for name, one in free.items() if name != "loss"]).norm()
    assert norm > 0.01
    expected = {name: one * (0.01 / norm) for name, one in free.items() if name != "loss"}
    assert_close(clipped, expected | {"loss": free["loss"]})
    assert_close(gradients(Head(0.0, norm=False), parts, tmp_path, clip_norm=100.0), free)


def test_frozen_parts_stay_as_they_are(tmp_path):
    task = Head()
    task.model[0].requires_grad_(False)
    before = task.model[0].weight.clone()
    train(tmp_path, small_config(), task)
    assert torch.equal(task.model[0].weight, before)
    assert not torch.equal(task.model[4].weight, Head().model[4].weight)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_near_and_leaves_weights_in_float32(tmp_path, precision):
    seen = []

    class Seen(Head):
        def losses(self, batch):
            outputs = self.model(batch.rows)
            seen.append(outputs.dtype)
            yield ((outputs[:, 0] - batch.label) ** 2).mean()

    for run in (precision, "float32"):
        train(tmp_path / run, small_config(precision=run, num_steps=20), Seen())
    assert seen == [getattr(torch, precision)] * 20 + [torch.float32] * 20
    low, full = (losses_of(tmp_path / run) for run in (precision, "float32"))
    assert low[0] != full[0]
    assert low[0] == pytest.approx(full[0], rel=0.02)
    weights = load_checkpoint(tmp_path / precision / "checkpoints" / "00000020").weights
    assert weights["0.weight"].dtype == torch.float32


class Steep(Head):
    """Its gradient overflows until the scale has come down."""

    slope = 100.0

    def losses(self, batch):
        yield from (loss * self.slope for loss in super().losses(batch))


def test_an_overflow_of_float16_skips_the_step_and_lowers_the_scale(tmp_path):
    gentle = SGDConfig(learning_rate=1e-4)
    train(tmp_path, small_config(precision="float16", num_steps=12, optimiser=gentle), Steep())
    skipped = [entry["is_skipped"] for entry in read_log(tmp_path, "training")]
    assert skipped[0]
    assert not skipped[-1]
    path = tmp_path / "checkpoints" / "00000012"
    scale = load_checkpoint(path).facts["scaler"]["scale"]
    assert scale == 2.0 ** (16 - sum(skipped))


class Shapes(Noisy):
    """Samples as long as the order says."""

    def __getitem__(self, sample):
        index, width = sample
        return torch.rand(width), torch.tensor(float(index))


class AnyWidth(Head):
    """A model for rows of any length, as a network that pools is."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(1, 1)
        self.shapes = []

    def losses(self, batch):
        rows, label = batch
        self.shapes.append(tuple(rows.shape))
        yield ((self.model(rows.mean(dim=1, keepdim=True))[:, 0] - label) ** 2).mean()

    def weight(self, batch):
        return float(len(batch[0]))


def test_the_order_may_change_the_shape_of_every_batch(tmp_path):
    def order(step):
        count, width = [(8, 2), (4, 4), (2, 8)][step % 3]
        return [(index, width) for index in range(step, step + count)]

    data = TrainingData(dataset=Shapes(), order=order)
    config = small_config(optimiser=SGDConfig(learning_rate=0.001), checkpoint_every=1)
    task = AnyWidth()
    fit(task, data, config, run=tmp_path)
    assert task.shapes == [(8, 2), (4, 4), (2, 8)] * 2


def test_evaluation_is_without_dropout_and_leaves_the_mode(tmp_path):
    class Watched(Head):
        def evaluate(self):
            return {
                "training": float(self.model.training),
                "gradients": float(torch.is_grad_enabled()),
                "drawn": float(torch.rand(1)),
            }

    task = Watched()
    task.model.train()
    expected = evaluate(task, small_config())
    assert (expected["training"], expected["gradients"]) == (0, 0)
    assert task.model.training
    assert evaluate(task, small_config()) == expected
