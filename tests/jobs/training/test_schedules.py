"""Schedules against formulas written down here, torch's own, and properties."""

import math
import warnings
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.jobs.training.config import (
    ConstantSchedule,
    CosineSchedule,
    LinearSchedule,
    StepSchedule,
)
from reelbank.jobs.training.schedules import factor_at, schedule_lines


def factors(config, num_steps):
    return [factor_at(step, config, num_steps) for step in range(num_steps)]


STEPS = StepSchedule(boundaries=(4, 6), factors=(1.0, 0.1, 0.01), warmup_steps=2, warmup_from=0.25)
BY_HAND = [
    pytest.param(ConstantSchedule(), [1, 1, 1, 1], id="constant"),
    pytest.param(
        ConstantSchedule(warmup_steps=2, warmup_from=0.5), [0.5, 0.75, 1, 1], id="warm-up"
    ),
    pytest.param(STEPS, [0.25, 0.625, 1, 1, 0.1, 0.1, 0.01, 0.01], id="steps after a warm-up"),
    pytest.param(
        StepSchedule(boundaries=(1, 2, 2, 3), factors=(8, 4, 99, 2, 1)),
        [8, 4, 2, 1],
        id="a span of no length is passed over",
    ),
    pytest.param(
        StepSchedule(boundaries=(3,), factors=(8, 1), warmup_steps=2, warmup_from=0.0),
        [0, 4, 8, 1],
        id="a warm-up leads to a factor above one",
    ),
    pytest.param(LinearSchedule(), [1, 0.75, 0.5, 0.25], id="a line to nothing"),
    pytest.param(LinearSchedule(end=0.2), [1, 0.8, 0.6, 0.4], id="a line to a fifth"),
    pytest.param(
        LinearSchedule(warmup_steps=2), [0, 0.5, 1, 0.5], id="a line from the end of the warm-up"
    ),
    pytest.param(
        LinearSchedule(warmup_steps=2, after_warmup=False),
        [0, 0.25, 0.5, 0.25],
        id="a line from the first step",
    ),
    pytest.param(
        CosineSchedule(), [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4], id="half a cosine"
    ),
]


@pytest.mark.parametrize(("config", "expected"), BY_HAND)
def test_schedules_are_what_they_are_by_hand(config, expected):
    assert factors(config, len(expected)) == pytest.approx(expected)


def test_cosine_and_line_are_torchs_own():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = {
        CosineSchedule(end=0.1): lambda: torch.optim.lr_scheduler.CosineAnnealingLR(
            optimiser, 40, eta_min=0.1
        ),
        LinearSchedule(end=0.1): lambda: torch.optim.lr_scheduler.LinearLR(
            optimiser, 1.0, 0.1, total_iters=40
        ),
    }
    for config, make in schedulers.items():
        optimiser.param_groups[0]["lr"] = 1.0
        scheduler = make()
        expected = []
        for _ in range(40):
            expected.append(optimiser.param_groups[0]["lr"])
            with warnings.catch_warnings(action="ignore"):
                scheduler.step()
        assert factors(config, 40) == pytest.approx(expected)
        optimiser.param_groups[0].pop("initial_lr")


def test_the_schedule_of_multigrid_training_fits_in():
    ends = [73, 110, 142, 158, 205, 228, 248, 259, 291, 308, 322, 329, 343]
    rates = [8, 4, 2, 1, 0.8, 0.4, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01, 0.01, 0.001]
    config = StepSchedule(boundaries=tuple(ends), factors=tuple(rates), warmup_steps=34)
    found = factors(config, 358)
    assert found[34] == 8
    assert found[17] == 4  # Half way up to the first, multiplied rate.
    for begin, end, rate in zip([34, *ends], [*ends, 358], rates, strict=True):
        assert set(found[begin:end]) == {rate}


@st.composite
def schedules(draw):
    num_steps = draw(st.integers(1, 300))
    warmup = {
        "warmup_steps": draw(st.integers(0, num_steps)),
        "warmup_from": draw(st.floats(0, 1)),
    }
    end, after = draw(st.floats(0, 1)), draw(st.booleans())
    kinds = [
        ConstantSchedule(**warmup),
        CosineSchedule(**warmup, end=end, after_warmup=after),
        LinearSchedule(**warmup, end=end, after_warmup=after),
    ]
    return draw(st.sampled_from(kinds)), num_steps


@given(schedules())
def test_a_schedule_stays_in_the_unit_interval_and_warm_up_meets_it(given_schedule):
    config, num_steps = given_schedule
    found = factors(config, num_steps)
    assert all(-1e-9 <= factor <= 1 + 1e-9 and math.isfinite(factor) for factor in found)
    if config.warmup_steps:
        assert found[0] == config.warmup_from
    rest = found[config.warmup_steps :]
    assert all(after <= before + 1e-9 for before, after in pairwise(rest))
    changes = [b - a for a, b in pairwise(found[: config.warmup_steps])]
    assert all(change == pytest.approx(changes[0], abs=1e-9) for change in changes)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 10)), max_size=6),
    st.integers(0, 80),
)
def test_a_step_schedule_has_the_factor_of_the_last_boundary_passed(spans, step):
    spans = sorted(spans, key=lambda span: span[0])
    config = StepSchedule(
        boundaries=tuple(begin for begin, _ in spans),
        factors=(1.0, *(factor for _, factor in spans)),
    )
    passed = [factor for begin, factor in spans if begin <= step]
    assert factor_at(step, config, 100) == (passed[-1] if passed else 1.0)


def test_a_schedule_can_be_printed():
    lines = schedule_lines(STEPS, 0.04, 8, num_lines=8)
    assert [line.split() for line in lines] == [
        ["0", "0.01"],
        ["1", "0.025"],
        ["2", "0.04"],
        ["3", "0.04"],
        ["4", "0.004"],
        ["5", "0.004"],
        ["6", "0.0004"],
        ["7", "0.0004"],
    ]
    assert len(schedule_lines(STEPS, 0.04, 100_000)) == 20
    assert schedule_lines(STEPS, 0.04, 1) == ["        0  0.01"]
