"""Cached training of a feature bank head, fed from a store and fed from a tensor in memory.

Run `python -m tests.benchmarks.training [--steps 40] [--turns 3] [--rows-per-time 5]
[--device cpu|cuda] [--loaders 0] [--output FILE.json]`. The head is the default one (two non-local
layers, d = 2048), the window 60 s at one key time a second, the batch 16. Both feeds go through the
same loop: one takes each window of a random film from a bank on disk, everything warm; the other
has its one batch in the device's memory already. They take turns; medians count.

Times are of this machine now; only the ratio within one run means anything.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import Dataset

from reelbank import open_store
from reelbank.heads.feature_bank.config import FeatureBankHeadConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.jobs.training.bank_dataset import BankDataset, WindowBatch
from reelbank.jobs.training.config import SGDConfig, TrainingConfig
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.loop import FitResult, fit
from tests.stores.builders import commit_bank, unit

BATCH, DIM, SUPPORT_SECONDS, NUM_CLASSES = 16, 2048, 60.0, 60
FILM_SECONDS = 180
FEEDS = ("store", "memory")


class Windows(NamedTuple):
    """A batch of the head."""

    short_term: Tensor
    window: WindowBatch
    labels: Tensor


class FromStore(Dataset[Windows]):
    """Windows gathered from the bank; the clip's own row is that of its key time."""

    def __init__(self, windows: BankDataset) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> Windows:
        window = self._windows.__getitems__(indices)
        labels = window.key_numbers[:, None] % torch.arange(2, NUM_CLASSES + 2) == 0
        return Windows(window.rows[:, 0], window, labels.float())


class FromMemory(Dataset[Windows]):
    """The same batch every time, made beforehand."""

    def __init__(self, length: int, batch: Windows) -> None:
        self._length, self._batch = length, batch

    def __len__(self) -> int:
        return self._length

    def __getitems__(self, _: Sequence[int]) -> Windows:
        return self._batch


class LongTermTask:
    """Actions of one clip from its row and the window around it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = FeatureBankHeadConfig(short_term_dim=DIM, num_classes=NUM_CLASSES)
        self.model: nn.Module = make_head(config)

    def losses(self, batch: Windows) -> Iterator[Tensor]:
        logits = self.model(batch.short_term, batch.window.rows, batch.window.mask)
        yield nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)

    def weight(self, batch: Windows) -> float:
        return float(len(batch.labels))

    def evaluate(self) -> dict[str, float]:
        return {}


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--films", type=int, default=20)
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
        stored = FromStore(make_windows(Path(name) / "store", options))
        batch = on(stored.__getitems__(range(BATCH)), options.device)
        feeds = {"store": stored, "memory": FromMemory(len(stored), batch)}
        results: dict[str, list[FitResult]] = {feed: [] for feed in FEEDS}
        for turn in range(options.turns + 1):  # The first warms everything.
            for feed in FEEDS:
                run = Path(name) / f"{feed}-{turn}"
                results[feed].append(train(feeds[feed], options, run, is_stored=feed == "store"))
    rates = {feed: [one.steps_per_second for one in results[feed][1:]] for feed in FEEDS}
    waits = {feed: [one.waiting_share for one in results[feed][1:]] for feed in FEEDS}
    medians = {feed: statistics.median(rates[feed]) for feed in FEEDS}
    return {
        "window": list(batch.window.rows.shape),
        "steps_per_second": rates,
        "waiting_share": waits,
        "ratio": medians["store"] / medians["memory"],
    }


def make_windows(folder: Path, options: argparse.Namespace) -> BankDataset:
    """A bank of films with `rows_per_time` rows at each second, and all its windows."""
    store = open_store(str(folder), create=True)
    rng = np.random.default_rng(0)
    for number in range(options.films):
        rows = rng.standard_normal((FILM_SECONDS, options.rows_per_time, DIM), np.float32)
        held = {float(time): some.astype(np.float16) for time, some in enumerate(rows)}
        details = {"bank": {"kind": "person", "key_step_seconds": 1.0}}
        video = f"{number:03}.mp4"
        commit_bank(store, "person", [(unit(video, "bank:person", details=details), held)])
    keys = [
        (f"{number:03}.mp4", float(time))
        for number in range(options.films)
        for time in range(FILM_SECONDS)
    ]
    return BankDataset(
        store.bank("person"), keys, SUPPORT_SECONDS, rows_per_time=options.rows_per_time
    )


def train(
    dataset: FromStore | FromMemory, options: argparse.Namespace, run: Path, *, is_stored: bool
) -> FitResult:
    config = TrainingConfig(
        num_steps=options.steps,
        batch_size=BATCH,
        optimiser=SGDConfig(learning_rate=0.001, weight_decay=1e-6),
        precision=options.precision,
        device=options.device,
        loaders=options.loaders if is_stored else 0,
        checkpoint_every=None,
        tensorboard=False,
    )
    return fit(LongTermTask(), TrainingData(dataset=dataset, collate=whole), config, run=run)


def whole(batch: Windows) -> Windows:
    """A batch is made at once."""
    return batch


def on(batch: Windows, device: str) -> Windows:
    """The batch in the memory of the device."""
    window = WindowBatch(*(one if one is None else one.to(device) for one in batch.window))
    return Windows(batch.short_term.to(device), window, batch.labels.to(device))


def show(found: dict[str, Any], console: Console) -> None:
    """A table of both feeds."""
    table = Table(title=f"windows {'×'.join(map(str, found['window']))}")
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
