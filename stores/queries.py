"""SQL over a live set: an in-memory DuckDB with a view for each table, closed to all else.

Views name their files one by one. A query is a single SELECT; the configuration is locked and only
the live files can be reached, so that SQL from a stranger reads nothing else and changes nothing.
"""

import datetime
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import duckdb
import pyarrow as pa
from fsspec import AbstractFileSystem

from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet, VisibleFile
from reelbank.stores.schemas import SCHEMAS

Parameters = Sequence[Any] | Mapping[str, Any] | None
"""Values of the query's placeholders: by position (?) or by name ($name)."""

_RUNS = pa.schema(
    [
        pa.field("run", pa.string()),
        pa.field("started", pa.string()),
        pa.field("ended", pa.string()),
        pa.field("state", pa.string()),
        pa.field("record", pa.string()),
    ]
)
_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
}
_TRACKED = """
CREATE VIEW tracked AS
SELECT detections.*, links.track_id, tracks.shot_id
FROM detections
LEFT JOIN links USING (video_id, time, rank)
LEFT JOIN tracks USING (video_id, track_id)
"""
_ATTEMPT = r"regexp_extract(filename, '\.([0-9A-Za-z]+)\.parquet$', 1)"
"""The attempt that wrote a file, from its name; a column of `failures`."""
_SCHEME = "reelbank"


def run_query(
    files: Files,
    live: LiveSet,
    runs: Sequence[Mapping[str, Any]],
    text: str,
    params: Parameters = None,
) -> pa.Table:
    """Answer one SELECT, EXPLAIN or DESCRIBE; any fault of the query is a ValueError."""
    with _connection(files, live, runs) as connection:
        _check_single_select(connection, text)
        try:
            relation = connection.sql(text, params=params)
            return relation.to_arrow_table()
        except duckdb.Error as error:
            raise ValueError(_sentence(error, live)) from error


