"""Training on Ray Train: 1 to N workers, each with its share of every batch.

Ray sets up the workers and puts new ones in the place of a group in which one died. The loop is
that of one process; where it goes on is decided by the checkpoints of the run, which all workers
must be able to read.
"""

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from rich.console import Console

from reelbank.jobs.ray_start import start_ray
from reelbank.jobs.training.config import TrainingConfig
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.logs import read_log
from reelbank.jobs.training.loop import FitResult, fit
from reelbank.jobs.training.progress import TrainingProgress
from reelbank.jobs.training.task import Task

Make: TypeAlias = Callable[[], tuple[Task, TrainingData]]
"""Makes the task and its data in a worker; small, because it travels."""

LOOK_SECONDS = 1.0
"""Between two looks of the driver at the log."""
COLLECTIVE_SECONDS = 2 * 24 * 60 * 60
"""Longest that workers wait for one another: for the first one's evaluation, which takes hours with
the 18 views of Table 7.2h on all of AVA. That a worker died, Ray sees without it."""


def fit_on_ray(
    make: Make,
    config: TrainingConfig,
    *,
    run: Path,
    num_workers: int,
    about: Mapping[str, Any] | None = None,
    max_failures: int = 3,
    console: Console | None = None,
) -> FitResult:
    """As `fit`, by `num_workers` workers that share every batch; device 'cuda' gives each a GPU.

    Starts a local Ray, or joins the one at RAY_ADDRESS. When workers died more than `max_failures`
    times, or cannot be placed, ValueError says so; so does what `fit` refuses.
    """
    # Paths in what `make` holds are those of the driver's folder.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    started = not ray.is_initialized()
    if started:
        start_ray()
    run, token = run.absolute(), secrets.token_hex(4)
    arguments = {"make": make, "config": config, "run": run, "about": about, "token": token}
    try:
        work: Any = _work
        scaling = _scaling(config, num_workers)
        trainer = TorchTrainer(
            work,
            train_loop_config=arguments | {"threads": _threads(num_workers)},
            torch_config=TorchConfig(timeout_s=COLLECTIVE_SECONDS),
            scaling_config=scaling,
            run_config=RunConfig(
                name=_folder(run, token).name,
                storage_path=str(run),
                failure_config=FailureConfig(max_failures=max_failures),
            ),
        )
        with _followed(run, config, console or Console(quiet=True)):
            ended: Any = trainer.fit()
        result: FitResult = ended.return_value
    except TrainingFailedError as error:
        raise ValueError(_sentence(run, token, max_failures, error)) from error
    else:
        return result
    finally:
        shutil.rmtree(_folder(run, token), ignore_errors=True)
        if started:
            ray.shutdown()


def _work(given: dict[str, Any]) -> FitResult:
    """What each worker does."""
    refusal = _refusal(given["run"], given["token"])
    if refusal.is_file():  # Another try would end in the same way.
        raise ValueError(refusal.read_text("utf-8"))
    config: TrainingConfig = given["config"]
    if torch.device(config.device).type == "cuda":
        config = replace(config, device=str(get_device()))
    torch.set_num_threads(given["threads"])
    try:
        task, data = given["make"]()
        return fit(task, data, config, run=given["run"], about=given["about"])
    except ValueError as error:
        refusal.parent.mkdir(parents=True, exist_ok=True)
        refusal.write_text(str(error), "utf-8")
        raise


def _scaling(config: TrainingConfig, num_workers: int) -> ScalingConfig:
    """A GPU for each worker, or CPUs of which one is left to Ray's own tasks."""
    there = ray.cluster_resources()
    uses_gpu = torch.device(config.device).type == "cuda"
    if num_workers < 1:
        raise ValueError(f"num_workers={num_workers} is not possible; use 1 or more")
    if uses_gpu and there.get("GPU", 0.0) < num_workers:
        raise ValueError(
            f"{num_workers} workers need a GPU each, Ray has {there.get('GPU', 0.0):g}; "
            "use fewer workers, or device=cpu"
        )
    cpus = min(1.0, max(there.get("CPU", 1.0) - 1, 0.5) / num_workers)
    return ScalingConfig(
        num_workers=num_workers,
        use_gpu=uses_gpu,
        # Rounded down: Ray counts in hundredths of a hundredth.
        resources_per_worker={"CPU": int(cpus * 100) / 100} | ({"GPU": 1} if uses_gpu else {}),
    )


def _threads(num_workers: int) -> int:
    """Threads of arithmetic of a worker: Ray's own default is one."""
    nodes = max(1, sum(1 for node in ray.nodes() if node["Alive"]))
    cpus = ray.cluster_resources().get("CPU", 1.0) / nodes
    return max(1, int(cpus / -(-num_workers // nodes)))


@contextmanager
def _followed(run: Path, config: TrainingConfig, console: Console) -> Iterator[None]:
    """Show in this process what the first worker writes into the log."""
    progress = TrainingProgress(config.num_steps, console)
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            _look(run, progress)

    thread = threading.Thread(target=look, daemon=True)
    with progress.shown(0):
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            _look(run, progress)


def _look(run: Path, progress: TrainingProgress) -> None:
    entries = read_log(run, "training")
    if entries:
        last = entries[-1]
        loss = float("nan") if last["loss"] is None else last["loss"]
        progress.tell(last["step"], loss=loss, waiting_share=last["waiting_share"])


def _folder(run: Path, token: str) -> Path:
    """What Ray and its workers tell each other; gone when the call is over."""
    return run / f".ray-{token}"


def _refusal(run: Path, token: str) -> Path:
    return _folder(run, token) / "refusal.txt"


def _sentence(run: Path, token: str, max_failures: int, error: Exception) -> str:
    """Why a training ended without a result."""
    refusal = _refusal(run, token)
    if refusal.is_file():
        return refusal.read_text("utf-8")
    words = " ".join(str(error).split())
    return (
        f"{run}: workers of the training died more than {max_failures} times ({words[:200]}); "
        "the same command goes on from the last checkpoint"
    )
