"""A small store: films in which coloured blocks slide about; the label of a block is its colour."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reelbank.heads.feature_bank.config import OperatorConfig
from reelbank.jobs.training.clips.config import AugmentConfig, ClipsConfig, ViewsConfig
from reelbank.jobs.training.config import SGDConfig, TrainingConfig
from reelbank.jobs.training.settings import (
    AvaLabels,
    EvaluationSettings,
    HeadSettings,
    LongTermSettings,
    TrainSettings,
)
from reelbank.pipeline.theatre.writer import FilmWriter
from reelbank.stores.labels import label_schema
from reelbank.stores.store import Store
from tests.jobs.extraction import extract

WIDTH, HEIGHT, RATE, SECONDS = 80, 48, 8, 8
SIDE = 32
"""Short side of what the network sees: small, for speed."""
COLOURS = {1: (230, 40, 40), 2: (40, 60, 230)}
"""By number of the class; the others of `CLASSES` never occur."""
CLASSES = {1: "red", 2: "blue", 3: "green"}
FILMS = {"learn_0.mp4": "train", "learn_1.mp4": "train", "try_0.mp4": "validation"}


@dataclass(frozen=True)
class Block:
    """Something to be seen at one moment of a film."""

    film: str
    second: int
    label_id: int
    box: tuple[float, float, float, float]


def stage(folder: Path) -> Store:
    """Films, extracted with known boxes and a small network, with their labels."""
    films, boxes = folder / "films", folder / "boxes"
    films.mkdir(parents=True)
    boxes.mkdir()
    blocks = [block for number, name in enumerate(FILMS) for block in _shoot(films, name, number)]
    lines = [f"{b.film[:-4]},{b.second},{','.join(map(str, b.box))},person" for b in blocks]
    (boxes / "all.csv").write_text("\n".join(["name,time,x1,y1,x2,y2,label", *lines]))
    store = extract(
        films,
        folder / "store",
        f"detector={{kind: labels, labels: {boxes}, miss_rate: 0.0, jitter: 0.02}}",
        "tracks=null",
        "shots=null",
        f"backbones.main.short_side={SIDE}",
        "backbones.main.num_frames=4",
        "backbones.main.stride=8",
        "backbones.main.weights=null",
        "resources.threads=1",
    ).store
    commit_labels(store, "blocks", [_line(block) for block in blocks])
    return store


def commit_labels(store: Store, name: str, lines: list[dict[str, Any]]) -> None:
    """Bring in lines of a label set `name@1` whose classes are `CLASSES`, for each of its tasks."""
    tasks = sorted({line["task"] for line in lines})
    classes = [
        {"task": task, "label_id": number, "label": label, "evaluated": number != 3}
        for task in tasks
        for number, label in CLASSES.items()
    ]
    store.commit_labels(
        name,
        "1",
        lines=pa.Table.from_pylist(lines, schema=label_schema("labels")),
        classes=pa.Table.from_pylist(classes, schema=label_schema("classes")),
        details={},
        run="labels",
    )


def line(film: str, **columns: Any) -> dict[str, Any]:
    """A line of a label set."""
    given = {"video_id": film, "split": FILMS[film], "source_name": film, "source_line": 1}
    return given | columns


def _line(block: Block) -> dict[str, Any]:
    corners = dict(zip(("x1", "y1", "x2", "y2"), block.box, strict=True))
    label = {"label_id": block.label_id, "label": CLASSES[block.label_id]}
    return line(block.film, task="action", time=float(block.second), **corners, **label)


def _shoot(folder: Path, name: str, seed: int) -> list[Block]:
    """Draw and encode a film: one block to the left and one to the right, each its own way."""
    random = np.random.default_rng(seed)
    labels = random.integers(1, 3, (SECONDS + 1, 2))
    found = []
    with FilmWriter(folder / name, width=WIDTH, height=HEIGHT, rate=RATE) as writer:
        for frame in range(SECONDS * RATE):
            picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            for side in (0, 1):
                # Half a second before a moment the block has the colour that it has then.
                second = round(frame / RATE)
                left, top = 4 + 40 * side + frame % 12, 6 + (frame // 3) % 16
                label = int(labels[second, side])
                picture[top : top + 20, left : left + 20] = COLOURS[label]
                if frame % RATE == 0:
                    corners = np.array([left, top, left + 20, top + 20])
                    box = corners / [WIDTH, HEIGHT, WIDTH, HEIGHT]
                    found.append(Block(name, frame // RATE, label, tuple(box.tolist())))
            writer.write(picture)
    return found


def clips_config(**changes: Any) -> ClipsConfig:
    """The network of the store's banks, with the same weights."""
    given = {
        "short_side": SIDE,
        "num_frames": 4,
        "stride": 8,
        "augment": AugmentConfig(short_side=(SIDE, 40), crop_size=28),
        "test": ViewsConfig(crops="whole"),
    }
    return ClipsConfig(**(given | changes))


def recipe(**changes: Any) -> TrainSettings:
    """A head on clips of the store and on windows of their boxes."""
    given = {
        "labels": AvaLabels(set="blocks@1", min_iou=0.8),
        "short_term": clips_config(),
        "long_term": LongTermSettings(bank="person", support_seconds=4.0, rows_per_time=2),
        "head": HeadSettings(operator=OperatorConfig(inner_dim=16)),
        "training": training(),
        "test": EvaluationSettings(num_draws=0),
    }
    return TrainSettings(**(given | changes))


def training(**changes: Any) -> TrainingConfig:
    """A few steps."""
    given = {
        "num_steps": 3,
        "batch_size": 4,
        "optimiser": SGDConfig(learning_rate=0.01),
        "log_every": 1,
        "tensorboard": False,
    }
    return TrainingConfig(**(given | changes))


def without_bank(settings: TrainSettings) -> TrainSettings:
    """The same as a plain 3D CNN."""
    return replace(settings, long_term=None, head=HeadSettings(bank="none"))
