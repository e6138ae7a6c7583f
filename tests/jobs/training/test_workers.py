"""Two processes that share every batch take the steps of one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reelbank.jobs.training.checkpoints import checkpoints_of, load_checkpoint
from reelbank.jobs.training.logs import read_log
from tests.jobs.training.tasks import (
    MaskedHead,
    Progressive,
    losses_of,
    small_config,
    train,
)
from tests.jobs.training.test_non_finite import Poisoned
from tests.shared_data import ROOT

WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
import torch, torch.distributed as dist
from tests.jobs.training import test_workers

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", store=dist.FileStore(str(folder / "meet"), 2), rank=rank,
                        world_size=2, timeout=timedelta(seconds=90))
try:
    test_workers.work(folder / "run", rank)
finally:
    dist.destroy_process_group()
"""


def two(folder: Path) -> list[str]:
    """Run `work` in two workers; gives what each wrote as its error."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), folder],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        return [process.communicate(timeout=150)[1] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


class Sometimes(MaskedHead, Progressive):
    """Several passes, unequal weights, and a layer that only some batches go through."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0, norm=False)
        self.model.append(torch.nn.Linear(1, 1))
        self.model.append(torch.nn.Linear(1, 1))

    def losses(self, batch):
        # Fives come in half of the shares of two workers; the last layer is never used.
        model = self.model[:6] if (batch.label == 0).any() else self.model[:5]
        for _ in range(2):
            errors = (model(batch.rows)[:, 0] - batch.label) ** 2
            yield (errors * batch.mask).sum() / batch.mask.sum().clamp(min=1)


CONFIG = small_config(num_steps=12, batch_size=9, accumulation=2, checkpoint_every=6, clip_norm=1.0)


def work(run: Path, rank: int) -> None:
    train(run, CONFIG, MaskedHead(dropout=0.0, norm=False))
    # What has a gradient nowhere is left alone, and all workers have the same weights.
    task = Sometimes()
    train(run / "sometimes", CONFIG, task)
    torch.save(task.model.state_dict(), run / f"of-{rank}.pt")

    train(run / "broken", small_config(num_steps=30, batch_size=8), MaskedHead(), Poisoned())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    errors = two(folder)
    assert all("NonFiniteError: training stopped at step" in error for error in errors), errors
    return folder / "run", errors


def test_two_workers_have_the_losses_and_weights_of_one(both, tmp_path):
    run, _ = both
    train(tmp_path, CONFIG, MaskedHead(dropout=0.0, norm=False))
    assert losses_of(run) == pytest.approx(losses_of(tmp_path), abs=1e-6)
    ours, theirs = (load_checkpoint(checkpoints_of(one)[-1]) for one in (run, tmp_path))
    for name, weight in theirs.weights.items():
        torch.testing.assert_close(ours.weights[name], weight, rtol=0, atol=1e-5)
    assert read_log(run, "evaluation")[0]["total"] == pytest.approx(
        read_log(tmp_path, "evaluation")[0]["total"], abs=1e-4
    )


def test_a_layer_that_only_some_shares_use_is_trained_and_one_that_none_uses_is_not(both):
    run, _ = both
    weights = [torch.load(run / f"of-{rank}.pt", weights_only=True) for rank in range(2)]
    start = Sometimes().model.state_dict()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in start)
    assert not torch.equal(weights[0]["5.weight"], start["5.weight"])
    assert torch.equal(weights[0]["6.weight"], start["6.weight"])


def test_a_bad_sample_of_one_worker_stops_both(both):
    run, errors = both
    [folder] = (run / "broken").glob("stopped-*")
    names = {path.name for path in folder.iterdir()}
    assert {"batch-0.safetensors", "batch-1.safetensors"} < names
    # Which of them had it is told by its own file.
    assert sum("itself is not finite" in error for error in errors) == 1
