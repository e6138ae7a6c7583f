"""A small store with labels of each kind: rows say what is visible, and cues say the rest.

Four films of twenty seconds. At each second there are two persons with a label and, by score, a
car between them and a false person after them, so that ranks and places differ. Classes `sit` and
`stand` are in a person's own row; `answer` and `tune` depend on a cue of the second before.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reelbank.jobs.training.config import AdamWConfig, TrainingConfig
from reelbank.jobs.training.settings import (
    AvaLabels,
    BankShortTerm,
    EvaluationSettings,
    HeadSettings,
    LongTermSettings,
    OperatorConfig,
    TrainSettings,
)
from reelbank.stores.labels import label_schema
from reelbank.stores.store import Store, open_store
from tests.stores.builders import commit_bank, commit_lines, unit

FILMS = {
    "train/one.mp4": "train",
    "train/two's.mp4": "train",
    "val/one.mp4": "validation",
    "val/two.mp4": "validation",
}
SECONDS = 20
EXCLUDED = ("train/one.mp4", 7.0), ("val/two.mp4", 3.0)
UNLABELLED = "val/one.mp4", 8.0
"""Has no line, between moments that have."""
ACTIONS = {1: "sit", 2: "stand", 3: "answer", 4: "tune", 5: "cue"}
SEEN = (1, 2, 3, 4)
"""Classes that are evaluated."""
DIM = 8
VERBS, NOUNS = ("take", "put", "wash"), ("cup", "pan", "lid", "tap", "egg", "pot")
BOXES = ((0.1, 0.2, 0.4, 0.9), (0.5, 0.1, 0.9, 0.8))
FALSE_BOX = (0.0, 0.0, 0.05, 0.05)


def make_labelled_store(folder: Path) -> Store:
    """Detections, banks `person` and `clip`, and label sets ava@1, charades@1 and epic@1."""
    store = open_store(folder, create=True)
    rng = np.random.default_rng(0)
    plays = {film: [play(rng) for _ in BOXES] for film in FILMS}
    commit_films(store, rng)
    commit_rows(store, plays, rng)
    actions = [line for film in FILMS for line in action_lines(film, FILMS[film], plays[film])]
    commit_set(store, "ava", actions, {"action": ACTIONS}, evaluated=SEEN)
    spans, segments = [], []
    for film, split in FILMS.items():
        spans += span_lines(film, split, rng)
        segments += segment_lines(film, split, rng)
    commit_set(store, "charades", spans, {"action": {0: "hold", 1: "open", 4: "pour"}})
    names = {"verb": dict(enumerate(VERBS)), "noun": dict(enumerate(NOUNS))}
    commit_set(store, "epic", segments, names)
    return store


def play(rng: np.random.Generator) -> list[set[int]]:
    """Classes of a person at each second; a pose before is `answer` after a cue, else `tune`."""
    found: list[set[int]] = []
    for second in range(SECONDS):
        classes = {int(rng.integers(1, 3))}
        if second % 2 == 0 and rng.random() < 0.5:
            classes.add(5)
        if second % 2 == 1:
            classes.add(3 if 5 in found[-1] else 4)
        found.append(classes)
    return found


def commit_films(store: Store, rng: np.random.Generator) -> None:
    """The films, and what is detected in them."""
    films = [
        {
            "video_id": film,
            "source": f"/films/{film}",
            "digest": "d0",
            "end_seconds": float(SECONDS),
            "covered_seconds": float(SECONDS),
            "status": "ok",
        }
        for film in FILMS
    ]
    units = [unit(film, "video", num_rows=1) for film in FILMS]
    commit_lines(store, "video", units, {"videos": films})
    lines = [line for film in FILMS for line in detections_of(film, rng)]
    units = [unit(film, "detections", num_rows=4 * SECONDS) for film in FILMS]
    commit_lines(store, "detections", units, {"detections": lines})


def detections_of(film: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    lines = []
    for second in range(SECONDS):
        shifted = [tuple(np.add(box, rng.uniform(-0.002, 0.002, 4))) for box in BOXES]
        ranked = [
            ("person", 0.97, shifted[0]),
            ("car", 0.95, FALSE_BOX),
            ("person", 0.92, shifted[1]),
            ("person", 0.6 + 0.3 * rng.random(), FALSE_BOX),
        ]
        for rank, (category, score, box) in enumerate(ranked):
            place = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
            line = {"video_id": film, "time": float(second), "rank": rank, "category": category}
            lines.append(line | {"score": score, "appearance": bytes(48)} | place)
    return lines


def commit_rows(
    store: Store, plays: dict[str, list[list[set[int]]]], rng: np.random.Generator
) -> None:
    """Banks of the three persons at each second, and of their mean as the clip's row."""
    pieces: dict[str, list[Any]] = {"person": [], "clip": []}
    for film, persons in plays.items():
        held = {float(second): rows_at(persons, second, rng) for second in range(SECONDS)}
        clips = {time: rows.mean(0, keepdims=True) for time, rows in held.items()}
        for bank, rows in (("person", held), ("clip", clips)):
            about = {"kind": bank, "key_step_seconds": 1.0}
            about |= {"category": "person"} if bank == "person" else {}
            pieces[bank].append((unit(film, f"bank:{bank}", details={"bank": about}), rows))
    for bank, some in pieces.items():
        commit_bank(store, bank, some)


