"""Train what a recipe describes, from a store into the folder of a run.

    metrics = train(settings, "store", Path("runs/lfb"))

The same call again goes on where it stopped, and gives the metrics of a run that is finished.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from reelbank.jobs.training.checkpoints import read_state
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.loop import FitResult, fit
from reelbank.jobs.training.prepare import prepare
from reelbank.jobs.training.runs import begin, check_folder, finish, finished
from reelbank.jobs.training.scoring import Prepared
from reelbank.jobs.training.settings import TrainSettings
from reelbank.jobs.training.task import Task
from reelbank.stores.store import Store, open_store

Engine = Literal["inline", "ray"]


def train(
    settings: TrainSettings,
    store: Store | str,
    run: Path,
    *,
    engine: Engine = "inline",
    num_workers: int = 1,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train, test, and give what stands in RUN/metrics.json, which is written last.

    `metrics`: by name, of the best checkpoint where `training.best_metric` is named, else of the
    last one: `map` for kinds ava and charades, `top1` and `top5` for epic. `details.map`: `low`,
    `high` and `deviation` of the mAP; `details.classes`: for each class that counts `label`, `ap`,
    `recall`, `num_positives` and its error bars. `checkpoint` (below RUN), `step`,
    `num_parameters`, `num_clips` and `num_items` of training and test, `steps_per_second`,
    `waiting_share`.

    A run that was interrupted goes on from its last checkpoint, and one that is finished is not run
    again. Raises ValueError where the store lacks what the recipe needs, or where the folder holds
    another run.
    """
    opened = open_store(store) if isinstance(store, str) else store
    check_folder(run, settings, opened)
    done = finished(run)
    if done is not None:
        return done
    prepared = prepare(settings, opened)
    begin(run, settings, opened)
    result = _fitted(settings, opened, run, prepared, engine, num_workers, console)
    return finish(run, _outcome(run, prepared, result))


def _fitted(
    settings: TrainSettings,
    store: Store,
    run: Path,
    prepared: Prepared,
    engine: Engine,
    num_workers: int,
    console: Console | None,
) -> FitResult:
    config, about = settings.training, prepared.about
    if engine == "inline":
        if num_workers != 1:
            raise ValueError(f"{num_workers} workers need the engine ray; give --engine ray")
        return fit(prepared.task, prepared.data, config, run=run, about=about, console=console)
    # Here, because Ray takes seconds to import.
    from reelbank.jobs.ray_train import fit_on_ray

    make = partial(_make, settings, store)
    return fit_on_ray(make, config, run=run, num_workers=num_workers, about=about, console=console)


def _make(settings: TrainSettings, store: Store) -> tuple[Task, TrainingData]:
    """In a worker of its own."""
    prepared = prepare(settings, store)
    return prepared.task, prepared.data


def _outcome(run: Path, prepared: Prepared, result: FitResult) -> dict[str, Any]:
    chosen = result.best or result.checkpoint
    state = read_state(chosen)
    tested = prepared.test.samples
    return {
        "metrics": state["facts"]["metrics"],
        "details": state["facts"]["details"],
        "checkpoint": chosen.relative_to(run).as_posix(),
        "step": state["step"],
        "num_parameters": _num_parameters(prepared),
        "training": {"num_clips": len(prepared.samples), "num_items": prepared.samples.num_items},
        "test": {"num_clips": len(tested), "num_items": tested.num_items},
        "steps_per_second": result.steps_per_second,
        "waiting_share": result.waiting_share,
    }


def _num_parameters(prepared: Prepared) -> int:
    parameters = prepared.task.model.parameters()
    return sum(one.numel() for one in parameters if one.requires_grad)
