"""A run that is interrupted, at whatever step, is the run that was not, bit for bit."""

import shutil
import signal
import subprocess
import sys

import pytest

from reelbank.jobs.training.checkpoints import checkpoints_of, load_checkpoint
from reelbank.jobs.training.config import (
    AdamConfig,
    AdamWConfig,
    CosineSchedule,
    SGDConfig,
    StepSchedule,
)
from reelbank.jobs.training.logs import read_log
from tests.jobs.training.tasks import (
    Head,
    Noisy,
    Progressive,
    assert_same_run,
    losses_of,
    small_config,
    train,
)
from tests.shared_data import ROOT

KEEP_ALL = {"checkpoint_every": 1, "keep_checkpoints": 100}
KINDS = [
    pytest.param({}, Head, id="sgd"),
    pytest.param(
        {"optimiser": AdamConfig(learning_rate=0.01), "accumulation": 2},
        Head,
        id="adam, accumulated",
    ),
    pytest.param(
        {
            "optimiser": AdamWConfig(learning_rate=0.01, weight_decay=0.1),
            "schedule": CosineSchedule(warmup_steps=3),
            "clip_norm": 0.1,
            "evaluate_every": 2,
            "best_metric": "total",
        },
        Head,
        id="adamw with a schedule, clipped, evaluated",
    ),
    pytest.param(
        {
            "schedule": StepSchedule(boundaries=(2, 4), factors=(1.0, 0.1, 0.5)),
            "precision": "bfloat16",
        },
        Progressive,
        id="several passes in bfloat16",
    ),
    pytest.param(
        {"optimiser": SGDConfig(learning_rate=0.1, momentum=0, nesterov=False)},
        Head,
        id="an optimiser without state",
    ),
]


@pytest.mark.parametrize(("changes", "make"), KINDS)
def test_resumed_at_every_step_it_is_the_unbroken_run(tmp_path, changes, make):
    config = small_config(**KEEP_ALL, **changes)
    unbroken = tmp_path / "unbroken"
    train(unbroken, config, make())
    assert len(set(losses_of(unbroken))) == 6
    for left in range(1, 6):
        run = shutil.copytree(unbroken, tmp_path / f"from {left}")
        for path in checkpoints_of(run)[left:]:
            shutil.rmtree(path)
        # Made anew: nothing of the interrupted process is left.
        result = train(run, config, make())
        assert result.num_steps == 6 - left
        assert_same_run(run, unbroken)
        assert [entry["step"] for entry in read_log(run, "training")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_processes_that_load_change_nothing(tmp_path):
    config = small_config(**KEEP_ALL)
    unbroken, run = tmp_path / "unbroken", tmp_path / "run"
    train(unbroken, config)
    shutil.copytree(unbroken, run)
    for path in checkpoints_of(run)[2:]:
        shutil.rmtree(path)
    assert train(run, small_config(**KEEP_ALL, loaders=2)).num_steps == 4
    assert_same_run(run, unbroken)


# The third checkpoint is begun and never finished.
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from reelbank.jobs.training import checkpoints
from tests.jobs.training.tasks import small_config, train

real, left = checkpoints.save_file, [5]
def deadly(*given):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*given)
checkpoints.save_file = deadly
train(Path(sys.argv[1]), small_config(num_steps=9, checkpoint_every=2))
"""


def test_a_killed_process_is_gone_on_from_by_another(tmp_path):
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    done = subprocess.run([sys.executable, "-c", KILLED, run], cwd=ROOT, check=False, timeout=200)
    assert done.returncode == -signal.SIGKILL
    assert len(losses_of(run)) == 6
    assert [path.name for path in checkpoints_of(run)] == ["00000002", "00000004"]
    config = small_config(num_steps=9, checkpoint_every=2)
    assert train(run, config).num_steps == 5
    train(unbroken, config)
    assert_same_run(run, unbroken)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["00000008", "00000009"]


def test_a_run_that_is_done_is_not_done_again(tmp_path):
    first = train(tmp_path, small_config())
    again = train(tmp_path, small_config())
    assert (first.num_steps, again.num_steps) == (6, 0)
    assert (again.metrics, again.checkpoint) == (first.metrics, first.checkpoint)
    assert again.metrics.keys() == {"total", "minus"}
    assert len(losses_of(tmp_path)) == 6


OTHERS = [
    ({"optimiser": SGDConfig(learning_rate=0.2, weight_decay=0.01)}, {}, "optimiser.learning_rate"),
    ({"seed": 1}, {}, "seed=0 and is now given 1"),
    ({"num_steps": 7}, {}, "num_steps=6 and is now given 7"),
    ({}, {"dataset": Noisy(24)}, "num_samples=23 and is now given 24"),
    ({}, {"about": {"bank": {"digest": "e"}}}, "about.bank.digest='d' and is now given 'e'"),
]


@pytest.mark.parametrize(("changes", "given", "words"), OTHERS)
def test_a_run_goes_on_with_what_it_was_begun_with_only(tmp_path, changes, given, words):
    about = {"about": {"bank": {"digest": "d"}}}
    train(tmp_path, small_config(), **about)
    with pytest.raises(ValueError, match="the run was begun with") as caught:
        train(tmp_path, small_config(**changes), **(about | given))
    assert words in str(caught.value)
    assert "or train in another folder" in str(caught.value)


def test_what_is_not_learned_from_may_change(tmp_path):
    train(tmp_path, small_config())
    free = {"log_every": 3, "keep_checkpoints": 9, "evaluate_every": 2, "loaders": 1}
    assert train(tmp_path, small_config(**free)).num_steps == 0


def test_a_damaged_newest_checkpoint_stops_the_run_with_its_name(tmp_path):
    train(tmp_path, small_config(checkpoint_every=2))
    path = checkpoints_of(tmp_path)[-1]
    (path / "optimiser.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match="checkpoint is damaged") as caught:
        train(tmp_path, small_config(checkpoint_every=2))
    assert str(path) in str(caught.value)
    shutil.rmtree(path)
    assert train(tmp_path, small_config(checkpoint_every=2)).num_steps == 2


def test_what_a_checkpoint_says_of_itself(tmp_path):
    result = train(
        tmp_path, small_config(best_metric="minus", evaluate_every=3), about={"recipe": {"k": 1}}
    )
    facts = load_checkpoint(result.checkpoint).facts
    assert facts["bound"]["about"] == {"recipe": {"k": 1}}
    assert facts["bound"]["settings"]["optimiser"]["learning_rate"] == 0.1
    assert facts["best_metric"] == "minus"
    entries = {e["step"]: e["minus"] for e in read_log(tmp_path, "evaluation")}
    assert result.best.name == f"{max(entries, key=lambda step: entries[step]):08}"
