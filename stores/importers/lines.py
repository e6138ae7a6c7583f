"""Text files read line by line; bad lines are gathered and named with file, line and reason."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from reelbank.stores.importers.label_set import LINE_SCHEMA, Line

MAX_FAULTS = 20
"""Bad lines that one message names; reading stops there."""

_LINES_PER_BATCH = 65_536


class BadLineError(ValueError):
    """Why one line cannot be taken; who reads the file adds its name and the line's number."""


class Faults:
    """The bad lines found so far in all files of one import."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, path: Path, number: int, reason: str) -> None:
        """Keep one; ValueError with all of them once there are `MAX_FAULTS`."""
        self._sentences.append(f"{path.name}, line {number}: {reason}")
        if len(self._sentences) >= MAX_FAULTS:
            self.raise_if_any(more=True)

    def raise_if_any(self, *, more: bool = False) -> None:
        """ValueError with every bad line found; nothing where there is none."""
        if self._sentences:
            end = f"; reading stopped after {MAX_FAULTS} bad lines" if more else ""
            raise ValueError(f"nothing was imported: {'; '.join(self._sentences)}{end}")


def rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Number (from 1) and cells of each line that is not blank; a field may hold line breaks.

    The text is UTF-8, with or without a mark at its start, with any line ends. ValueError where
    it is not, or where a quote is never closed.
    """
    number = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            for cells in reader:
                if cells:
                    yield number, cells
                number = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path.name}, at or after line {number}: not UTF-8 text ({error.reason}); "
            "is it an annotation file?"
        ) from error
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {number}: not readable as CSV: {error}") from error


def first_row(path: Path, delimiter: str = ",") -> list[str]:
    """Cells of the first line that is not blank; ValueError where there is none."""
    for _, cells in rows(path, delimiter):
        return cells
    raise ValueError(f"{path.name} is empty; leave it out")


def parsed(
    path: Path,
    numbered: Iterable[tuple[int, list[str]]],
    parse: Callable[[list[str]], Sequence[Line]],
    faults: Faults,
) -> Iterator[Line]:
    """Lines that `parse` makes of each row, numbered; a row that it refuses goes to `faults`."""
    for number, cells in numbered:
        try:
            found = parse(cells)
        except BadLineError as error:
            faults.add(path, number, str(error))
            continue
        for line in found:
            line["source_line"] = number
            yield line


def record(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Cells by the header's names; BadLineError where there are more or fewer."""
    if len(cells) != len(header):
        raise BadLineError(f"{len(cells)} columns, the header has {len(header)}")
    return dict(zip(header, cells, strict=True))


def line_table(lines: Iterable[Line]) -> pa.Table:
    """The lines as Arrow columns; never all of them as Python objects at once."""
    batches = []
    rest = iter(lines)
    while some := list(islice(rest, _LINES_PER_BATCH)):
        batches.append(pa.RecordBatch.from_pylist(some, schema=LINE_SCHEMA))
    return pa.Table.from_batches(batches, schema=LINE_SCHEMA)
