"""The order is a function of the step, its shares make up the whole, and seeds follow samples."""

import random
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.jobs.training.loading import (
    ShuffledOrder,
    StepSampler,
    Timed,
    TrainingData,
    draws,
    make_loader,
)
from reelbank.jobs.training.seeding import own_randomness, repeatable, seed_all, seed_of
from reelbank.jobs.training.workers import Workers
from tests.jobs.training.tasks import Noisy

sizes = st.integers(1, 40)


@given(num_samples=sizes, batch_size=sizes, seed=st.integers(0, 9))
def test_every_epoch_has_each_sample_once_and_no_batch_is_short(num_samples, batch_size, seed):
    order = ShuffledOrder(num_samples=num_samples, batch_size=batch_size, seed=seed)
    batches = [order(step) for step in range(3 * num_samples // batch_size + 2)]
    assert all(len(batch) == batch_size for batch in batches)
    stream = [index for batch in batches for index in batch]
    for epoch in range(3):
        here = stream[epoch * num_samples : (epoch + 1) * num_samples]
        assert sorted(here) == list(range(num_samples))
    # Asked for in any order, a step takes the same samples.
    assert [order(step) for step in reversed(range(len(batches)))] == batches[::-1]


def test_epochs_and_seeds_differ():
    epochs = [
        ShuffledOrder(num_samples=99, batch_size=99, seed=s)(e) for s in (0, 1) for e in (0, 1)
    ]
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_an_empty_training_set_is_refused():
    with pytest.raises(ValueError, match="training set is empty"):
        ShuffledOrder(num_samples=0, batch_size=1, seed=0)


@given(
    batch_size=st.integers(12, 50),
    count=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    step=st.integers(0, 10**6),
)
def test_shares_of_all_workers_make_up_the_batch_of_one(batch_size, count, accumulation, step):
    order = ShuffledOrder(num_samples=33, batch_size=batch_size, seed=0)
    [whole] = draws(step, order, seed=5, accumulation=1, workers=Workers())
    shares = [
        draw
        for rank in range(count)
        for draw in draws(
            step, order, seed=5, accumulation=accumulation, workers=Workers(rank, count)
        )
    ]
    assert whole.samples == order(step)
    pairs = Counter(pair for draw in shares for pair in zip(*draw, strict=True))
    assert pairs == Counter(zip(*whole, strict=True))
    lengths = [len(draw.samples) for draw in shares]
    assert max(lengths) - min(lengths) <= 1
    assert len(set(whole.seeds)) == batch_size


def test_a_batch_that_is_too_small_to_share_is_refused():
    with pytest.raises(
        ValueError, match=r"3 samples cannot be shared by 2 workers .* of 4 or more"
    ):
        list(draws(0, lambda _: [1, 2, 3], seed=0, accumulation=2, workers=Workers(0, 2)))


def test_what_a_dataset_draws_depends_on_step_and_place_alone():
    order = ShuffledOrder(num_samples=23, batch_size=7, seed=0)

    def rows_of(steps, workers, accumulation):
        found = {}
        for rank in range(workers):
            sampler = StepSampler(
                steps, order, seed=0, accumulation=accumulation, workers=Workers(rank, workers)
            )
            loader = make_loader(TrainingData(dataset=Noisy()), sampler, processes=0, for_gpu=False)
            assert len(loader) == len(steps) * accumulation
            for number, batch in enumerate(loader):
                part = number % accumulation * workers + rank
                for place, row in enumerate(batch.rows):
                    step = steps[number // accumulation]
                    found[step, part + place * workers * accumulation] = row.numpy().tobytes()
        return found

    whole = rows_of(range(4), 1, 1)
    assert len(set(whole.values())) == 28
    assert rows_of(range(4), 2, 3) == whole
    later = {place: row for place, row in whole.items() if place[0] >= 2}
    assert rows_of(range(2, 4), 1, 2) == later


def test_the_noise_of_the_dataset_comes_from_all_three_generators():
    seen = set()
    for seed in (0, 1):
        seed_all(seed)
        seen |= {random.random(), np.random.random(), float(torch.rand(1))}  # noqa: NPY002
    assert len(seen) == 6


def test_a_dataset_that_takes_many_at_once_is_asked_once_for_each_part():
    class Whole:
        def __getitems__(self, samples):
            return [(torch.tensor(sample), torch.rand(1)) for sample in samples]

    order = ShuffledOrder(num_samples=9, batch_size=4, seed=0)
    sampler = StepSampler(range(3), order, seed=0, accumulation=1, workers=Workers())
    runs = [
        list(make_loader(TrainingData(dataset=Whole()), sampler, processes=0, for_gpu=False))
        for _ in range(2)
    ]
    assert [batch[0].tolist() for batch in runs[0]] == [order(step) for step in range(3)]
    assert [batch[1].tolist() for batch in runs[0]] == [batch[1].tolist() for batch in runs[1]]


def test_seeds_depend_on_every_part():
    seeds = {seed_of(1, "a", 2), seed_of(1, "a", 3), seed_of(1, "b", 2), seed_of(2, "a", 2)}
    assert len(seeds | {seed_of(12, "a"), seed_of(1, "2a")}) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_are_afterwards_as_they_were():
    seed_all(3)
    expected = random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
    seed_all(3)
    with own_randomness(torch.device("cpu")):
        seed_all(4)
    assert (random.random(), np.random.random(), torch.rand(1)) == expected  # noqa: NPY002


def test_algorithms_that_do_not_repeat_are_refused_only_inside():
    with repeatable(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_waiting_is_told_from_working():
    def slow():
        for _ in range(5):
            time.sleep(0.02)
            yield 0

    waited = Timed(slow())
    assert waited.waiting_share == 0
    list(waited)
    worked = Timed(iter(range(5)))
    for _ in worked:
        time.sleep(0.02)
    assert waited.waiting_seconds >= 4 * 0.02  # The first is the start.
    assert worked.seconds >= 4 * 0.02
    assert 1 > waited.waiting_share > worked.waiting_share

    began, before = time.perf_counter(), worked.seconds
    with worked.paused():
        time.sleep(0.1)
    passed = worked.seconds - before
    assert passed <= time.perf_counter() - began - 0.1
