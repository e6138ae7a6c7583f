"""Training from the first step to the last, or from the newest checkpoint on.

    result = fit(task, data, config, run=Path("run"))

A run is a folder: checkpoints, log, and what is left of a run that broke down. What it learns
depends on task, data and config alone, so that one which was interrupted, at whatever moment, gives
the losses of one which was not: bit for bit on a CPU.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from reelbank.jobs.training.batches import on_device
from reelbank.jobs.training.checkpoints import (
    best_checkpoint,
    checkpoints_of,
    plain,
    prune,
    read_state,
    save_checkpoint,
    sweep,
)
from reelbank.jobs.training.config import FREE_SETTINGS, TrainingConfig
from reelbank.jobs.training.loading import (
    ShuffledOrder,
    StepSampler,
    Timed,
    TrainingData,
    make_loader,
)
from reelbank.jobs.training.logs import RunLog
from reelbank.jobs.training.memory import keep_freed_memory
from reelbank.jobs.training.progress import TrainingProgress
from reelbank.jobs.training.resume import restore, taken
from reelbank.jobs.training.seeding import own_randomness, repeatable, seed_all, seed_of
from reelbank.jobs.training.task import Task
from reelbank.jobs.training.update import Update, Updater, autocast
from reelbank.jobs.training.workers import Workers


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a training came to."""

    metrics: dict[str, float | None]
    """Of the last step; null where a metric is not a number."""
    checkpoint: Path
    """That of the last step."""
    best: Path | None
    """That of the highest `best_metric`, where one is named."""
    num_steps: int
    """Steps that were done in this call; 0 where the run was done already."""
    steps_per_second: float
    """From the second step of this call on, without evaluations and checkpoints."""
    waiting_share: float
    """Share of that time in which a batch was waited for."""