@contextmanager
def _connection(
    files: Files, live: LiveSet, runs: Sequence[Mapping[str, Any]]
) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="reelbank-sql-") as spill:
        connection = duckdb.connect(
            ":memory:",
            config={
                "temp_directory": spill,
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        try:
            names = _FileNames(files)
            if names.adapter is not None:
                connection.register_filesystem(names.adapter)
            paths = [names.of(visible) for table in SCHEMAS for visible in live.visible(table)]
            _create_views(connection, live, names)
            connection.from_arrow(_runs_table(runs)).create("runs")
            connection.execute(f"SET allowed_paths = [{', '.join(map(_literal, paths))}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


def _create_views(
    connection: duckdb.DuckDBPyConnection, live: LiveSet, names: "_FileNames"
) -> None:
    for table in SCHEMAS:
        try:
            connection.execute(_view(table, live.visible(table), names))
        except (duckdb.Error, OSError) as error:
            raise ValueError(
                f"table {table!r} of the store cannot be read ({_first_sentence(error)}); "
                "reelbank verify lists what is damaged"
            ) from error
    connection.execute(_TRACKED)


class _FileNames:
    """What DuckDB calls each file: its path, or a name that the adapter below serves."""

    def __init__(self, files: Files) -> None:
        # DuckDB takes *, ? and [ in a path for a pattern and has no escape that always works.
        plain = files.is_local and not re.search(r"[*?\[\]\\]", files.root)
        self.adapter = None if plain else _ReadOnly(files)
        self._files = files

    def of(self, visible: VisibleFile) -> str:
        path = visible.entry.path
        return self._files.absolute(path) if self.adapter is None else f"{_SCHEME}:///{path}"


class _ReadOnly(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The store's files under names without special characters; cannot write."""

    protocol = _SCHEME
    cachable = False

    def __init__(self, files: Files) -> None:
        super().__init__()
        self._files = files

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise PermissionError("a query cannot write to the store")
        return self._files.open(self._relative(path))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        size = self._files.size(self._relative(path))
        return {"name": path, "size": size, "type": "file"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        found = self.info(path)
        return [found] if detail else [found["name"]]

    def modified(self, path: str) -> datetime.datetime:
        # A file of a store never changes.
        return datetime.datetime.fromtimestamp(0, datetime.UTC)

    def glob(self, path: str, **_: Any) -> list[str]:
        return [self._strip_protocol(path)]

    def _relative(self, path: str) -> str:
        return str(PurePosixPath(self._strip_protocol(path).lstrip("/")))


def _view(table: str, visible: Sequence[VisibleFile], names: _FileNames) -> str:
    """CREATE VIEW over the files of a table; files with dead lines are read apart and filtered."""
    whole = [names.of(one) for one in visible if one.only is None]
    has_attempt = table == "failures"
    columns = ", ".join(f'"{name}"' for name in SCHEMAS[table].names)
    columns += f", {_ATTEMPT} AS attempt" if has_attempt else ""
    selects = []
    if whole:
        selects.append(f"SELECT {columns} FROM {_read_parquet(whole)}")
    for one in visible:
        if one.only is not None:
            wanted = ", ".join(map(_literal, one.only))
            source = _read_parquet([names.of(one)])
            selects.append(f"SELECT {columns} FROM {source} WHERE video_id IN ({wanted})")
    if not selects:
        nulls = ", ".join(
            f'NULL::{_SQL_TYPES[field.type]} AS "{field.name}"' for field in SCHEMAS[table]
        )
        nulls += ", NULL::VARCHAR AS attempt" if has_attempt else ""
        selects = [f"SELECT {nulls} WHERE false"]
    return f'CREATE VIEW "{table}" AS ' + " UNION ALL ".join(selects)


def _read_parquet(paths: Sequence[str]) -> str:
    listed = ", ".join(map(_literal, paths))
    return f"read_parquet([{listed}], hive_partitioning = false, filename = true)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _runs_table(runs: Sequence[Mapping[str, Any]]) -> pa.Table:
    named = _RUNS.names[:-1]
    lines = [
        {name: str(run[name]) if run.get(name) is not None else None for name in named}
        | {"record": json.dumps(dict(run), sort_keys=True)}
        for run in runs
    ]
    return pa.Table.from_pylist(lines, schema=_RUNS)


def _check_single_select(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    statements = _parsed(connection, text)
    if len(statements) != 1:
        raise ValueError(
            f"a query must be one statement, this has {len(statements)}; ask one by one"
        )
    statement = statements[0]
    if statement.type == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE runs what it explains, and COPY could then write over a live file.
        _check_single_select(connection, _explained(text))
    elif statement.type != duckdb.StatementType.SELECT:
        raise ValueError(
            f"only SELECT, EXPLAIN and DESCRIBE are answered, not {statement.type.name}; "
            "the store is read-only in SQL"
        )


def _parsed(connection: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    try:
        return list(connection.extract_statements(text))
    except duckdb.Error as error:
        raise ValueError(_first_sentence(error)) from error


def _explained(text: str) -> str:
    """The statement that an EXPLAIN is about."""
    data = text.encode()
    tokens = [start for start, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]
    words = [
        data[start:end].decode()
        for start, end in zip(tokens, [*tokens[1:], len(data)], strict=True)
    ]
    skip = 1
    if len(words) > skip and words[skip].split()[0].lower() == "analyze":
        skip += 1
    if len(words) > skip and words[skip].startswith("("):
        depth = 0
        for number in range(skip, len(words)):
            depth += words[number].count("(") - words[number].count(")")
            if depth == 0:
                skip = number + 1
                break
    return data[tokens[skip] :].decode() if skip < len(tokens) else ""


def _sentence(error: duckdb.Error, live: LiveSet) -> str:
    first = _first_sentence(error)
    if isinstance(error, duckdb.CatalogException):
        tables = ", ".join([*sorted(SCHEMAS), "runs", "tracked"])
        return f"{first} (tables: {tables})"
    return first


def _first_sentence(error: Exception) -> str:
    """DuckDB's message without the quoted line of the query."""
    return " ".join(str(error).split("\n\n")[0].split())
