"""An in-memory DuckDB over one live set, closed to all else.

The configuration is locked and only the live files can be reached, so that SQL from a stranger
reads nothing else and changes nothing.
"""

import datetime
import json
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import duckdb
import pyarrow as pa
from fsspec import AbstractFileSystem

from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet, VisibleFile
from reelbank.stores.views import create_views

LoadRuns = Callable[[], Sequence[Mapping[str, Any]]]
"""Reads the records of all runs."""

_RUNS = pa.schema(
    [
        pa.field("run", pa.string()),
        pa.field("started", pa.string()),
        pa.field("ended", pa.string()),
        pa.field("state", pa.string()),
        pa.field("record", pa.string()),
    ]
)
_SCHEME = "reelbank"
_KEPT_FOOTERS = 2_000
"""Files whose footers are kept in memory. A large one takes 3 ms to read for each query, a small
one hardly less than 11 kB to keep: of the 50,000 of a store that was never compacted none is kept.
"""


class Database:
    """Views over one live set; any number of threads may take a cursor each.

    It and its folder for what does not fit into memory go when nothing refers to it, at the latest
    at the end of the process.
    """

    def __init__(self, files: Files, live: LiveSet) -> None:
        self.live = live
        self.process = os.getpid()
        """A forked child must not use it: DuckDB's threads stay with the parent."""
        spill = tempfile.mkdtemp(prefix="reelbank-sql-")
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "temp_directory": spill,
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self.close = weakref.finalize(self, _close, self._connection, spill, self.process)
        try:
            self._fill(files, live)
        except BaseException:
            self.close()
            raise

    def _fill(self, files: Files, live: LiveSet) -> None:
        names = _FileNames(files)
        if names.adapter is not None:
            self._connection.register_filesystem(names.adapter)
        paths = create_views(self._connection, live, names.of)
        if len(paths) <= _KEPT_FOOTERS:
            # A file of a store never changes. For all cursors: without the word it is for one.
            self._connection.execute("SET GLOBAL parquet_metadata_cache = true")
        self._connection.execute("SET allowed_paths = ?", [paths])
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    @contextmanager
    def cursor(self, load_runs: LoadRuns) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own on the same views, with the view `runs`."""
        cursor = self._connection.cursor()
        try:
            cursor.register("runs", _Runs(load_runs))
            yield cursor
        finally:
            cursor.close()


def _close(connection: duckdb.DuckDBPyConnection, spill: str, process: int) -> None:
    if os.getpid() == process:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)


class _Runs:
    """The runs as a stream of Arrow, read from the store by each scan, and by nothing else."""

    def __init__(self, load_runs: LoadRuns) -> None:
        self._load_runs = load_runs

    def __arrow_c_schema__(self) -> object:
        return _RUNS.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return _runs_table(self._load_runs()).__arrow_c_stream__(requested_schema)


def _runs_table(runs: Sequence[Mapping[str, Any]]) -> pa.Table:
    named = _RUNS.names[:-1]
    lines = [
        {name: str(run[name]) if run.get(name) is not None else None for name in named}
        | {"record": json.dumps(dict(run), sort_keys=True)}
        for run in runs
    ]
    return pa.Table.from_pylist(lines, schema=_RUNS)


class _FileNames:
    """What DuckDB calls each file: its path, or a name that the adapter below serves."""

    def __init__(self, files: Files) -> None:
        # DuckDB takes *, ? and [ in a path for a pattern and has no escape that always works.
        plain = files.is_local and not re.search(r"[*?\[\]\\]", files.root)
        self._sizes: dict[str, int] = {}
        self.adapter = None if plain else _ReadOnly(files, self._sizes)
        self._files = files

    def of(self, visible: VisibleFile) -> str:
        path = visible.entry.path
        self._sizes[path] = visible.entry.num_bytes
        return self._files.absolute(path) if self.adapter is None else f"{_SCHEME}:///{path}"


class _ReadOnly(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The store's files under names without special characters; cannot write."""

    protocol = _SCHEME
    cachable = False

    def __init__(self, files: Files, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self._files = files
        # As committed: asking for each would be a request for each file.
        self._sizes = sizes

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise PermissionError("a query cannot write to the store")
        relative = self._relative(path)
        return self._files.open(relative, self._sizes[relative])

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        size = self._sizes.get(self._relative(path))
        if size is None:
            raise FileNotFoundError(path)
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
