"""A bank's groups opened for reading; what must be read for that is read for many at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores.cache import Cache
from reelbank.stores.commits import FileEntry
from reelbank.stores.files import Files
from reelbank.stores.groups import open_group
from reelbank.stores.shards import (
    RowsLayout,
    chunk_ranges,
    column_length,
    is_contiguous,
    rows_layout,
    shape_and_dtype,
    shard_name,
)
from reelbank.stores.sources import (
    CachedRows,
    ConvertedRows,
    MappedRows,
    RowSource,
    ZarrRows,
    damaged,
    gone,
)

_ARRAYS = ("rows", "time", "first")
_BYTES_OF_A_MAP = 4096
"""Private bytes that weigh as much as one memory map."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class OpenPart:
    """One group, open."""

    source: RowSource
    dim: int
    dtype: np.dtype[Any]
    times: NDArray[np.float64]
    """(k,) key times, in the order of the units."""
    first: NDArray[np.int64]
    """(k + 1,) offset of the first row of each key time, and the number of rows."""
    weight: int
    """Memory maps that it holds; private memory counts along."""


@dataclass(frozen=True, slots=True)
class _Plain:
    """A group whose metadata is of the plain kind."""

    entry: FileEntry
    layout: RowsLayout
    num_times: int

    @property
    def shards(self) -> list[str]:
        return [f"{self.entry.path}/{shard_name(n)}" for n in range(self.layout.num_shards)]

    @property
    def columns(self) -> list[str]:
        return [f"{self.entry.path}/{name}/c/0" for name in _ARRAYS[1:]]


def group_shape(files: Files, path: str) -> tuple[int, np.dtype[Any]]:
    """Length and type of a group's rows; ValueError where it is gone or damaged."""
    name = f"{path}/rows/zarr.json"
    try:
        return shape_and_dtype(files.read_ranges([name], [0], [None])[0])
    except FileNotFoundError as error:
        raise gone(path) from error
    except ValueError as error:
        raise damaged(name, str(error)) from error


def as_dtype(part: OpenPart, dtype: np.dtype[Any]) -> OpenPart:
    """The part, its rows given as that type."""
    if part.dtype == dtype:
        return part
    return replace(part, source=ConvertedRows(part.source, dtype), dtype=dtype)


def open_parts(files: Files, cache: Cache, entries: Sequence[FileEntry]) -> list[OpenPart]:
    """Open groups that hold key times.

    ValueError where a file is gone or damaged.
    """
    try:
        return _open_parts(files, cache, entries)
    except FileNotFoundError as error:
        raise gone(str(error.filename or error)) from error


def _open_parts(files: Files, cache: Cache, entries: Sequence[FileEntry]) -> list[OpenPart]:
    paths = [f"{entry.path}/{name}/zarr.json" for entry in entries for name in _ARRAYS]
    texts = files.read_ranges(paths, [0] * len(paths), [None] * len(paths))
    plain = [_plain(entry, *texts[3 * n : 3 * n + 3]) for n, entry in enumerate(entries)]
    found: dict[str, OpenPart] = {}
    fetched: list[_Plain] = []
    for entry, facts in zip(entries, plain, strict=True):
        if facts is None:
            found[entry.path] = _by_zarr(files, entry.path)
        elif files.is_local and not facts.layout.is_compressed:
            found[entry.path] = _mapped(files, facts) or _by_zarr(files, entry.path)
        else:
            fetched.append(facts)
    for facts, part in zip(fetched, _cached(files, cache, fetched), strict=True):
        found[facts.entry.path] = part
    return [found[entry.path] for entry in entries]


def _plain(entry: FileEntry, rows: bytes, time: bytes, first: bytes) -> _Plain | None:
    layout, num_times = rows_layout(rows), column_length(time, "<f8")
    if layout is None or num_times is None or column_length(first, "<i8") != num_times + 1:
        return None
    return _Plain(entry, layout, num_times)


