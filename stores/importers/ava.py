r"""AVA actions: boxes of persons at key times, each with one action.

Source: Gu et al., AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions, CVPR
2018; files of versions 2.1 and 2.2 as published, and of 1.0. Kinds of files, told by their text:
- actions: `video,time,x1,y1,x2,y2,action,person`, no header; version 1.0 has no person and may be
  separated by tabs; `time` is in whole seconds of the whole film, `0902` to `1798`;
- excluded times: `video,time`; the official evaluation leaves them out;
- label maps: `label { name label_id label_type }`, all 80 classes, or `item { name id }`, the 60
  that the official evaluation counts.
A line of actions is a line of task 'action' with `time`, box, `label_id`, `label` (null without a
label map) and `instance_id` (the person); an excluded time is a line of task 'excluded'.

Departures: a label map of all 80 alone still says which 60 count, by the numbers known; with the 60
alone the other 20 are lines without a `label`. Train, validation and test are told apart by split,
so there is one file of each kind and split.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from reelbank.stores.importers.label_set import LabelSet, Line, ReadOptions, class_table
from reelbank.stores.importers.lines import (
    BadLineError,
    Faults,
    first_row,
    line_table,
    parsed,
    rows,
)
from reelbank.stores.importers.pbtxt import read_label_map
from reelbank.stores.importers.splits import split_of, version_of
from reelbank.stores.importers.values import MAX_CLASS, MAX_INSTANCE, box, named, seconds, whole

NOT_EVALUATED = frozenset(
    (2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75)
)
"""The 20 of the 80 classes that the official evaluation leaves out, in every version."""

ALL_CLASSES = frozenset(range(1, 81))

_MAP_START = re.compile(r"\s*(item|label)\b")
_KIND_OF_WIDTH = {8: "actions", 7: "actions", 2: "excluded"}
_KNOWN = (
    "actions (video,time,x1,y1,x2,y2,action,person), excluded times (video,time), "
    "label map (item {...} or label {...})"
)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    kind: str
    """'actions' or 'excluded'; of a label map 'item' or 'label'."""
    delimiter: str
    num_columns: int
    split: str | None


@dataclass(frozen=True, slots=True)
class _Classes:
    names: dict[int, str]
    evaluated: Set[int]
    allowed: Set[int] | None
    """Numbers that a line may have; None: any."""


def read(files: Sequence[Path], options: ReadOptions) -> LabelSet:
    """Check and read the files; ValueError names bad lines."""
    known = [_recognised(path, options) for path in files]
    maps = [file for file in known if file.kind in ("item", "label")]
    data = [file for file in known if file not in maps]
    if not any(file.kind == "actions" for file in data):
        raise ValueError(f"no file of actions among {', '.join(path.name for path in files)}")
    _check_distinct(data)
    classes = _classes_of(maps)
    faults = Faults()
    lines = line_table(chain.from_iterable(_lines(file, classes, faults) for file in data))
    faults.raise_if_any()
    return LabelSet(
        name=options.name or "ava",
        version=version_of([file.path for file in data], options),
        lines=lines,
        classes=class_table({"action": classes.names}, {"action": classes.evaluated}),
        notes=() if maps else ("no label map among the files: labels have numbers, no names",),
    )


def _recognised(path: Path, options: ReadOptions) -> _File:
    delimiter = "\t" if "\t" in "".join(first_row(path)) else ","
    cells = first_row(path, delimiter)
    match = _MAP_START.match(cells[0])
    kind = match[1] if match else _KIND_OF_WIDTH.get(len(cells))
    if kind is None:
        raise ValueError(
            f"{path.name} is no AVA file: its first line has {len(cells)} columns; known: {_KNOWN}"
        )
    # The name of a label map may hold 'train' or 'test' without meaning a split.
    split = None if match else split_of(path, options)
    return _File(path, kind, delimiter, len(cells), split)


def _check_distinct(files: Sequence[_File]) -> None:
    seen: dict[tuple[str, str | None], _File] = {}
    for file in files:
        other = seen.setdefault((file.kind, file.split), file)
        if other is not file:
            raise ValueError(
                f"{other.path.name} and {file.path.name} are both {file.kind} of split "
                f"{file.split!r}: give one file of each kind and split, so that their lines can "
                "be told apart"
            )


def _classes_of(maps: Sequence[_File]) -> _Classes:
    names: dict[int, str] = {}
    items: set[int] = set()
    for file in maps:
        found = read_label_map(file.path)
        items |= found.keys() if file.kind == "item" else set()
        for number, name in found.items():
            if names.setdefault(number, name) != name:
                raise ValueError(
                    f"{file.path.name}: class {number} is {name!r}, and {names[number]!r} in "
                    "another label map; give maps of one version"
                )
    full = names.keys() - NOT_EVALUATED if names.keys() == ALL_CLASSES else names.keys()
    evaluated = items or full
    # The map of the 60 is used with files of all 80.
    of_all = evaluated == ALL_CLASSES - NOT_EVALUATED
    return _Classes(names, evaluated, (ALL_CLASSES if of_all else set(names)) if maps else None)


def _lines(file: _File, classes: _Classes, faults: Faults) -> Iterator[Line]:
    def line_of(cells: list[str]) -> tuple[Line]:
        if len(cells) != file.num_columns:
            raise BadLineError(f"{len(cells)} columns, the lines before have {file.num_columns}")
        line = {
            "source_name": named(cells[0]),
            "split": file.split,
            "task": "action",
            "time": seconds(cells[1], "time"),
        }
        if file.kind == "excluded":
            return (line | {"task": "excluded"},)
        return (line | _action(cells, classes),)

    return parsed(file.path, rows(file.path, file.delimiter), line_of, faults)


def _action(cells: Sequence[str], classes: _Classes) -> Line:
    x1, y1, x2, y2 = box(cells[2:6])
    action = whole(cells[6], "action", MAX_CLASS)
    if classes.allowed is not None and action not in classes.allowed:
        raise BadLineError(f"action {action} is not in the label map")
    return {
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "label_id": action,
        "label": classes.names.get(action),
        "instance_id": whole(cells[7], "person", MAX_INSTANCE) if len(cells) > 7 else None,
    }
