"""Lines of one video out of a Parquet file: its footer tells which row groups can hold them."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reelbank.stores.files import Files

_KEPT_ROW_GROUPS = 8192
"""Row groups whose description is kept in memory, about 5 kB each."""

_FILTERED = ("video_id", "time", "start_seconds", "end_seconds")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for."""

    video_id: str
    start_seconds: float
    """Of a table with `time`: the first time; of one with spans: they end after it."""
    end_seconds: float
    """Of a table with `time`: times are before it; of one with spans: they start before it."""

    @property
    def is_bounded(self) -> bool:
        """Whether time matters at all."""
        return self.start_seconds > -np.inf or self.end_seconds < np.inf


@dataclass(frozen=True, slots=True)
class _Footer:
    metadata: Any
    lowest: Mapping[str, Sequence[Any]]
    """Of video_id and the columns of time: the least value in each row group; None: unknown."""
    highest: Mapping[str, Sequence[Any]]

    def row_groups(self, wanted: Wanted) -> list[int]:
        """Those that can hold a wanted line."""
        fits = self._from("video_id", wanted.video_id) & self._to("video_id", wanted.video_id)
        if "time" in self.lowest and wanted.is_bounded:
            fits &= self._from("time", wanted.start_seconds) & self._to("time", wanted.end_seconds)
        elif "start_seconds" in self.lowest and wanted.is_bounded:
            fits &= self._to("start_seconds", wanted.end_seconds)
            fits &= self._from("end_seconds", wanted.start_seconds)
        found: list[int] = np.flatnonzero(fits).tolist()
        return found

    def _from(self, column: str, value: Any) -> NDArray[np.bool_]:
        return np.array([high is None or high >= value for high in self.highest[column]], bool)

    def _to(self, column: str, value: Any) -> NDArray[np.bool_]:
        return np.array([low is None or low <= value for low in self.lowest[column]], bool)


class Footers:
    """The footers used last, parsed; threads may share it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Footer] = OrderedDict()
        self._num_row_groups = 0

    def read(self, path: str, schema: pa.Schema, wanted: Wanted) -> pa.Table:
        """Lines that are wanted, in the order of the file."""
        with self._lock:
            footer = self._known.get(path)
            if footer is not None:
                self._known.move_to_end(path)
        with self._open(path) as stream:
            known = None if footer is None else footer.metadata
            # One open handle, no thread pool: the caller may be one of many workers.
            source = pq.ParquetFile(
                stream,
                metadata=known,
                # Names and categories are spelled out only for the lines that are kept.
                read_dictionary=[one.name for one in schema if one.type == pa.string()],
                pre_buffer=not self._files.is_local,
            )
            if footer is None:
                footer = self._keep(path, _footer(source.metadata))
            groups = footer.row_groups(wanted)
            found = source.read_row_groups(groups, columns=schema.names, use_threads=False)
        return _filtered(found, wanted).cast(schema)

    def _open(self, path: str) -> AbstractContextManager[Any]:
        if self._files.is_local:
            opened: AbstractContextManager[Any] = pa.memory_map(self._files.absolute(path))
            return opened
        return self._files.open(path)

    def _keep(self, path: str, footer: _Footer) -> _Footer:
        with self._lock:
            if path not in self._known:
                self._known[path] = footer
                self._num_row_groups += footer.metadata.num_row_groups
            while self._num_row_groups > _KEPT_ROW_GROUPS and len(self._known) > 1:
                _, oldest = self._known.popitem(last=False)
                self._num_row_groups -= oldest.metadata.num_row_groups
        return footer


def _footer(metadata: Any) -> _Footer:
    names = metadata.schema.names
    columns = [name for name in _FILTERED if name in names]
    lowest: dict[str, list[Any]] = {name: [] for name in columns}
    highest: dict[str, list[Any]] = {name: [] for name in columns}
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for name in columns:
            statistics = group.column(names.index(name)).statistics
            # A null may stand for anything.
            known = statistics is not None and statistics.has_min_max and not statistics.null_count
            lowest[name].append(statistics.min if known else None)
            highest[name].append(statistics.max if known else None)
    return _Footer(metadata, lowest, highest)


def _filtered(lines: pa.Table, wanted: Wanted) -> pa.Table:
    keep = pc.equal(lines["video_id"], wanted.video_id)
    if wanted.is_bounded:
        # Of the labels some have a time, some a span, and some are of the whole video.
        tests = [test(lines, wanted) for name, test in _TESTS if name in lines.schema.names]
        keep = pc.and_(keep, pc.coalesce(*tests, pa.scalar(True))) if tests else keep
    return lines.filter(keep)


def _has_time_inside(lines: pa.Table, wanted: Wanted) -> Any:
    """Null where there is no time."""
    begun = pc.greater_equal(lines["time"], wanted.start_seconds)
    return pc.and_(begun, pc.less(lines["time"], wanted.end_seconds))


def _overlaps(lines: pa.Table, wanted: Wanted) -> Any:
    """An unknown end of a span is far away."""
    begun = pc.less(lines["start_seconds"], wanted.end_seconds)
    going_on = pc.greater(lines["end_seconds"], wanted.start_seconds)
    return pc.and_(pc.fill_null(begun, True), pc.fill_null(going_on, True))


_TESTS = (("time", _has_time_inside), ("start_seconds", _overlaps))
