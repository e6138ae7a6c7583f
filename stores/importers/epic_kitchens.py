"""EPIC-KITCHENS: segments of kitchen films, each with a verb and a noun.

Source: Damen et al., Scaling Egocentric Vision, ECCV 2018 (-55), and Rescaling Egocentric Vision,
IJCV 2022 (-100); CSV files as published. Kinds of files, told by their header:
- segments: `video_id`, `start_timestamp`, `stop_timestamp` (HH:MM:SS.ss), `participant_id`, with
  `narration_id` (-100) or `uid` (-55); with `verb_class` and `noun_class`, but for the test sets;
- classes: `id,key,instances,category` (-100; the file's name says verb or noun),
  `verb_id,class_key,verbs` and `noun_id,class_key,nouns` (-55);
- tail classes (-100): one column `verb` or `noun` of numbers;
- unseen participants (-100): one column `participant_id`; the file's name says of which split.
A segment is two lines, of tasks 'verb' and 'noun', that share `segment_id`; a segment without
labels is one line of task 'segment'. Tail classes are classes of tasks 'tail_verb' and 'tail_noun'.

Seen and unseen: test sets S1 and S2 of -55 are splits 'test_seen' and 'test_unseen'; where the
unseen participants of a split are given, it becomes '<split>_seen' and '<split>_unseen'.
Departures: nouns after the first, the words of the narration and frame numbers are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from reelbank.stores.importers.splits import split_of, words_of
from reelbank.stores.importers.values import MAX_CLASS, check_span, clock_seconds, named, whole

TASKS = ("verb", "noun")

_SEGMENT = {"video_id", "participant_id", "start_timestamp", "stop_timestamp"}
_LABELLED = {"verb_class", "noun_class"}
# Columns of number and name -> edition.
_CLASS_COLUMNS = {
    ("id", "key"): "100",
    ("verb_id", "class_key"): "55",
    ("noun_id", "class_key"): "55",
}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    kind: str
    """'segments', 'classes', 'tail' or 'unseen'."""
    header: tuple[str, ...]
    edition: str | None
    """'55', '100', or None where both have such files."""


@dataclass(slots=True)
class _Context:
    """What the smaller files say, for the reading of the segments."""

    names: dict[str, dict[int, str]] = field(default_factory=dict)
    unseen: dict[str | None, set[str]] = field(default_factory=dict)


def read(files: Sequence[Path], options: ReadOptions) -> LabelSet:
    """Check and read the files; ValueError names bad lines."""
    known = [_recognised(path) for path in files]
    segments = [file for file in known if file.kind == "segments"]
    if not segments:
        raise ValueError(f"no file of segments among {', '.join(path.name for path in files)}")
    editions = sorted({file.edition for file in known if file.edition})
    if len(editions) > 1:
        raise ValueError("files of EPIC-KITCHENS-55 and -100 cannot be one label set; import apart")
    faults = Faults()
    context = _context([file for file in known if file.kind != "segments"], options, faults)
    splits = [_split_of(file, options) for file in segments]
    _check_unseen(context, splits)
    lines = line_table(
        chain.from_iterable(
            _segments(file, split, context, faults)
            for file, split in zip(segments, splits, strict=True)
        )
    )
    faults.raise_if_any()
    missing = [task for task in TASKS if task not in context.names]
    notes = [
        f"no {task} classes among the files: labels have numbers, no names" for task in missing
    ]
    return LabelSet(
        name=options.name or "epic-kitchens",
        version=options.version or editions[0],
        lines=lines,
        classes=class_table(context.names),
        notes=tuple(notes),
    )


def _recognised(path: Path) -> _File:
    header = tuple(first_row(path))
    if set(header) >= _SEGMENT and {"narration_id", "uid"} & set(header):
        edition = "100" if "narration_id" in header else "55"
        return _File(path, "segments", header, edition)
    for columns, edition in _CLASS_COLUMNS.items():
        if set(header) >= set(columns):
            return _File(path, "classes", header, edition)
    if header in (("verb",), ("noun",)):
        return _File(path, "tail", header, "100")
    if header == ("participant_id",):
        return _File(path, "unseen", header, "100")
    raise ValueError(
        f"{path.name} is no EPIC-KITCHENS file of segments, classes, tail classes or unseen "
        f"participants: its header is {', '.join(header)[:200]}"
    )


def _split_of(file: _File, options: ReadOptions) -> str | None:
    split = split_of(file.path, options)
    sets = words_of(file.path) & {"s1", "s2"}
    if split != "test" or options.split is not None or file.edition != "55" or len(sets) != 1:
        return split
    return "test_seen" if sets == {"s1"} else "test_unseen"


def _context(files: Sequence[_File], options: ReadOptions, faults: Faults) -> _Context:
    context = _Context()
    for file in sorted(files, key=lambda file: file.kind):
        if file.kind == "classes":
            task = _task_of(file)
            if task in context.names:
                raise ValueError(f"{file.path.name}: the {task} classes are there twice; give one")
            context.names[task] = _class_names(file, faults)
        elif file.kind == "unseen":
            people = context.unseen.setdefault(split_of(file.path, options), set())
            people.update(cells[0] for _, cells in _body(file.path))
        else:
            _add_tail(file, context, faults)
    return context


def _task_of(file: _File) -> str:
    named_by = " ".join(words_of(file.path) if file.edition == "100" else file.header)
    found = [task for task in TASKS if task in named_by]
    if len(found) != 1:
        raise ValueError(
            f"{file.path.name}: its header is the same for verbs and nouns; name the file "
            "EPIC_100_verb_classes.csv or EPIC_100_noun_classes.csv"
        )
    return found[0]


def _body(path: Path) -> Iterator[tuple[int, list[str]]]:
    numbered = rows(path)
    next(numbered)
    return numbered


def _class_names(file: _File, faults: Faults) -> dict[int, str]:
    (columns,) = [columns for columns in _CLASS_COLUMNS if set(file.header) >= set(columns)]
    names: dict[int, str] = {}

    def take(cells: list[str]) -> tuple[Line, ...]:
        number_text, name = (record(file.header, cells)[column] for column in columns)
        number = whole(number_text, columns[0], MAX_CLASS)
        if number in names or not name:
            raise BadLineError(f"class {number} is there twice or has no name")
        names[number] = name
        return ()

    for _ in parsed(file.path, _body(file.path), take, faults):
        pass
    return names


def _add_tail(file: _File, context: _Context, faults: Faults) -> None:
    (task,) = file.header
    names = context.names.get(task, {})
    tail = context.names.setdefault(f"tail_{task}", {})

    def take(cells: list[str]) -> tuple[Line, ...]:
        number = whole(cells[0], task, MAX_CLASS)
        if number not in names:
            raise BadLineError(f"{task} {number} has no name; give the {task} classes too")
        tail[number] = names[number]
        return ()

    for _ in parsed(file.path, _body(file.path), take, faults):
        pass


def _check_unseen(context: _Context, splits: Sequence[str | None]) -> None:
    lost = [split for split in context.unseen if split not in splits]
    if lost:
        raise ValueError(
            f"unseen participants of split {lost[0]!r} are given, but no segments of that split"
        )


def _segments(file: _File, split: str | None, context: _Context, faults: Faults) -> Iterator[Line]:
    is_labelled = set(file.header) >= _LABELLED
    identity = "narration_id" if file.edition == "100" else "uid"
    unseen = context.unseen.get(split)

    def lines_of(cells: list[str]) -> list[Line]:
        row = record(file.header, cells)
        segment = _segment(row, identity)
        if unseen is None:
            segment["split"] = split
        else:
            segment["split"] = f"{split}_{'unseen' if row['participant_id'] in unseen else 'seen'}"
        if not is_labelled:
            return [segment | {"task": "segment"}]
        return [segment | _label(row, task, context.names.get(task)) for task in TASKS]

    return parsed(file.path, _body(file.path), lines_of, faults)


def _segment(row: Mapping[str, str], identity: str) -> Line:
    start = clock_seconds(row["start_timestamp"], "start_timestamp")
    end = clock_seconds(row["stop_timestamp"], "stop_timestamp")
    check_span(start, end)
    return {
        "source_name": named(row["video_id"]),
        "start_seconds": start,
        "end_seconds": end,
        "segment_id": row[identity],
        "participant": row["participant_id"],
    }


def _label(row: Mapping[str, str], task: str, names: Mapping[int, str] | None) -> Line:
    number = whole(row[f"{task}_class"], f"{task}_class", MAX_CLASS)
    if names is not None and number not in names:
        raise BadLineError(f"{task}_class {number} is not among the {task} classes")
    return {"task": task, "label_id": number, "label": names[number] if names else None}
