"""The loop under Ray Train: two workers take the steps of one, and a dead one is replaced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reelbank.jobs.training.checkpoints import checkpoints_of, load_checkpoint
from tests.jobs.training.tasks import MaskedHead, losses_of, small_config, train
from tests.shared_data import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = small_config(num_steps=12, batch_size=9, accumulation=2, checkpoint_every=4)

DRIVER = """
import io, json, os, signal, sys
from dataclasses import replace
from pathlib import Path
from rich.console import Console
from reelbank.jobs import ray_train
from reelbank.jobs.ray_start import start_ray
from reelbank.jobs.training.loading import TrainingData
from tests.jobs.test_ray_train import CONFIG
from tests.jobs.training.tasks import MaskedHead, Noisy

folder = Path(sys.argv[1])

class Deadly(MaskedHead):
    "The second worker dies once, while the seventh step is under way."

    seen = 0

    def losses(self, batch):
        import torch.distributed as dist
        self.seen += 1
        if dist.get_rank() == 1 and self.seen == 13 and not (folder / "marker").exists():
            (folder / "marker").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().losses(batch)

class Bad(MaskedHead):
    def losses(self, batch):
        with (folder / "tries").open("a") as file:
            file.write("once more" * (self.seen == 0))
        self.seen = 1
        for loss in super().losses(batch):
            yield loss * float("nan")
    seen = 0

def made(kind):
    return lambda: (kind(dropout=0.0, norm=False), TrainingData(dataset=Noisy()))

def fitted(name, kind, config=CONFIG, num_workers=2):
    return ray_train.fit_on_ray(
        made(kind), config, run=folder / name, num_workers=num_workers, console=console)

def refused(*given):
    try:
        fitted(*given)
    except ValueError as error:
        return str(error)

shown = io.StringIO()
console = Console(file=shown, width=200)
start_ray()
results = {name: fitted(name, kind) for name, kind in (("two", MaskedHead), ("died", Deadly))}
told = {
    "steps": {name: result.num_steps for name, result in results.items()},
    "metrics": {name: result.metrics for name, result in results.items()},
    "bad": refused("bad", Bad),
    "cards": refused("cards", MaskedHead, replace(CONFIG, device="cuda")),
    "none": refused("none", MaskedHead, CONFIG, 0),
    "shown": shown.getvalue(),
    "left": sorted(path.name for path in (folder / "two").iterdir()),
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def told(folder):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, folder],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    run: Path = tmp_path_factory.mktemp("alone")
    train(run, CONFIG, MaskedHead(dropout=0.0, norm=False))
    return run


@pytest.mark.parametrize("name", ["two", "died"])
def test_two_workers_take_the_steps_of_one(told, folder, alone, name):
    run = folder / name
    assert losses_of(run) == pytest.approx(losses_of(alone), abs=1e-6)
    ours, theirs = (load_checkpoint(checkpoints_of(one)[-1]) for one in (run, alone))
    assert ours.step == theirs.step == 12
    for key, weight in theirs.weights.items():
        torch.testing.assert_close(ours.weights[key], weight, rtol=0, atol=1e-5)


def test_after_a_death_the_run_goes_on_from_its_checkpoint(told, folder):
    assert (folder / "marker").exists()
    # Killed in the seventh step, the fourth being kept.
    assert told["steps"] == {"two": 12, "died": 8}
    assert told["metrics"]["died"] == pytest.approx(told["metrics"]["two"], abs=1e-4)


def test_what_the_loop_refuses_is_told_in_its_words_and_not_tried_again(told, folder):
    assert "training stopped at step 0: the loss is nan" in told["bad"]
    assert (folder / "tries").read_text() == "once more" * 2


def test_workers_that_cannot_be_placed_are_refused(told):
    assert told["cards"].startswith("2 workers need a GPU each, Ray has 0")
    assert told["none"] == "num_workers=0 is not possible; use 1 or more"


def test_the_driver_shows_how_it_goes_and_ray_leaves_nothing(told):
    assert "training: 12/12 steps, loss" in told["shown"]
    assert told["left"] == ["checkpoints", "log.jsonl"]