def _mapped(files: Files, facts: _Plain) -> OpenPart | None:
    """A part of memory maps; None where its rows are not one stretch of each shard."""
    layout, shards = facts.layout, []
    for number, path in enumerate(facts.shards):
        data = _map(files, path)
        index = data[max(0, len(data) - layout.index_bytes) :].tobytes()
        if not is_contiguous(layout, _ranges(layout, number, index, path)):
            return None
        num_chunks = layout.num_chunks_of(number)
        if len(data) < num_chunks * layout.chunk_bytes + layout.index_bytes:
            raise damaged(path, "it is shorter than its index says")
        shape = (num_chunks * layout.rows_per_chunk, layout.dim)
        # Made from the map itself: a slice of it then looks up no other array.
        shards.append(np.ndarray(shape, layout.dtype, data.base))
    columns = [_map(files, path) for path in facts.columns]
    return _part(facts, MappedRows(layout, shards), columns, weight=len(shards) + len(columns))


def _map(files: Files, path: str) -> NDArray[np.uint8]:
    # By Arrow: Python's own mmap keeps a file descriptor for each map, and np.memmap takes a
    # microsecond for each slice.
    try:
        with pa.memory_map(files.absolute(path)) as source:
            return np.frombuffer(source.read_buffer(), np.uint8)
    except FileNotFoundError as error:
        # Arrow's own says the file in a sentence, which would stand within ours.
        raise gone(path) from error


def _cached(files: Files, cache: Cache, facts: Sequence[_Plain]) -> Iterator[OpenPart]:
    """Parts that go through the cache; their columns and shard indices come in one request."""
    paths, starts = [], []
    for one in facts:
        paths += [*one.columns, *one.shards]
        starts += [0, 0, *[-one.layout.index_bytes] * one.layout.num_shards]
    data = iter(files.read_ranges(paths, starts, [None] * len(paths)))
    for one in facts:
        layout, entry = one.layout, one.entry
        columns = [np.frombuffer(next(data), np.uint8) for _ in one.columns]
        ranges = np.concatenate(
            [
                np.empty((0, 2), np.int64),
                *(_ranges(layout, n, next(data), path) for n, path in enumerate(one.shards)),
            ]
        )
        source: RowSource = MappedRows(layout, [])
        if layout.num_rows:
            # Not the digest alone: another store could claim the digest of this group.
            identity = f"{files.uri}\n{entry.path}\n{entry.sha256}"
            chunks = (layout.num_chunks, layout.rows_per_chunk, layout.dim)
            file = cache.open(identity, chunks, layout.dtype)
            source = CachedRows(files, entry.path, layout, ranges, file)
        held = ranges.nbytes + sum(column.nbytes for column in columns)
        yield _part(one, source, columns, weight=1 + held // _BYTES_OF_A_MAP)


def _ranges(layout: RowsLayout, shard: int, index: bytes, path: str) -> NDArray[np.int64]:
    try:
        return chunk_ranges(layout, shard, index)
    except ValueError as error:
        raise damaged(path, str(error)) from error


def _part(
    facts: _Plain, source: RowSource, columns: Sequence[NDArray[np.uint8]], *, weight: int
) -> OpenPart:
    time, first = columns
    if (len(time), len(first)) != (8 * facts.num_times, 8 * (facts.num_times + 1)):
        raise damaged(facts.entry.path, "`time` or `first` is cut short")
    offsets = first.view("<i8")
    if (offsets[0], offsets[-1]) != (0, facts.layout.num_rows):
        raise damaged(facts.entry.path, "`first` does not rise from 0 to the number of rows")
    return OpenPart(
        source=source,
        dim=facts.layout.dim,
        dtype=facts.layout.dtype,
        times=time.view("<f8"),
        first=offsets,
        weight=weight,
    )


def _by_zarr(files: Files, path: str) -> OpenPart:
    try:
        group = open_group(files, path)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
    held = group.times.nbytes + group.first.nbytes
    return OpenPart(
        source=ZarrRows(group.rows),
        dim=int(group.rows.shape[1]),
        dtype=np.dtype(group.rows.dtype),
        times=group.times,
        first=group.first,
        weight=1 + held // _BYTES_OF_A_MAP,
    )
