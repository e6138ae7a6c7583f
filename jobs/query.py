"""The result of a query in the format that was asked for."""

import json
import sys
from collections.abc import Callable

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

SHOWN_LINES = 1000
"""Lines of a table that a terminal is shown."""


def write_result(result: pa.Table, output: str) -> None:
    """Write to standard output as table, csv, json (one object a line) or parquet."""
    if output not in WRITERS:
        raise ValueError(f"--format {output}: unknown format; known: {', '.join(sorted(WRITERS))}")
    WRITERS[output](result)


def _table(result: pa.Table) -> None:
    table = Table(*result.column_names, box=None, pad_edge=False)
    for line in result.slice(0, SHOWN_LINES).to_pylist():
        table.add_row(*(_cell(value) for value in line.values()))
    console = Console()
    console.print(table, markup=False)
    if result.num_rows > SHOWN_LINES:
        console.print(
            f"... {result.num_rows - SHOWN_LINES} more lines; use --format csv for all of them"
        )


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _csv(result: pa.Table) -> None:
    plain = [
        column.cast(pa.string())
        if not pa.types.is_primitive(column.type)
        and not pa.types.is_binary(column.type)
        and not pa.types.is_nested(column.type)
        else pa.array([None if value is None else str(value) for value in column.to_pylist()])
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type)
        else column
        for column in result.columns
    ]
    pa.csv.write_csv(pa.table(plain, names=result.column_names), sys.stdout.buffer)


def _json(result: pa.Table) -> None:
    for line in result.to_pylist():
        sys.stdout.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")


def _parquet(result: pa.Table) -> None:
    pa.parquet.write_table(result, sys.stdout.buffer)


WRITERS: dict[str, Callable[[pa.Table], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
