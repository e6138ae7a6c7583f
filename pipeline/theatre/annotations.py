"""Labels of plays in public formats: AVA for actions, LVU for whole films, ours for the rest.

Below one folder: `ava/` (a file for each split, and two label maps), `boxes/` (people and things at
every second), `shots.csv` and `lvu/<task>/` (a file for each split). Videos are named by their file
name without suffix.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

from reelbank.pipeline.theatre.performance import Box, Performance, Placed
from reelbank.pipeline.theatre.play import Play
from reelbank.pipeline.theatre.roles import ACTIONS, GENRES, RELATIONSHIPS
from reelbank.pipeline.theatre.sets import SETS

SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""Splits, and what files call them."""

VERSION = "v2.2"
FIRST_THING = 1000
"""Instance numbers of things begin here; puppets have the numbers of their identities."""

Row = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class FilmRows:
    """Lines of label files about one film."""

    name: str
    """File name without suffix."""
    split: str
    """Key of `SPLITS`."""
    actions: tuple[Row, ...]
    """AVA: video, time, x1, y1, x2, y2, action, person."""
    boxes: tuple[Row, ...]
    """name, split, task, time, x1, y1, x2, y2, label, instance_id."""
    shots: tuple[Row, ...]
    """name, split, task, start_seconds, end_seconds, label."""
    tasks: dict[str, tuple[int, str]]
    """Number and name of the film's class in each task of LVU."""


def film_rows(play: Play, *, name: str, split: str) -> FilmRows:
    """All labels of a film, read from its script and its sprites; no pixel is looked at."""
    performance = Performance(play)
    actions: list[Row] = []
    boxes: list[Row] = []
    numbers: dict[tuple[str, int], int] = {}
    next_number = FIRST_THING
    for second in range(play.config.seconds):
        placed = performance.placed(second * play.config.rate)
        seen: dict[tuple[str, int], int] = {}
        for one, corners in ((one, _corners(one.box, play)) for one in placed):
            if one.category == "person":
                number = play.identity(one.member)
            else:
                # What was there a second ago is still the same thing.
                key = (one.category, one.member)
                if key not in numbers:
                    next_number += 1
                number = seen[key] = numbers.get(key, next_number)
            boxes.append((name, split, "box", second, *corners, one.category, number))
        numbers = seen
        actions += _actions(play, second, placed, name)
    labels = play.labels
    return FilmRows(
        name=name,
        split=split,
        actions=tuple(actions),
        boxes=tuple(boxes),
        shots=tuple(_shots(play, name, split)),
        tasks={
            "relationship": (labels.relationship, RELATIONSHIPS[labels.relationship]),
            "scene": (labels.scene, SETS[labels.scene].name),
            "genre": (labels.genre, list(GENRES)[labels.genre]),
        },
    )


def write_annotations(folder: Path, films: Sequence[FilmRows]) -> None:
    """Write every file of labels below `folder`."""
    for part in ("ava", "boxes", *(f"lvu/{task}" for task in films[0].tasks)):
        (folder / part).mkdir(parents=True, exist_ok=True)
    _write_label_maps(folder / "ava")
    box_header = "name split task time x1 y1 x2 y2 label instance_id".split()
    for split, short in SPLITS.items():
        own = [film for film in films if film.split == split]
        lines = (row for film in own for row in film.actions)
        _write(folder / "ava" / f"theatre_{short}_{VERSION}.csv", lines)
        lines = (row for film in own for row in film.boxes)
        _write(folder / "boxes" / f"{short}.csv", lines, box_header)
        for task in films[0].tasks:
            lines = ((*film.tasks[task], film.name, film.name) for film in own)
            header = "class_id class_name youtube_id imdb_id".split()
            _write(folder / "lvu" / task / f"{short}.csv", lines, header, delimiter=" ")
    shot_header = "name split task start_seconds end_seconds label".split()
    _write(folder / "shots.csv", (row for film in films for row in film.shots), shot_header)


def _actions(play: Play, second: int, placed: Sequence[Placed], name: str) -> list[Row]:
    rows: list[Row] = []
    for member, actions in enumerate(play.actions_at(second)):
        corners = _corners(placed[member].box, play)
        person = play.identity(member)
        rows += [(name, f"{second:04d}", *corners, action, person) for action in sorted(actions)]
    return rows


def _shots(play: Play, name: str, split: str) -> Iterable[Row]:
    rate = play.config.rate
    for shot in play.shots:
        start, end = (f"{frame / rate:.6g}" for frame in (shot.start_frame, shot.end_frame))
        yield (name, split, "shot", start, end, SETS[shot.set_index].name)


def _corners(box: Box, play: Play) -> tuple[str, ...]:
    """Three decimals as in AVA, rounded outwards, so that nothing is cut off."""
    width, height = play.config.width, play.config.height
    low = [floor(1000 * place / size) for place, size in zip(box[:2], (width, height), strict=True)]
    high = [ceil(1000 * place / size) for place, size in zip(box[2:], (width, height), strict=True)]
    return tuple(f"{thousandths / 1000:.3f}" for thousandths in low + high)


def _write_label_maps(folder: Path) -> None:
    """All actions, and those that count, in AVA's two spellings."""
    every = [
        f'label {{\n  name: "{action.name}"\n  label_id: {action.number}\n'
        "  label_type: PERSON_MOVEMENT\n}\n"
        for action in ACTIONS
    ]
    counted = [
        f'item {{\n  name: "{action.name}"\n  id: {action.number}\n}}\n'
        for action in ACTIONS
        if action.counts
    ]
    (folder / f"theatre_action_list_{VERSION}.pbtxt").write_text("".join(every))
    (folder / f"theatre_evaluated_action_list_{VERSION}.pbtxt").write_text("".join(counted))


def _write(
    path: Path, lines: Iterable[Row], header: Sequence[str] = (), *, delimiter: str = ","
) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        if header:
            writer.writerow(header)
        writer.writerows(lines)