def rows_at(persons: list[list[set[int]]], second: int, rng: np.random.Generator) -> np.ndarray:
    """What is visible of each person; the false one, which comes last, is noise."""
    rows = 0.1 * rng.standard_normal((3, DIM))
    for number, classes in enumerate(one[second] for one in persons):
        rows[number, number] += 1  # Who it is.
        rows[number, 2] += 1 in classes
        rows[number, 3] += 5 in classes
        rows[number, 4] += second % 2
    return rows.astype(np.float16)


def action_lines(film: str, split: str, plays: list[list[set[int]]]) -> list[dict[str, Any]]:
    """As AVA has them; nothing of the first second."""
    lines: list[dict[str, Any]] = []
    for second in range(1, SECONDS):
        if (film, second) == UNLABELLED:
            continue
        for person, classes in enumerate(one[second] for one in plays):
            box = dict(zip(("x1", "y1", "x2", "y2"), BOXES[person], strict=True))
            about = {"video_id": film, "split": split, "task": "action", "time": float(second)}
            lines += [
                about | box | {"label_id": number, "label": ACTIONS[number]}
                for number in sorted(classes)
            ]
    about = {"video_id": film, "split": split, "task": "excluded"}
    return lines + [about | {"time": time} for video, time in EXCLUDED if video == film]


def span_lines(film: str, split: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """As Charades has them."""
    lines = []
    for number in (0, 1, 4):
        start = float(rng.uniform(0, 12))
        about = {"video_id": film, "split": split, "task": "action", "label_id": number}
        end = start + float(rng.uniform(1, 7))
        lines.append(about | {"label": "x", "start_seconds": start, "end_seconds": end})
    return lines[: 2 + len(film) % 2]


def segment_lines(film: str, split: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """As EPIC-Kitchens has them: a verb and a noun for each segment."""
    lines: list[dict[str, Any]] = []
    for number in range(8):
        start = 2.3 * number
        about = {"video_id": film, "split": split, "segment_id": f"{film}-{number}"}
        about |= {"start_seconds": start, "end_seconds": start + 1.1}
        verb, noun = int(rng.integers(len(VERBS))), int(rng.integers(len(NOUNS)))
        lines.append(about | {"task": "verb", "label_id": verb, "label": VERBS[verb]})
        lines.append(about | {"task": "noun", "label_id": noun, "label": NOUNS[noun]})
    return lines


def commit_set(
    store: Store,
    name: str,
    lines: list[dict[str, Any]],
    classes: dict[str, dict[int, str]],
    *,
    evaluated: tuple[int, ...] | None = None,
    version: str = "1",
) -> None:
    """A label set as an importer would bring it in."""
    given = [
        line | {"source_name": line["video_id"], "source_line": number}
        for number, line in enumerate(lines, 1)
    ]
    known = [
        {
            "task": task,
            "label_id": number,
            "label": label,
            "evaluated": evaluated is None or number in evaluated,
        }
        for task, names in classes.items()
        for number, label in names.items()
    ]
    store.commit_labels(
        name,
        version,
        lines=pa.Table.from_pylist(given, schema=label_schema("labels")),
        classes=pa.Table.from_pylist(known, schema=label_schema("classes")),
        details={"importer": "test"},
        run="import",
    )


def recipe(**changes: Any) -> TrainSettings:
    """LFB on the actions, small and quick."""
    given: dict[str, Any] = {
        "labels": AvaLabels(set="ava@1"),
        "short_term": BankShortTerm(bank="person"),
        "long_term": LongTermSettings(bank="person", support_seconds=6.0, rows_per_time=2),
        "head": HeadSettings(operator=OperatorConfig(inner_dim=8), classifier_dropout=0.1),
        "test": EvaluationSettings(num_draws=20),
        "training": training(),
    }
    return TrainSettings(**(given | changes))


def training(**changes: Any) -> TrainingConfig:
    """A few steps."""
    given: dict[str, Any] = {
        "num_steps": 6,
        "batch_size": 8,
        "optimiser": AdamWConfig(learning_rate=0.01),
        "tensorboard": False,
        "log_every": 1,
    }
    return TrainingConfig(**(given | changes))
