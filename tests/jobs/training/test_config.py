"""A wrong value of a recipe is answered with one sentence that says what to write instead."""

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from reelbank.jobs.training.config import (
    AdamConfig,
    AdamWConfig,
    CosineSchedule,
    LinearSchedule,
    SGDConfig,
    StepSchedule,
    TrainingConfig,
)
from tests.test_architecture import run_without

SGD = SGDConfig(learning_rate=0.1)
WRONG = [
    (lambda: SGDConfig(learning_rate=-1.0), "learning_rate=-1.0 is not possible; use 0 or more"),
    (lambda: SGDConfig(learning_rate=float("nan")), "learning_rate=nan is not possible"),
    (lambda: SGDConfig(learning_rate=1.0, weight_decay=-1), "weight_decay=-1 is not possible"),
    (lambda: SGDConfig(learning_rate=1.0, momentum=1.0), r"momentum=1.0 is not .* use \[0, 1\)"),
    (lambda: SGDConfig(learning_rate=1.0, momentum=0), "nesterov=true needs momentum"),
    (lambda: AdamConfig(learning_rate=1.0, betas=(0.9, 1.0)), "betas=1.0 is not possible"),
    (lambda: AdamWConfig(learning_rate=1.0, epsilon=0), "epsilon=0 is not possible"),
    (lambda: StepSchedule(boundaries=(5,), factors=(1,)), "make 2 spans, found 1 factors"),
    (lambda: StepSchedule(boundaries=(5, 2), factors=(1, 1, 1)), r"\[5, 2\] do not rise"),
    (lambda: StepSchedule(boundaries=(1,), factors=(1, -1)), "factors=-1 is not possible"),
    (lambda: CosineSchedule(end=-0.1), "end=-0.1 is not possible"),
    (lambda: LinearSchedule(warmup_steps=-1), "warmup_steps=-1 is not possible; use 0 or more"),
    (lambda: training(num_steps=0), "num_steps=0 is not possible; use 1 or more"),
    (lambda: training(batch_size=2, accumulation=4), "accumulation=4 parts of batch_size=2"),
    (lambda: training(clip_norm=0.0), "clip_norm=0.0 leaves no gradient; use null"),
    (lambda: training(checkpoint_every=0), "checkpoint_every=0 is not possible"),
    (lambda: training(loaders=-1), "loaders=-1 is not possible"),
    (
        lambda: training(num_steps=3, schedule=LinearSchedule(warmup_steps=4)),
        "schedule.warmup_steps=4 is more than num_steps=3",
    ),
]


def training(**changes):
    return TrainingConfig(**({"num_steps": 10, "batch_size": 4, "optimiser": SGD} | changes))


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_a_wrong_value_is_refused_with_a_remedy(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert ";" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_are_read_from_plain_values_by_their_kind():
    adapter = TypeAdapter(with_config(ConfigDict(extra="forbid"))(TrainingConfig))
    plain = {
        "num_steps": 10,
        "batch_size": 4,
        "optimiser": {"kind": "adamw", "learning_rate": 0.1, "betas": [0.8, 0.9]},
        "schedule": {"kind": "step", "boundaries": [5], "factors": [1.0, 0.1]},
    }
    found = adapter.validate_python(plain)
    assert found.optimiser == AdamWConfig(learning_rate=0.1, betas=(0.8, 0.9))
    assert found.schedule == StepSchedule(boundaries=(5,), factors=(1.0, 0.1))
    for changed in ({"optimiser": {"kind": "lamb"}}, {"num_step": 3}):
        with pytest.raises(ValidationError):
            adapter.validate_python(plain | changed)


def test_a_driver_reads_settings_and_schedules_without_torch():
    modules = "reelbank.jobs.training.config, reelbank.jobs.training.schedules"
    run_without(("torch", "ray"), f"import {modules}\n")


def test_the_loop_runs_where_ray_is_absent():
    run_without(("ray",), "import reelbank.jobs.training.loop\n")
