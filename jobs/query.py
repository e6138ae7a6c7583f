"""The result of a query in the format that was asked for."""

import base64
import datetime
import decimal
import json
import math
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
from rich.console import Console
from rich.table import Column, Table

from reelbank.stores.features import Features
from reelbank.stores.macros import MACROS
from reelbank.stores.views import ABOUT

SHOWN_LINES = 1000
"""Lines that the format 'table' shows."""

WIDE = 100_000
"""Width of a table that no terminal limits."""

NULL = "NULL"


def result_writer(output: str) -> Callable[[pa.Table], None]:
    """What writes a result to standard output as a table or in one of `FORMATS`.

    Raises ValueError for an unknown format, and for bytes that would go to a terminal.
    """
    if output == "table":
        return lambda result: show_table(result, wide_console())
    if output not in FORMATS:
        known = ", ".join(sorted([*FORMATS, "table"]))
        raise ValueError(f"--format {output}: unknown format; known: {known}")
    if output in _BINARY and sys.stdout.isatty():
        raise ValueError(f"--format {output} writes bytes; send them to a file: --output FILE")
    return lambda result: FORMATS[output](result, sys.stdout.buffer)


def file_writer(path: Path) -> Callable[[pa.Table], None]:
    """What writes a result to a file, in the format that its suffix names; whole or not at all."""
    write = FORMATS.get(path.suffix.removeprefix("."))
    if write is None:
        known = ", ".join(f".{name}" for name in sorted(FORMATS))
        raise ValueError(f"--output {path}: the suffix must be one of {known}")
    _check_place(path)
    return lambda result: _whole(path, lambda stream: write(result, stream))


def write_features(found: Features, path: Path) -> None:
    """Write rows and the lines beside them as one .npz: `rows`, and an array for each column.

    Text stays text, lists become JSON, a missing number NaN; `numpy.load` needs no pickle.
    """
    arrays = {"rows": found.rows}
    for name, column in zip(
        _distinct(["rows", *found.table.column_names])[1:], found.table.columns, strict=True
    ):
        arrays[name] = _numpy_column(column)
    _whole(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def checked_features_path(path: Path | None) -> Path:
    """The file that features are to be written to; ValueError where it is none for them."""
    if path is None or path.suffix != ".npz":
        raise ValueError("--features needs --output FILE.npz, where rows and lines are written")
    _check_place(path)
    return path


def vocabulary() -> str:
    """The tables and functions of a query, a line each, for people."""
    tables = [f"{name:<12} {about}" for name, about in ABOUT.items()]
    functions = [f"{macro.signature}\n{'':<12} {macro.about}" for macro in MACROS]
    return "\n".join([*tables, "", *functions])


def _check_place(path: Path) -> None:
    """ValueError, before a query that takes long, where its result could not be written."""
    if path.is_dir():
        raise ValueError(f"--output {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"--output {path}: there is no folder {path.parent}; make it first")


def _whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        with open(temporary, "xb") as stream:
            write(stream)
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"--output {path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _numpy_column(column: pa.ChunkedArray) -> Any:
    if _is_number(column.type) or pa.types.is_boolean(column.type):
        return column.to_numpy()
    return np.array([_text(value) for value in column.to_pylist()], dtype=str)


def _text(value: Any) -> str:
    plain = _json_value(value)
    return "" if plain is None else plain if isinstance(plain, str) else json.dumps(plain)


def show_table(result: pa.Table, console: Console) -> None:
    """Print the first lines of a result; in a terminal wide cells are folded, never cut."""
    if result.column_names == ["explain_key", "explain_value"]:
        for text in result["explain_value"].to_pylist():
            _plainly(console, text)
        return
    columns = [
        Column(_one_line(name), justify="right" if _is_number(kind) else "left", overflow="fold")
        for name, kind in zip(result.column_names, result.schema.types, strict=True)
    ]
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for line in _lines(result.slice(0, SHOWN_LINES)):
        table.add_row(*(_cell(value) for value in line))
    console.print(table, markup=False, highlight=False)
    if result.num_rows > SHOWN_LINES:
        more = result.num_rows - SHOWN_LINES
        _plainly(console, f"... {more} more lines; use --format csv for all of them")
    if result.num_rows == 0:
        _plainly(console, "(no lines)")


def wide_console() -> Console:
    """Standard output; where it is no terminal, as wide as its lines are long."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _plainly(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _lines(result: pa.Table) -> Iterator[tuple[Any, ...]]:
    # Not to_pylist: two columns may have one name.
    return zip(*(column.to_pylist() for column in result.columns), strict=True)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _cell(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, float) and math.isfinite(value):
        small = 0 < abs(value) < 1e-4
        return f"{value:.3g}" if small else f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, list | dict | tuple | bytes):
        return _one_line(json.dumps(_json_value(value), ensure_ascii=False))
    return _one_line(str(value))


def _one_line(text: str) -> str:
    """The text with its line breaks and other control characters written out."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _csv(result: pa.Table, stream: BinaryIO) -> None:
    columns = [_csv_column(column) for column in result.columns]
    pa.csv.write_csv(pa.table(columns, names=result.column_names), stream)


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Numbers and truths as they are, text as text, lists and structs as JSON, bytes as base64."""
    kind = column.type
    if _is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        return column
    values = (_json_value(value) for value in column.to_pylist())
    return pa.array(
        [
            value if value is None or isinstance(value, str) else json.dumps(value)
            for value in values
        ],
        pa.string(),
    )


def _json(result: pa.Table, stream: BinaryIO) -> None:
    names = _distinct(result.column_names)
    for line in _lines(result):
        plain = {name: _json_value(value) for name, value in zip(names, line, strict=True)}
        stream.write(json.dumps(plain, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _distinct(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        distinct.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return distinct


def _json_value(value: Any) -> Any:
    """What JSON can hold: NaN and infinities are null, bytes base64, times ISO 8601."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _parquet(result: pa.Table, stream: BinaryIO) -> None:
    columns = [
        # Parquet has no intervals.
        pa.array([None if value is None else str(value) for value in column.to_pylist()])
        if pa.types.is_interval(column.type)
        else column
        for column in result.columns
    ]
    named = pa.table(columns, names=_distinct(result.column_names))
    pa.parquet.write_table(named, stream)


def _arrow(result: pa.Table, stream: BinaryIO) -> None:
    with pa.ipc.new_file(stream, result.schema) as writer:
        writer.write_table(result)


FORMATS: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "arrow": _arrow,
}
"""Ways to write a result to a file or a pipe; json has one object a line."""

_BINARY = ("arrow", "parquet")