def fit(
    task: Task,
    data: TrainingData,
    config: TrainingConfig,
    *,
    run: Path,
    about: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> FitResult:
    """Train, and go on from the newest checkpoint of the folder `run` where it has one.

    `about` is kept in each checkpoint: what evaluation needs to make the model again, and what the
    data were. Raises ValueError where the run was begun with other settings, data or `about`, where
    its newest checkpoint is damaged, and (NonFiniteError) where loss or gradient is not finite.
    """
    keep_freed_memory()
    with own_randomness(torch.device(config.device)), repeatable(config.deterministic):
        return _Run(task, data, config, run, about=about or {}).fit(console or Console(quiet=True))


def evaluate(task: Task, config: TrainingConfig) -> dict[str, Any]:
    """What the task's `evaluate` gives, in evaluation mode, without gradients and in the config's
    precision.
    """
    device = torch.device(config.device)
    model = task.model.to(device)
    was_training = model.training
    model.eval()
    with own_randomness(device), torch.no_grad(), autocast(config):
        seed_all(seed_of(config.seed, "evaluation"))
        metrics = dict(task.evaluate())
    model.train(was_training)
    return metrics


class _Run:
    """One call of `fit`."""

    def __init__(
        self, task: Task, data: TrainingData, config: TrainingConfig, run: Path, *, about: Any
    ) -> None:
        self.task, self.data, self.config, self.run = task, data, config, run
        self.workers = Workers.here()
        self.updater = Updater(task, config, self.workers)
        num_samples = len(data.dataset)  # type: ignore[arg-type]
        self.order = data.order or ShuffledOrder(
            num_samples=num_samples, batch_size=config.batch_size, seed=config.seed
        )
        settings = {k: one for k, one in asdict(config).items() if k not in FREE_SETTINGS}
        self.bound = plain({"settings": settings, "num_samples": num_samples, "about": about})
        self.step = 0

    def fit(self, console: Console) -> FitResult:
        """Train what is left."""
        if self.workers.is_first:
            sweep(self.run)
        there = checkpoints_of(self.run)
        self.step = begin = restore(there[-1], self.updater, self.bound) if there else 0
        self.workers.agree(self.step, self.updater.device)
        self.workers.take_from_first(self.updater.model)
        batches = self._batches()
        if self.step < self.config.num_steps:
            self._train(batches, console if self.workers.is_first else Console(quiet=True))
        with batches.paused():
            self.workers.wait(self.updater.device)
        return self._result(begin, batches)

    def _batches(self) -> Timed:
        """Parts, for this worker, of the batches of the steps that are left."""
        config = self.config
        sampler = StepSampler(
            range(self.step, config.num_steps),
            self.order,
            seed=config.seed,
            accumulation=config.accumulation,
            workers=self.workers,
        )
        for_gpu = self.updater.device.type == "cuda"
        return Timed(make_loader(self.data, sampler, processes=config.loaders, for_gpu=for_gpu))

    def _train(self, batches: Timed, console: Console) -> None:
        progress = TrainingProgress(self.config.num_steps, console)
        ready = on_device(batches, self.updater.device)
        self.updater.model.train()
        with ExitStack() as stack:
            log = stack.enter_context(self._log()) if self.workers.is_first else None
            stack.enter_context(progress.shown(self.step))
            while self.step < self.config.num_steps:
                done = self.updater.update(
                    self.step,
                    self._parts(ready),
                    num_samples=len(self.order(self.step)),
                    run=self.run,
                )
                self.step += 1
                self._tell(done, batches, log, progress)
                with batches.paused():
                    self._keep(log, progress)

    def _parts(self, ready: Iterator[Any]) -> Iterator[Any]:
        """The parts of one step, each with random numbers of its own for the passes on it."""
        for part, batch in enumerate(islice(ready, self.config.accumulation)):
            # After loading, which seeds for itself where it goes on in this process.
            seed_all(seed_of(self.config.seed, "part", self.step, part, self.workers.rank))
            yield batch

    def _log(self) -> RunLog:
        return RunLog(self.run, step=self.step, tensorboard=self.config.tensorboard)

    def _is_due(self, every: int | None) -> bool:
        is_last = self.step == self.config.num_steps
        return is_last or (every is not None and self.step % every == 0)

    def _tell(
        self, done: Update, batches: Timed, log: RunLog | None, progress: TrainingProgress
    ) -> None:
        progress.tell(self.step, loss=done.loss, waiting_share=batches.waiting_share)
        if log is not None and self._is_due(self.config.log_every):
            measured = {"waiting_share": batches.waiting_share, "seconds": batches.seconds}
            log.write("training", self.step, asdict(done) | measured)

    def _keep(self, log: RunLog | None, progress: TrainingProgress) -> None:
        """Evaluate and write a checkpoint, each where it is due."""
        evaluates = self._is_due(self.config.evaluate_every)
        if not evaluates and not self._is_due(self.config.checkpoint_every):
            return
        # Buffers, such as running means, are those of the first worker, as after a resumption.
        self.workers.take_from_first(self.updater.model)
        if log is not None:
            found = self._evaluated(log, progress) if evaluates else {"metrics": {}}
            config = self.config
            facts = {**found, "best_metric": config.best_metric, "bound": self.bound}
            save_checkpoint(self.run, taken(self.updater, self.step, facts))
            prune(self.run, keep=config.keep_checkpoints, metric=config.best_metric)
        self.workers.wait(self.updater.device)

    def _evaluated(self, log: RunLog, progress: TrainingProgress) -> dict[str, Any]:
        metrics = evaluate(self.task, self.config)
        details = metrics.pop("details", None)
        best = self.config.best_metric
        if best is not None and best not in metrics:
            raise ValueError(
                f"best_metric={best!r} is none of the metrics: {', '.join(sorted(metrics))}"
            )
        log.write("evaluation", self.step, metrics)
        progress.evaluated(self.step, metrics)
        return {"metrics": metrics, "details": details}

    def _result(self, begin: int, batches: Timed) -> FitResult:
        newest = checkpoints_of(self.run)[-1]
        metric = self.config.best_metric
        num_steps = self.step - begin
        return FitResult(
            metrics=read_state(newest)["facts"]["metrics"],
            checkpoint=newest,
            best=best_checkpoint(self.run, metric) if metric else None,
            num_steps=num_steps,
            steps_per_second=(num_steps - 1) / batches.seconds if num_steps > 1 else 0.0,
            waiting_share=batches.waiting_share,
        )
