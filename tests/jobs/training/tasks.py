"""Small tasks, each like one of those that the loop must carry."""

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from reelbank.jobs.training.checkpoints import checkpoints_of, load_checkpoint
from reelbank.jobs.training.config import SGDConfig, TrainingConfig
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.logs import read_log
from reelbank.jobs.training.loop import fit

DIM = 6


class Labelled(NamedTuple):
    """What the small datasets give."""

    rows: Tensor
    label: Tensor
    mask: Tensor


class Noisy(Dataset[Labelled]):
    """Rows with noise from each of the generators that a dataset may draw from."""

    def __init__(self, num_samples: int = 23) -> None:
        self.num_samples = num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> Labelled:
        noise = 0.1 * random.random() + 0.1 * np.random.random()  # noqa: NPY002
        rows = torch.sin(torch.arange(float(DIM)) * (index + 1)) + noise + 0.1 * torch.rand(DIM)
        return Labelled(rows, torch.tensor(index % 3 - 1.0), torch.tensor(index % 4 != 0))


class Plain(Noisy):
    """The same without noise."""

    def __getitem__(self, index: int) -> Labelled:
        rows = torch.sin(torch.arange(float(DIM)) * (index + 1))
        return Labelled(rows, torch.tensor(index % 3 - 1.0), torch.tensor(index % 4 != 0))


class Head:
    """A head on rows: normalisation with running means, dropout, one loss."""

    def __init__(self, dropout: float = 0.3, *, norm: bool = True) -> None:
        torch.manual_seed(7)
        middle = nn.BatchNorm1d(8) if norm else nn.LayerNorm(8)
        layers = (nn.Linear(DIM, 8), middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.model = nn.Sequential(*layers)

    def errors(self, batch):
        return (self.model(batch.rows)[:, 0] - batch.label) ** 2

    def losses(self, batch):
        yield self.errors(batch).mean()

    def weight(self, batch):
        return float(len(batch.rows))

    def evaluate(self):
        # Draws, so that a training would notice if its own generators were touched.
        torch.rand(1)
        total = sum(float(one.detach().sum()) for one in self.model.parameters())
        return {"total": total, "minus": -total}


class MaskedHead(Head):
    """Its loss is the mean over labelled boxes, of which batches have different numbers."""

    def losses(self, batch):
        errors = self.errors(batch)
        yield (errors * batch.mask).sum() / batch.mask.sum().clamp(min=1)

    def weight(self, batch):
        return batch.mask.sum()


class Progressive(Head):
    """Several backward passes in each step, the loss of each by itself."""

    passes = 3

    def losses(self, batch):
        state = torch.zeros(len(batch.rows), DIM)
        for _ in range(self.passes):
            outputs = self.model(batch.rows + state)[:, 0]
            state = (0.1 * outputs[:, None]).detach().expand(-1, DIM)
            yield ((outputs - batch.label) ** 2).mean()


def small_config(**changes) -> TrainingConfig:
    given = {
        "num_steps": 6,
        "batch_size": 5,
        "optimiser": SGDConfig(learning_rate=0.1, weight_decay=0.01),
        "log_every": 1,
        "tensorboard": False,
    }
    return TrainingConfig(**(given | changes))


def train(run: Path, config: TrainingConfig, task: Head | None = None, dataset=None, **given):
    data = TrainingData(dataset=dataset or Noisy())
    return fit(task or Head(), data, config, run=run, **given)


def losses_of(run: Path) -> list[float]:
    return [entry["loss"] for entry in read_log(run, "training")]


def assert_same_run(run: Path, other: Path) -> None:
    """Losses, metrics, weights and optimiser equal bit for bit."""
    assert losses_of(run) == losses_of(other)
    assert read_log(run, "evaluation") == read_log(other, "evaluation")
    one, two = (load_checkpoint(checkpoints_of(folder)[-1]) for folder in (run, other))
    assert one.step == two.step
    for mine, theirs in ((one.weights, two.weights), (one.optimiser, two.optimiser)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
