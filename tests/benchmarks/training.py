"""Cached training of a feature bank head, fed from a store and fed from a tensor in memory.

Run `python -m tests.benchmarks.training [--steps 40] [--turns 3] [--boxes 3] [--rows-per-time 5]
[--device cpu|cuda] [--loaders 0] [--output FILE.json]`. The task is the one that `reelbank train`
makes of a recipe: labels of kind `ava`, the default head (two non-local layers, d = 2048), windows
of 60 s at one key time a second, 16 clips in a batch. Both feeds go through the same loop: one has
rows and windows of films come from banks on disk, everything warm; the other has its one batch in
the memory of the device already. They take turns; medians count.

Times are of this machine now; only the ratio within one run means anything.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from torch.utils.data import Dataset

from reelbank import open_store
from reelbank.jobs.training.batches import map_tensors
from reelbank.jobs.training.cached_data import CachedBatch, whole
from reelbank.jobs.training.cached_task import prepare_cached
from reelbank.jobs.training.config import SGDConfig, TrainingConfig
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.loop import FitResult, fit
from reelbank.jobs.training.settings import (
    AvaLabels,
    BankShortTerm,
    EvaluationSettings,
    LongTermSettings,
    TrainSettings,
)
from reelbank.stores.store import Store
from tests.jobs.labelled_store import commit_set
from tests.stores.builders import commit_bank, commit_lines, unit

BATCH, DIM, SUPPORT_SECONDS, NUM_CLASSES = 16, 2048, 60.0, 80
FILM_SECONDS = 180
FEEDS = ("store", "memory")


class FromMemory(Dataset[CachedBatch]):
    """The same batch every time, made beforehand."""

    def __init__(self, length: int, batch: CachedBatch) -> None:
        self._length, self._batch = length, batch

    def __len__(self) -> int:
        return self._length

    def __getitems__(self, _: Sequence[int]) -> CachedBatch:
        return self._batch


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--boxes", type=int, default=3, help="labelled persons of a key time")
    parser.add_argument("--rows-per-time", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loaders", type=int, default=0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--folder", type=Path, default=None, help="where the data lie meanwhile")
    parser.add_argument("--output", type=Path, default=Path("benchmarks-out/training.json"))
    options = parser.parse_args()
    found = {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "options": {name: str(value) for name, value in vars(options).items()},
        **measure(options),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1))
    show(found, Console())


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Steps a second and share of waiting of both feeds, in turns."""
    with tempfile.TemporaryDirectory(prefix="reelbank-benchmark-", dir=options.folder) as name:
        store = make_store(Path(name) / "store", options)
        stored = prepare_cached(recipe(options), store).data.dataset
        batch = map_tensors(
            stored.__getitems__(range(0, 37 * BATCH, 37)), lambda one: one.to(options.device)
        )
        results: dict[str, list[FitResult]] = {feed: [] for feed in FEEDS}
        for turn in range(options.turns + 1):  # The first warms everything.
            for feed in FEEDS:
                memory = FromMemory(len(stored), batch) if feed == "memory" else None
                run = Path(name) / f"{feed}-{turn}"
                results[feed].append(train(store, memory, options, run))
    rates = {feed: [one.steps_per_second for one in results[feed][1:]] for feed in FEEDS}
    waits = {feed: [one.waiting_share for one in results[feed][1:]] for feed in FEEDS}
    medians = {feed: statistics.median(rates[feed]) for feed in FEEDS}
    return {
        "short_term": list(batch.short_term.shape),
        "window": list(batch.long_term.shape),
        "steps_per_second": rates,
        "waiting_share": waits,
        "ratio": medians["store"] / medians["memory"],
    }


def make_store(folder: Path, options: argparse.Namespace) -> Store:
    """Films with `rows_per_time` persons at each second, of which `boxes` are labelled."""
    store = open_store(str(folder), create=True)
    rng = np.random.default_rng(0)
    films = [f"{number:03}.mp4" for number in range(options.films)]
    corners = [0.1 + 0.15 * number for number in range(options.rows_per_time)]
    boxes = [{"x1": low, "y1": 0.2, "x2": low + 0.1, "y2": 0.9} for low in corners]
    found = [
        {"video_id": film, "time": float(time), "rank": rank, "category": "person"}
        | {"score": 0.99 - rank / 100, "appearance": bytes(48)}
        | box
        for film in films
        for time in range(FILM_SECONDS)
        for rank, box in enumerate(boxes)
    ]
    units = [unit(film, "detections", num_rows=FILM_SECONDS * len(boxes)) for film in films]
    commit_lines(store, "detections", units, {"detections": found})
    for film in films:
        rows = rng.standard_normal((FILM_SECONDS, len(boxes), DIM), np.float32)
        held = {float(time): some.astype(np.float16) for time, some in enumerate(rows)}
        about = {"kind": "person", "category": "person", "key_step_seconds": 1.0}
        piece = (unit(film, "bank:person", details={"bank": about}), held)
        commit_bank(store, "person", [piece])
    commit_set(store, "ava", labels(films, boxes[: options.boxes]), {"action": classes()})
    return store


def labels(films: Sequence[str], boxes: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """A class for each labelled box; the last film is the test."""
    return [
        {"video_id": film, "split": "validation" if film == films[-1] else "train"}
        | {"task": "action", "time": float(time), "label_id": 1 + (time + number) % NUM_CLASSES}
        | box
        for film in films
        for time in range(FILM_SECONDS)
        for number, box in enumerate(boxes)
    ]


def classes() -> dict[int, str]:
    return {number: f"class {number}" for number in range(1, NUM_CLASSES + 1)}


def recipe(options: argparse.Namespace) -> TrainSettings:
    """LFB as in the thesis; nothing is tested."""
    return TrainSettings(
        labels=AvaLabels(set="ava@1"),
        short_term=BankShortTerm(bank="person"),
        long_term=LongTermSettings(
            bank="person", support_seconds=SUPPORT_SECONDS, rows_per_time=options.rows_per_time
        ),
        test=EvaluationSettings(min_score=1.0, num_draws=0),
        training=TrainingConfig(
            num_steps=options.steps,
            batch_size=BATCH,
            optimiser=SGDConfig(learning_rate=0.001, weight_decay=1e-6),
            precision=options.precision,
            device=options.device,
            loaders=options.loaders,
            checkpoint_every=None,
            tensorboard=False,
        ),
    )


def train(
    store: Store, memory: FromMemory | None, options: argparse.Namespace, run: Path
) -> FitResult:
    """A training from the store, or on what is in memory."""
    settings = recipe(options)
    prepared = prepare_cached(settings, store)
    if memory is None:
        return fit(prepared.task, prepared.data, settings.training, run=run)
    config = replace(settings.training, loaders=0)
    data = TrainingData(dataset=memory, collate=whole)
    return fit(prepared.task, data, config, run=run)


def show(found: dict[str, Any], console: Console) -> None:
    """A table of both feeds."""
    shapes = "×".join(map(str, found["short_term"])), "×".join(map(str, found["window"]))
    table = Table(title=f"short-term features {shapes[0]}, windows {shapes[1]}")
    for name in ("fed from", "steps/s (median)", "lowest", "highest", "waiting for data"):
        table.add_column(name)
    for feed in FEEDS:
        rates = found["steps_per_second"][feed]
        waiting = statistics.median(found["waiting_share"][feed])
        numbers = (statistics.median(rates), min(rates), max(rates))
        table.add_row(feed, *(f"{number:.3g}" for number in numbers), f"{waiting:.2%}")
    console.print(table)
    console.print(f"ratio {found['ratio']:.3f}")


if __name__ == "__main__":
    main()
