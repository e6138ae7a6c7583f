"""Hand-made labels: a CSV file whose header names the columns, in any order.

Ours; an empty cell is no value. `task` and the video are needed, the rest as the task asks:
- `name`, matched to the videos by a pattern, or `video_id`, a whole id of the store;
- `time`, or `start_seconds` and `end_seconds`, or none: the line is about the whole video;
- `x1`, `y1`, `x2`, `y2`: a box in [0, 1];
- `label`, `label_id`, `value`, `instance_id`, `segment_id`, `participant`, `split`.
The classes are the pairs of `label_id` and `label` that occur.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from reelbank.stores.importers.label_set import (
    LINE_SCHEMA,
    LabelSet,
    Line,
    ReadOptions,
    class_table,
)
from reelbank.stores.importers.lines import (
    BadLineError,
    Faults,
    first_row,
    line_table,
    parsed,
    record,
    rows,
)
from reelbank.stores.importers.values import (
    MAX_CLASS,
    MAX_INSTANCE,
    box,
    check_span,
    named,
    number,
    seconds,
    whole,
)

COLUMNS = frozenset(LINE_SCHEMA.names) - {"source_name", "source_line"} | {"name", "video_id"}

_BOX = ("x1", "y1", "x2", "y2")
_TEXTS = ("label", "segment_id", "participant")

Names = dict[str, dict[int, str]]


def read(files: Sequence[Path], options: ReadOptions) -> LabelSet:
    """Check and read the files; ValueError names bad lines."""
    headers = {path: _header(path, options) for path in files}
    keys = {"video_id" if "video_id" in header else "name" for header in headers.values()}
    if len(keys) > 1:
        raise ValueError("some files have a column name, others video_id; use one of the two")
    names: Names = {}
    faults = Faults()
    lines = line_table(
        chain.from_iterable(
            _lines(path, header, options, names, faults) for path, header in headers.items()
        )
    )
    faults.raise_if_any()
    return LabelSet(
        name=options.name or _name_of(files),
        version=options.version or "1",
        lines=lines,
        classes=class_table(names),
        id_format="{path}" if keys == {"video_id"} else None,
    )


def _header(path: Path, options: ReadOptions) -> list[str]:
    header = first_row(path)
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) != len(header):
        raise ValueError(
            f"{path.name}: its header must name columns, each once, among "
            f"{', '.join(sorted(COLUMNS))}; found {', '.join(unknown or header)[:200]}"
        )
    if "task" not in header or ("name" in header) == ("video_id" in header):
        raise ValueError(f"{path.name}: its header must name task, and either name or video_id")
    for group in (_BOX, ("start_seconds", "end_seconds")):
        if 0 < len(set(group) & set(header)) < len(group):
            raise ValueError(f"{path.name}: its header names some of {', '.join(group)}; give all")
    if options.split is not None and "split" in header:
        raise ValueError(f"{path.name} has a column split; leave --split out")
    return header


def _name_of(files: Sequence[Path]) -> str:
    if len(files) != 1:
        raise ValueError("several files make one label set: give its name with --name")
    return files[0].stem


def _lines(
    path: Path, header: Sequence[str], options: ReadOptions, names: Names, faults: Faults
) -> Iterator[Line]:
    numbered = rows(path)
    next(numbered)

    def line_of(cells: list[str]) -> tuple[Line]:
        row = {name: text for name, text in record(header, cells).items() if text}
        if "task" not in row:
            raise BadLineError("task is empty")
        line: Line = {
            "source_name": named(row.get("name", row.get("video_id", ""))),
            "task": row["task"],
            "split": options.split or row.get("split"),
        }
        return (line | _moment(row) | _box(row) | _label(row, names),)

    return parsed(path, numbered, line_of, faults)


def _moment(row: Mapping[str, str]) -> Line:
    has_start, has_end = "start_seconds" in row, "end_seconds" in row
    if has_start != has_end or ("time" in row and has_start):
        raise BadLineError("a line has a time, or start_seconds and end_seconds, or none of them")
    if "time" in row:
        return {"time": seconds(row["time"], "time")}
    if not has_start:
        return {}
    start = seconds(row["start_seconds"], "start_seconds")
    end = seconds(row["end_seconds"], "end_seconds")
    check_span(start, end)
    return {"start_seconds": start, "end_seconds": end}


def _box(row: Mapping[str, str]) -> Line:
    cells = [row[name] for name in _BOX if name in row]
    if not cells:
        return {}
    if len(cells) != len(_BOX):
        raise BadLineError("a box needs x1, y1, x2 and y2")
    return dict(zip(_BOX, box(cells), strict=True))


def _label(row: Mapping[str, str], names: Names) -> Line:
    line: Line = {name: row[name] for name in _TEXTS if name in row}
    if "value" in row:
        line["value"] = number(row["value"], "value")
    if "instance_id" in row:
        line["instance_id"] = whole(row["instance_id"], "instance_id", MAX_INSTANCE)
    if "label_id" not in row:
        return line
    line["label_id"] = whole(row["label_id"], "label_id", MAX_CLASS)
    if "label" in row:
        known = names.setdefault(row["task"], {}).setdefault(line["label_id"], row["label"])
        if known != row["label"]:
            raise BadLineError(
                f"class {line['label_id']} of {row['task']} is {row['label']!r}, before it was "
                f"{known!r}"
            )
    return line
