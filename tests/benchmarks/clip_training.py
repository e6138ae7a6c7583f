"""Training on clips decoded on the fly: how fast, how much of it is waiting, and what limits it.

Run `python -m tests.benchmarks.clip_training [--steps 20] [--loaders 0 1 2] [--height 240]
[--backbone slowonly_tiny] [--device cpu|cuda] [--output FILE.json]`. Films are drawn here (H.264, a
key frame every two seconds), the batch is 8 clips with a box each and the head that of a 3D CNN.

For each number of loaders: steps a second and the share of time in which a batch was waited for.
Beside it how fast each of the two would be alone: clips a second that one process decodes and
augments, and clips a second that the network learns from when the batch is there. Their quotient is
the number of loaders (each with a core of its own) from which on arithmetic is the limit, and below
which decoding is. Times are of this machine now.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.heads.feature_bank.losses import classification_loss
from reelbank.jobs.training.batches import map_tensors
from reelbank.jobs.training.clips.config import ClipsConfig
from reelbank.jobs.training.clips.dataset import ClipBatch, TrainingClips, collate_clips
from reelbank.jobs.training.clips.model import ClipModel
from reelbank.jobs.training.config import SGDConfig, TrainingConfig
from reelbank.jobs.training.labelled.samples import Samples, boxed_clips
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.loop import fit
from reelbank.pipeline.backbones.models import build_backbone
from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.theatre.writer import FilmWriter
from reelbank.stores.records import VideoInfo

BATCH, NUM_CLASSES, RATE = 8, 60, 24


class LearnClips:
    """Classes of boxes."""

    def __init__(self, config: ClipsConfig) -> None:
        torch.manual_seed(0)
        backbone = build_backbone(config.backbone).module
        head = FeatureBankHeadConfig(
            short_term_dim=backbone.feature_dim, num_classes=NUM_CLASSES, bank="none"
        )
        self.model = ClipModel(backbone, make_head(head))

    def losses(self, batch: ClipBatch) -> Iterator[Tensor]:
        logits = self.model(batch.frames, batch.boxes, batch.clip_of)
        yield classification_loss(logits, batch.targets, "sigmoid")

    def weight(self, batch: ClipBatch) -> float:
        return float(len(batch.targets))

    def evaluate(self) -> dict[str, float]:
        return {}


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--loaders", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--films", type=int, default=2)
    parser.add_argument("--backbone", default="slowonly_tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--output", type=Path, default=Path("benchmarks-out/clip_training.json"))
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
    """Both parts alone, then together with each number of loaders."""
    config = ClipsConfig(backbone=options.backbone)
    with tempfile.TemporaryDirectory(prefix="reelbank-benchmark-") as name:
        folder = Path(name)
        films = {path.name: probed(path) for path in shoot(folder, options)}
        dataset = TrainingClips(every_second(films), films, config)
        decoded = decoding_rate(dataset)
        learned = learning_rate(dataset, config, options)
        trained = [
            train(dataset, config, options, loaders, folder / f"run-{loaders}")
            for loaders in options.loaders
        ]
    return {
        "decoded_per_second": decoded,
        "learned_per_second": learned,
        "loaders_needed": learned / decoded,
        "with_loaders": trained,
    }


def shoot(folder: Path, options: argparse.Namespace) -> list[Path]:
    """Films of blurred noise that drifts, so that a frame costs about what a real one does."""
    width, height = options.height * 16 // 9 // 2 * 2, options.height
    paths = []
    for number in range(options.films):
        random = np.random.default_rng(number)
        noise = random.integers(0, 256, (height // 8 + 2, width // 8 + 200, 3)).astype(np.uint8)
        canvas = noise.repeat(8, axis=0).repeat(8, axis=1)
        paths.append(folder / f"{number}.mp4")
        with FilmWriter(paths[-1], width=width, height=height, rate=RATE) as writer:
            for frame in range(options.seconds * RATE):
                left, top = frame % 1200, frame % 7
                writer.write(np.ascontiguousarray(canvas[top : top + height, left : left + width]))
    return paths


def probed(path: Path) -> VideoInfo:
    status = path.stat()
    return probe(
        str(path),
        video_id=path.name,
        source=str(path),
        digest="",
        num_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    ).info


def every_second(films: dict[str, VideoInfo]) -> Samples:
    """A clip with one box at each second of each film."""
    seconds = [int(info.end_seconds) for info in films.values()]
    count = sum(seconds)
    return boxed_clips(
        tuple(films),
        np.repeat(np.arange(len(films)), seconds),
        np.concatenate([np.arange(length, dtype=np.float64) for length in seconds]),
        place=np.zeros(count, np.int64),
        boxes=np.tile([0.2, 0.1, 0.8, 0.9], (count, 1)),
        targets=np.eye(NUM_CLASSES, dtype=np.uint8)[np.arange(count) % NUM_CLASSES],
    )


def decoding_rate(dataset: TrainingClips) -> float:
    """Clips a second that this process decodes and augments: the median over twenty."""
    numbers = np.random.default_rng(0).integers(0, len(dataset), 22).tolist()
    seconds = []
    for number in numbers:
        began = time.perf_counter()
        dataset[number]
        seconds.append(time.perf_counter() - began)
    return 1 / statistics.median(seconds[2:])


def learning_rate(
    dataset: TrainingClips, config: ClipsConfig, options: argparse.Namespace
) -> float:
    """Clips a second that the network learns from when they are there: the median of five steps."""
    task = LearnClips(config)
    task.model.to(options.device).train()
    batch = collate_clips([dataset[number] for number in range(BATCH)])
    batch = map_tensors(batch, lambda one: one.to(options.device))
    precision = getattr(torch, options.precision)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        with torch.autocast(options.device, precision, enabled=precision != torch.float32):
            (loss,) = task.losses(batch)
        torch.autograd.backward(loss)
        loss.item()
        seconds.append(time.perf_counter() - began)
    return BATCH / statistics.median(seconds[2:])


def train(
    dataset: TrainingClips,
    config: ClipsConfig,
    options: argparse.Namespace,
    loaders: int,
    run: Path,
) -> dict[str, Any]:
    """The loop's own figures."""
    training = TrainingConfig(
        num_steps=options.steps,
        batch_size=BATCH,
        optimiser=SGDConfig(learning_rate=0.001),
        precision=options.precision,
        device=options.device,
        loaders=loaders,
        checkpoint_every=None,
        tensorboard=False,
    )
    data = TrainingData(dataset=dataset, collate=collate_clips)
    result = fit(LearnClips(config), data, training, run=run)
    return {
        "loaders": loaders,
        "clips_per_second": result.steps_per_second * BATCH,
        "waiting_share": result.waiting_share,
    }


def show(found: dict[str, Any], console: Console) -> None:
    """A table, and what limits."""
    table = Table(title="clips decoded on the fly")
    for name in ("loaders", "clips/s", "waiting for data"):
        table.add_column(name)
    for one in found["with_loaders"]:
        rate, share = f"{one['clips_per_second']:.3g}", f"{one['waiting_share']:.1%}"
        table.add_row(str(one["loaders"]), rate, share)
    console.print(table)
    console.print(
        f"alone: {found['decoded_per_second']:.3g} clips/s decoded by one process, "
        f"{found['learned_per_second']:.3g} clips/s learned, which takes "
        f"{found['loaders_needed']:.1f} loaders; with fewer of them decoding is the limit"
    )


if __name__ == "__main__":
    main()
