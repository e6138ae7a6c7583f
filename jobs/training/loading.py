"""Batches of every step, in an order that is a function of the step, and how long they were waited
for.

The position in the data is the number of the step: a run that is resumed asks for the batches of
the steps that are left. Whatever a dataset draws at random is seeded for each sample by its step
and its place in the batch, so that it does not depend on which process loads it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from reelbank.jobs.training.seeding import seed_all, seed_of
from reelbank.jobs.training.workers import Workers

Order: TypeAlias = Callable[[int], Sequence[Any]]
"""The samples that a step takes, over all workers: what the dataset is indexed with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """What a task is trained on."""

    dataset: Dataset[Any]
    """With `__getitem__`, or with `__getitems__` that takes several samples at once."""
    collate: Callable[[Any], Any] = default_collate
    """Makes a batch of what the dataset gave."""
    order: Order | None = None
    """Null: all samples once in each epoch, shuffled, `batch_size` of them in a step. One of one's
    own decides how many a step takes, and may hold more than an index, such as a shape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffledOrder:
    """Every epoch has all samples once; batches run on across the ends of epochs."""

    num_samples: int
    """Length of the dataset."""
    batch_size: int
    """Samples of a step."""
    seed: int
    """Together with the epoch it decides the order."""

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError("the training set is empty; give it samples, or widen the split")

    def __call__(self, step: int) -> list[int]:
        """Indices of the samples of a step."""
        taken: list[int] = []
        while len(taken) < self.batch_size:
            done = step * self.batch_size + len(taken)
            epoch, place = divmod(done, self.num_samples)
            left = self.batch_size - len(taken)
            taken += _permutation(self.seed, epoch, self.num_samples)[place : place + left].tolist()
        return taken


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_samples: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(num_samples)


class Draw(NamedTuple):
    """The samples that are loaded together, and a seed for each."""

    samples: list[Any]
    seeds: list[int]


def draws(
    step: int, order: Order, *, seed: int, accumulation: int, workers: Workers
) -> Iterator[Draw]:
    """Parts of the batch of a step that are this worker's; those of all workers are the batch."""
    samples = order(step)
    num_parts = accumulation * workers.count
    if len(samples) < num_parts:
        raise ValueError(
            f"a batch of {len(samples)} samples cannot be shared by {workers.count} workers with "
            f"accumulation={accumulation}; use a batch_size of {num_parts} or more"
        )
    for part in range(accumulation):
        places = range(part * workers.count + workers.rank, len(samples), num_parts)
        yield Draw(
            [samples[place] for place in places],
            [seed_of(seed, "sample", step, place) for place in places],
        )


class StepSampler(Sampler[Any]):
    """The parts (`Draw`) of each step in turn."""

    def __init__(
        self, steps: range, order: Order, *, seed: int, accumulation: int, workers: Workers
    ) -> None:
        self._steps, self._order = steps, order
        self._seed, self._accumulation, self._workers = seed, accumulation, workers

    def __len__(self) -> int:
        return len(self._steps) * self._accumulation

    def __iter__(self) -> Iterator[Any]:
        for step in self._steps:
            yield from draws(
                step,
                self._order,
                seed=self._seed,
                accumulation=self._accumulation,
                workers=self._workers,
            )


class SeededDataset(Dataset[Any]):
    """A dataset that is given draws: it seeds the generators before it takes each sample."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __getitems__(self, draw: Draw) -> Any:
        """What the dataset gives for the samples: a list, or whatever its own `__getitems__` does.

        A dataset that takes several at once is seeded for the first of them.
        """
        take_all = getattr(self._dataset, "__getitems__", None)
        if take_all is not None:
            seed_all(draw.seeds[0])
            return take_all(draw.samples)
        taken = []
        for sample, seed in zip(draw.samples, draw.seeds, strict=True):
            seed_all(seed)
            taken.append(self._dataset[sample])
        return taken


def make_loader(
    data: TrainingData, sampler: StepSampler, *, processes: int, for_gpu: bool
) -> DataLoader[Any]:
    """Batches in the sampler's order, loaded here or in processes of their own."""
    return DataLoader(
        SeededDataset(data.dataset),
        batch_sampler=sampler,
        collate_fn=data.collate,
        num_workers=processes,
        # A fork beside threads (of a store, of Ray) may hang; one start lasts for the whole run.
        multiprocessing_context="spawn" if processes else None,
        # What is loaded here would only be copied once more, and may lie on the GPU already.
        pin_memory=for_gpu and processes > 0,
    )


class Timed(Iterator[Any]):
    """Batches, and how long they were waited for after the first one."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._source = batches
        self._batches: Iterator[Any] | None = None
        self._began: float | None = None
        self._elsewhere = 0.0
        self.waiting_seconds = 0.0

    def __next__(self) -> Any:
        if self._batches is None:  # Starting up is not waiting.
            self._batches = iter(self._source)
            return next(self._batches)
        asked = time.perf_counter()
        self._began = self._began or asked
        batch = next(self._batches)
        self.waiting_seconds += time.perf_counter() - asked
        return batch

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside is no part of the time."""
        began = time.perf_counter()
        yield
        if self._began is not None:
            self._elsewhere += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """Time since the second batch was asked for."""
        return 0.0 if self._began is None else time.perf_counter() - self._began - self._elsewhere

    @property
    def waiting_share(self) -> float:
        """Share of that time in which a batch was waited for."""
        return self.waiting_seconds / self.seconds if self.seconds > 0 else 0.0
