r"""LVU: nine tasks about whole clips of films.

Source: Wu and Krähenbühl, Towards Long-Form Video Understanding, CVPR 2021; release 1.0, a folder
for each task with `train.csv`, `val.csv` and `test.csv`, separated by spaces. The header tells the
kind of task, the folder or the file's name which one:
- `class_id class_name youtube_id imdb_id`: relationship, way_speaking, scene, director, writer,
  year, genre; a name `\N` is unknown and gives a line without `label`;
- `view_count youtube_id imdb_id`: `value` is the number of views;
- `like_count dislike_count youtube_id imdb_id`: `value` is the like ratio as the authors define it,
  10 · likes / (likes + dislikes).
A row is one line of its task, about the whole video: it has no time.

Departures: the film that a clip is from (imdb_id) and the two counts behind a ratio are left out;
the logarithm of the views is left to who trains.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from reelbank.stores.importers.label_set import LabelSet, Line, ReadOptions, class_table
from reelbank.stores.importers.lines import (
    BadLineError,
    Faults,
    first_row,
    line_table,
    parsed,
    record,
    rows,
)
from reelbank.stores.importers.splits import split_of
from reelbank.stores.importers.values import MAX_CLASS, MAX_INSTANCE, named, whole

CLASS_TASKS = ("relationship", "way_speaking", "scene", "director", "writer", "year", "genre")
RELEASE = "1.0"
UNKNOWN_NAME = r"\N"

_TASKS_OF_HEADER = {
    ("class_id", "class_name", "youtube_id", "imdb_id"): CLASS_TASKS,
    ("view_count", "youtube_id", "imdb_id"): ("view_count",),
    ("like_count", "dislike_count", "youtube_id", "imdb_id"): ("like_ratio",),
}


def read(files: Sequence[Path], options: ReadOptions) -> LabelSet:
    """Check and read the files; ValueError names bad lines."""
    tasks = [_task_of(path) for path in files]
    names: dict[str, dict[int, str]] = {task: {} for task in tasks if task in CLASS_TASKS}
    faults = Faults()
    lines = line_table(
        chain.from_iterable(
            _lines(path, task, split_of(path, options), names.get(task), faults)
            for path, task in zip(files, tasks, strict=True)
        )
    )
    faults.raise_if_any()
    return LabelSet(
        name=options.name or "lvu",
        version=options.version or RELEASE,
        lines=lines,
        classes=class_table(names),
    )


def _task_of(path: Path) -> str:
    header = tuple(first_row(path, " "))
    if header not in _TASKS_OF_HEADER:
        known = " | ".join(" ".join(names) for names in _TASKS_OF_HEADER)
        raise ValueError(
            f"{path.name} is no LVU file: its header is {' '.join(header)[:200]}; known: {known}"
        )
    tasks = _TASKS_OF_HEADER[header]
    if len(tasks) == 1:
        return tasks[0]
    found = [task for task in tasks if path.stem.startswith(task)]
    found = found or [task for task in tasks if path.absolute().parent.name == task]
    if len(found) != 1:
        raise ValueError(
            f"{path.name} does not say which task it is of; its folder, or the start of its name, "
            f"must be one of {', '.join(tasks)}"
        )
    return found[0]


def _lines(
    path: Path,
    task: str,
    split: str | None,
    names: dict[int, str] | None,
    faults: Faults,
) -> Iterator[Line]:
    numbered = rows(path, " ")
    _, header = next(numbered)
    answer = _value(task) if names is None else _class(names)

    def line_of(cells: list[str]) -> tuple[Line]:
        row = record(header, cells)
        line = {"source_name": named(row["youtube_id"]), "split": split, "task": task}
        return (line | answer(row),)

    return parsed(path, numbered, line_of, faults)


def _class(names: dict[int, str]) -> Callable[[dict[str, str]], Line]:
    def answer(row: dict[str, str]) -> Line:
        number, name = whole(row["class_id"], "class_id", MAX_CLASS), row["class_name"]
        if not name or names.setdefault(number, name) != name:
            raise BadLineError(f"class {number} is {name!r}, before it was {names.get(number)!r}")
        return {"label_id": number, "label": None if name == UNKNOWN_NAME else name}

    return answer


def _value(task: str) -> Callable[[dict[str, str]], Line]:
    return _views if task == "view_count" else _like_ratio


def _views(row: dict[str, str]) -> Line:
    return {"value": float(whole(row["view_count"], "view_count", MAX_INSTANCE))}


def _like_ratio(row: dict[str, str]) -> Line:
    likes, dislikes = (
        whole(row[column], column, MAX_INSTANCE) for column in ("like_count", "dislike_count")
    )
    if likes + dislikes == 0:
        raise BadLineError("neither likes nor dislikes: there is no ratio")
    return {"value": 10 * likes / (likes + dislikes)}
