"""Charades: films of homes, each with any number of actions over spans that overlap.

Source: Sigurdsson et al., Hollywood in Homes, ECCV 2016; `Charades_v1_train.csv` and `_test.csv`,
and the names in `Charades_v1_classes.txt` (`c000 Holding some clothes`). A film's actions lie in
one column, `c077 12.10 18.00;c079 11.80 17.30`: class, start and end in seconds.
An action is a line of task 'action'; a film without any is a line of task 'no_action', as an
evaluation counts it too. `participant` is the subject.

Departures: spans past the film's `length` are common and stay as they are (a note counts them);
scene, script, objects, descriptions and the ratings of quality are left out.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from reelbank.stores.importers.values import check_span, named, seconds

_NEEDED = {"id", "actions"}
_CLASS_LINE = re.compile(r"c(\d{3}) (\S.*)")
_MAPPING = re.compile(r"c\d{3} o\d{3} v\d{3}")


def read(files: Sequence[Path], options: ReadOptions) -> LabelSet:
    """Check and read the files; ValueError names bad lines."""
    kinds = {path: _kind_of(path) for path in files}
    films = [path for path in files if kinds[path] == "films"]
    maps = [path for path in files if kinds[path] == "classes"]
    if not films or len(maps) > 1:
        raise ValueError(
            f"{len(films)} files of films and {len(maps)} of classes among "
            f"{', '.join(path.name for path in files)}; give one or more, and at most one"
        )
    faults = Faults()
    names = _class_names(maps[0], faults) if maps else None
    seen: Counter[str] = Counter()
    lines = line_table(
        chain.from_iterable(
            _films(path, split_of(path, options), names, seen, faults) for path in films
        )
    )
    faults.raise_if_any()
    return LabelSet(
        name=options.name or "charades",
        version=options.version or "1",
        lines=lines,
        classes=class_table({"action": names} if names else {}),
        notes=_notes(seen, has_names=names is not None),
    )


def _kind_of(path: Path) -> str:
    header = first_row(path)
    if set(header) >= _NEEDED:
        return "films"
    line = ",".join(header)
    if _CLASS_LINE.fullmatch(line) and not _MAPPING.fullmatch(line):
        return "classes"
    raise ValueError(
        f"{path.name} is no Charades file: neither a header with id and actions nor lines such as "
        "'c000 Holding some clothes'"
    )


def _notes(seen: Counter[str], *, has_names: bool) -> tuple[str, ...]:
    notes = []
    if seen["late"]:
        notes.append(f"{seen['late']} spans end after the length that the file gives; kept")
    if not has_names:
        notes.append("no Charades_v1_classes.txt among the files: labels have numbers, no names")
    return tuple(notes)


def _class_names(path: Path, faults: Faults) -> dict[int, str]:
    names: dict[int, str] = {}

    def take(cells: list[str]) -> tuple[Line, ...]:
        match = _CLASS_LINE.fullmatch(",".join(cells).rstrip())
        if match is None or int(match[1]) in names:
            raise BadLineError(
                "not a class such as 'c000 Holding some clothes', or one seen before"
            )
        names[int(match[1])] = match[2]
        return ()

    for _ in parsed(path, rows(path), take, faults):
        pass
    return names


def _films(
    path: Path,
    split: str | None,
    names: Mapping[int, str] | None,
    seen: Counter[str],
    faults: Faults,
) -> Iterator[Line]:
    numbered = rows(path)
    _, header = next(numbered)

    def lines_of(cells: list[str]) -> list[Line]:
        row = record(header, cells)
        film: Line = {
            "source_name": named(row["id"]),
            "split": split,
            "participant": row.get("subject") or None,
        }
        length = row.get("length")
        limit = seconds(length, "length") if length else float("inf")
        actions = [text for text in row["actions"].split(";") if text.strip()]
        found = [film | _action(text, names) for text in actions]
        seen["late"] += sum(bool(line["end_seconds"] > limit) for line in found)
        return found or [film | {"task": "no_action"}]

    return parsed(path, numbered, lines_of, faults)


def _action(text: str, names: Mapping[int, str] | None) -> Line:
    words = text.split()
    if len(words) != 3 or not re.fullmatch(r"c\d{3}", words[0], re.ASCII):
        raise BadLineError(f"action {text!r} is not a class, a start and an end: c077 12.10 18.00")
    number = int(words[0][1:])
    if names is not None and number not in names:
        raise BadLineError(f"action {words[0]} is not among the classes")
    start, end = seconds(words[1], "start"), seconds(words[2], "end")
    check_span(start, end)
    return {
        "task": "action",
        "start_seconds": start,
        "end_seconds": end,
        "label_id": number,
        "label": names[number] if names else None,
    }
