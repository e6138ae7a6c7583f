"""SQL over a live set: one SELECT, EXPLAIN or DESCRIBE, answered as an Arrow table."""

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from reelbank.stores.connection import Database, LoadRuns
from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet
from reelbank.stores.macros import MACROS
from reelbank.stores.views import ABOUT, first_sentence

Parameters = Sequence[Any] | Mapping[str, Any] | None
"""Values of the query's placeholders: by position (?) or by name ($name)."""

_READING = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))
"""Kinds of statement that a SELECT may hold: DuckDB lets WITH hold DELETE and COPY TO as well."""

_HIDDEN_CALLS = frozenset(
    (
        # They run SQL that is no part of the parsed statement.
        "query",
        "json_execute_serialized_sql",
        # They take addresses of memory.
        "arrow_scan",
        "arrow_scan_dumb",
        "pandas_scan",
        "python_arrow_scan",
        "python_map_function",
        "seq_scan",
    )
)
"""Functions that are not answered."""

# Read by pattern: a quote within a text of the query is escaped there, and a sum of 900 terms nests
# deeper than Python's reader of JSON goes.
_KINDS = re.compile(r'"type":"([A-Z_]+_NODE)"')
_CALLS = re.compile(r'"function_name":"([^"]*)"')


class SqlEngine:
    """Answers queries on one store; threads may share it.

    The views over a live set are made once, which takes seconds at 50,000 files, and kept until a
    query comes with another live set. Each query has a cursor of its own.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._of_parents: list[Database] = []
        """Kept in a forked child, where DuckDB's threads are not there to let them go."""

    def query(
        self, live: LiveSet, load_runs: LoadRuns, text: str, params: Parameters = None
    ) -> pa.Table:
        """Answer one SELECT, EXPLAIN or DESCRIBE; any fault of the query is a ValueError.

        `load_runs` is called where the query reads `runs`, and only there.
        """
        with self._database_of(live).cursor(load_runs) as cursor:
            _check_single_select(cursor, text)
            try:
                return cursor.sql(text, params=params).to_arrow_table()
            except duckdb.Error as error:
                raise ValueError(_sentence(error)) from error

    def _database_of(self, live: LiveSet) -> Database:
        with self._lock:
            known = self._database
            if known is None or known.live is not live or known.process != os.getpid():
                if known is not None and known.process != os.getpid():
                    self._of_parents.append(known)
                # Let go first: two sets of views need not be in memory. Queries under way on the
                # old one keep it until they are answered.
                self._database = known = None
                self._database = known = Database(self._files, live)
            return known


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
    else:
        _check_parts(connection, text)


def _check_parts(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """ValueError where a SELECT holds what is more than reading."""
    ((tree,),) = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchall()
    if not tree.startswith('{"error":false'):
        reason = json.loads(tree).get("error_message", "")
        raise ValueError(f"this SELECT cannot be checked, and is not answered: {reason}")
    for kind in _KINDS.findall(tree):
        if kind not in _READING:
            found = kind.removesuffix("_QUERY_NODE")
            raise ValueError(
                f"only SELECT, EXPLAIN and DESCRIBE are answered, not WITH ... AS ({found} ...); "
                "the store is read-only in SQL"
            )
    calls = sorted(_HIDDEN_CALLS.intersection(_CALLS.findall(tree)))
    if calls:
        raise ValueError(
            f"only SELECT, EXPLAIN and DESCRIBE are answered, without the function {calls[0]}; "
            "the store is read-only in SQL"
        )


def _parsed(connection: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    try:
        return list(connection.extract_statements(text))
    except duckdb.Error as error:
        raise ValueError(first_sentence(error)) from error


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


def _sentence(error: duckdb.Error) -> str:
    first = first_sentence(error)
    if isinstance(error, duckdb.CatalogException):
        macros = ", ".join(macro.signature for macro in MACROS)
        return f"{first} (tables: {', '.join(sorted(ABOUT))}; functions of the store: {macros})"
    return first
