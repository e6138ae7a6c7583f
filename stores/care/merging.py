"""Table files brought together: lines read video by video, written as one sorted stream.

Memory is bounded by what is kept decoded and by the size of the file that is made, whatever the
number of files that are read.
"""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reelbank.stores.commits import FileEntry
from reelbank.stores.files import Files
from reelbank.stores.schemas import schema_of
from reelbank.stores.tables import ROWS_PER_GROUP, table_writer

_WHOLE_BYTES = 8 << 20
_FETCHED_BYTES = 1 << 20
_OPEN_FILES = 128
_DECODED_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class _Source:
    """One table file, open."""

    stream: BinaryIO
    parquet: pq.ParquetFile
    bounds: tuple[tuple[str, str] | None, ...]
    """Least and greatest video of each row group; None where it does not say."""


class LineReader:
    """Lines of one video in one committed file; every file's digest is checked before it is used.

    Keeps the files and the row groups that were used last. A context manager.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._decoded: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._decoded_bytes = 0
        self._checked: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._sources:
            self._close_oldest()

    def lines(self, entry: FileEntry, video_id: str | None) -> Iterator[pa.Table]:
        """Lines of a video, or all where None, in the file's order; ValueError for a damaged file.

        They come in pieces no longer than the file's row groups.
        """
        source = self._source(entry)
        for number, bounds in enumerate(source.bounds):
            if video_id is not None and bounds is not None:
                least, greatest = bounds
                if not least <= video_id <= greatest:
                    continue
            piece = self._row_group(entry, number)
            if video_id is not None:
                piece = piece.filter(pc.field("video_id") == video_id)
            if len(piece):
                yield piece

    def fetch(self, entries: Iterable[FileEntry]) -> None:
        """Bring in small files that will be asked for next, all at once."""
        wanted = {
            entry.path: entry
            for entry in entries
            if entry.path not in self._sources and entry.num_bytes <= _FETCHED_BYTES
        }
        for path, data in self._files.read_many(sorted(wanted)).items():
            self._keep(wanted[path], _from_bytes(wanted[path], data))

    def _source(self, entry: FileEntry) -> _Source:
        if entry.path in self._sources:
            self._sources.move_to_end(entry.path)
            return self._sources[entry.path]
        if entry.num_bytes <= _WHOLE_BYTES:
            source = _from_bytes(entry, self._files.read(entry.path))
        else:
            if entry.path not in self._checked:
                _check_digest(entry, self._files.sha256(entry.path))
                self._checked.add(entry.path)
            source = _opened(entry, self._files.open(entry.path))
        self._keep(entry, source)
        return source

    def _keep(self, entry: FileEntry, source: _Source) -> None:
        self._sources[entry.path] = source
        while len(self._sources) > _OPEN_FILES:
            self._close_oldest()

    def _close_oldest(self) -> None:
        _, source = self._sources.popitem(last=False)
        source.parquet.close()
        source.stream.close()

    def _row_group(self, entry: FileEntry, number: int) -> pa.Table:
        place = (entry.path, number)
        if place in self._decoded:
            self._decoded.move_to_end(place)
            return self._decoded[place]
        found = _with_columns(self._source(entry).parquet, number, schema_of(entry.name))
        self._decoded[place] = found
        self._decoded_bytes += found.nbytes
        while self._decoded_bytes > _DECODED_BYTES and len(self._decoded) > 1:
            _, oldest = self._decoded.popitem(last=False)
            self._decoded_bytes -= oldest.nbytes
        return found


class TableWriter:
    """One Parquet file, made in memory from pieces; encoded as `encode_table` does."""

    def __init__(self, table: str) -> None:
        self._schema = schema_of(table)
        self._buffer = io.BytesIO()
        self._writer = table_writer(table, self._buffer)
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self.num_rows = 0

    def add(self, lines: pa.Table) -> None:
        """Put lines behind those before."""
        self._waiting.append(lines)
        self._num_waiting += len(lines)
        self.num_rows += len(lines)
        whole = self._num_waiting - self._num_waiting % ROWS_PER_GROUP
        if whole:
            self._write(whole)

    def finish(self) -> bytes:
        """The file's bytes."""
        if self._num_waiting or not self.num_rows:
            self._write(self._num_waiting)
        self._writer.close()
        return self._buffer.getvalue()

    def _write(self, count: int) -> None:
        found = pa.concat_tables([self._schema.empty_table(), *self._waiting])
        self._writer.write_table(found.slice(0, count), row_group_size=ROWS_PER_GROUP)
        rest = found.slice(count)
        self._waiting, self._num_waiting = ([rest] if len(rest) else []), len(rest)


def table_entry(path: str, table: str, data: bytes, num_rows: int) -> FileEntry:
    """What a commit says of a table file with these bytes."""
    return FileEntry(
        path=path,
        kind="table",
        name=table,
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        num_rows=num_rows,
    )


def _from_bytes(entry: FileEntry, data: bytes) -> _Source:
    _check_digest(entry, hashlib.sha256(data).hexdigest())
    return _opened(entry, io.BytesIO(data))


def _opened(entry: FileEntry, stream: BinaryIO) -> _Source:
    parquet = pq.ParquetFile(stream)
    return _Source(stream, parquet, tuple(_bounds(parquet.metadata)))


def _check_digest(entry: FileEntry, found: str) -> None:
    # Else damage would be written anew, under a digest that says that all is well.
    if found != entry.sha256:
        raise ValueError(
            f"{entry.path} is damaged (its SHA-256 is not the committed one); reelbank verify "
            "lists all damage"
        )


def _bounds(metadata: pq.FileMetaData) -> Iterator[tuple[str, str] | None]:
    names: Sequence[str] = metadata.schema.names
    for number in range(metadata.num_row_groups):
        if "video_id" not in names:
            yield None
            continue
        found = metadata.row_group(number).column(names.index("video_id")).statistics
        yield (found.min, found.max) if found is not None and found.has_min_max else None


def _with_columns(parquet: pq.ParquetFile, number: int, schema: pa.Schema) -> pa.Table:
    there = set(parquet.schema_arrow.names)
    names = [name for name in schema.names if name in there]
    found = parquet.read_row_group(number, columns=names, use_threads=False)
    for field in schema:
        # A column that came later, which may be null.
        if field.name not in there and field.nullable:
            found = found.append_column(field, pa.nulls(len(found), field.type))
    return found.select(schema.names).cast(schema)
