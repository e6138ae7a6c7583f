"""The rows of one group: mapped where they lie, through the cache, or by zarr-python."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores.cache import CacheFile
from reelbank.stores.files import Files
from reelbank.stores.shards import RowsLayout, shard_name

_READ_BYTES = 64 << 20
"""At most so much is under way at once."""
_RANGE_BYTES = 8 << 20
_GAP_BYTES = 1 << 20
"""A second request costs more than reading this much in between."""
_ATTEMPTS = 4


class RowSource(Protocol):
    """The rows of one group."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start to stop, a view where that is possible; they are not to be written to."""
        ...

    def flat(self, start: int, stop: int) -> NDArray[Any] | None:
        """Rows start to stop as an array that stays; None where their place may change."""
        ...


class MappedRows:
    """Rows of a local uncompressed group: a memory map for each shard."""

    def __init__(self, layout: RowsLayout, shards: Sequence[NDArray[Any]]) -> None:
        self._layout, self._shards = layout, shards

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """A view; a copy where the rows lie in several shards."""
        length = self._layout.rows_per_shard
        low, high = start // length, -(-stop // length)
        if high - low == 1:
            return self._shards[low][start - low * length : stop - low * length]
        if start == stop:
            return np.empty((0, self._layout.dim), self._layout.dtype)
        pieces = [self._shards[low][start - low * length :], *self._shards[low + 1 : high - 1]]
        return np.concatenate([*pieces, self._shards[high - 1][: stop - (high - 1) * length]])

    def flat(self, start: int, stop: int) -> NDArray[Any] | None:
        """An array on the map of the one shard; None where there are several."""
        if len(self._shards) != 1:
            return None
        (shard,) = self._shards
        # Not a slice: to slice that again would look up the array it was sliced from.
        return np.ndarray(
            (stop - start, *shard.shape[1:]), shard.dtype, shard.base, start * shard.strides[0]
        )


class CachedRows:
    """Rows of a compressed or remote group: fetched chunk by chunk, then views of the cache."""

    def __init__(
        self, files: Files, path: str, layout: RowsLayout, ranges: NDArray[Any], file: CacheFile
    ) -> None:
        """`ranges` (num_chunks, 2): offset and length of each chunk within its shard."""
        self._files, self._path, self._layout = files, path, layout
        self._ranges, self._file = ranges, file

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """A view of the cache, filled first where it must be."""
        length = self._layout.rows_per_chunk
        low, high = start // length, -(-stop // length)
        for _ in range(_ATTEMPTS):
            held = self._file.map
            if start == stop or not held.missing(low, high):
                return held.rows[start:stop]
            fetch(self._files, [(self, start, stop)])
            # Another thread's fetch may have let go of it since; what is held here stays whole.
            if not held.missing(low, high):
                return held.rows[start:stop]
        raise ValueError(
            f"the cache does not hold what is written to it, reading {self._path}; is its folder "
            "on a disk that several machines share?"
        )

    def flat(self, start: int, stop: int) -> NDArray[Any] | None:
        """None: chunks may be missing."""
        return None

    def missing(self, start: int, stop: int) -> list[int]:
        """Chunks of these rows that the cache lacks."""
        length = self._layout.rows_per_chunk
        return self._file.map.missing(start // length, -(-stop // length))

    def place(self, chunk: int) -> tuple[str, int, int]:
        """File, start and end of a chunk."""
        offset, length = self._ranges[chunk].tolist()
        shard = chunk // self._layout.chunks_per_shard
        return f"{self._path}/{shard_name(shard)}", offset, offset + length

    def fill(self, chunks: Mapping[int, bytes]) -> None:
        """Take in chunks as they lie in the file."""
        self._file.fill((chunk, self._decoded(data)) for chunk, data in chunks.items())

    def _decoded(self, data: bytes) -> bytes:
        size = self._layout.chunk_bytes
        if not data:
            return bytes(size)
        if self._layout.is_compressed:
            try:
                found = pa.decompress(data, decompressed_size=size, codec="zstd", asbytes=True)
            except OSError as error:
                raise damaged(self._path, str(error)) from error
            return bytes(found)
        if len(data) != size:
            raise damaged(self._path, f"a chunk of {len(data)} bytes instead of {size}")
        return data


class ZarrRows:
    """Rows of any other group: zarr-python reads them."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """A copy."""
        return np.asarray(self._array[start:stop])

    def flat(self, start: int, stop: int) -> NDArray[Any] | None:
        """None."""
        return None


class ConvertedRows:
    """Rows of another group in another type."""

    def __init__(self, source: RowSource, dtype: np.dtype[Any]) -> None:
        self._source, self._dtype = source, dtype

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """A copy; ValueError where a number is too large for the type."""
        rows = self._source.read(start, stop)
        with np.errstate(over="ignore"):
            found = rows.astype(self._dtype)
        if np.any(np.isinf(found) & np.isfinite(rows)):
            raise ValueError(
                f"the bank has parts of {rows.dtype} and newer ones of {self._dtype}, which is too "
                f"small for {np.abs(rows).max():.6g}; its settings changed: extract again to make "
                "it whole"
            )
        return found

    def flat(self, start: int, stop: int) -> NDArray[Any] | None:
        """None."""
        return None


def fetch(files: Files, wanted: Sequence[tuple[CachedRows, int, int]]) -> None:
    """Bring the rows start to stop of each of these groups into the cache, if they lack there.

    Chunks that lie close together share a request, and requests go out together.
    """
    chunks = {
        (id(source), chunk): (source, chunk)
        for source, start, stop in wanted
        for chunk in source.missing(start, stop)
    }
    places = [(source.place(chunk), source, chunk) for source, chunk in chunks.values()]
    places.sort(key=lambda one: one[0])
    for batch in _batches(_merged(places, 0 if files.is_local else _GAP_BYTES)):
        data = _read(files, [span for span, _ in batch])
        found: dict[int, tuple[CachedRows, dict[int, bytes]]] = {}
        for ((path, start, end), members), blob in zip(batch, data, strict=True):
            if len(blob) != end - start:
                raise damaged(path, f"it ends before byte {end}")
            for (_, low, high), source, chunk in members:
                held = found.setdefault(id(source), (source, {}))[1]
                held[chunk] = blob[low - start : high - start]
        for source, held in found.values():
            source.fill(held)


def _read(files: Files, spans: Sequence["_Span"]) -> list[bytes]:
    # A chunk that is not there, all zeros, takes no request.
    asked = [span for span in spans if span[2] > span[1]]
    paths = [path for path, _, _ in asked]
    starts, ends = [start for _, start, _ in asked], [end for _, _, end in asked]
    try:
        data = files.read_ranges(paths, starts, ends)
    except FileNotFoundError as error:
        raise gone(str(error.filename or error)) from error
    found = dict(zip(asked, data, strict=True))
    return [found.get(span, b"") for span in spans]


_Span = tuple[str, int, int]
_Member = tuple[_Span, CachedRows, int]


def _merged(places: Sequence[_Member], gap: int) -> Iterator[tuple[_Span, list[_Member]]]:
    """Ranges that cover these (sorted) ones, each with its members."""
    members: list[_Member] = []
    path, start, end = "", 0, 0
    for member in places:
        where, low, high = member[0]
        near = where == path and low <= end + gap and max(high, end) - start <= _RANGE_BYTES
        if members and not near:
            yield (path, start, end), members
            members = []
        if not members:
            path, start, end = where, low, high
        members.append(member)
        end = max(end, high)
    if members:
        yield (path, start, end), members


def _batches(
    ranges: Iterator[tuple[_Span, list[_Member]]],
) -> Iterator[list[tuple[_Span, list[_Member]]]]:
    batch, size = [], 0
    for span, members in ranges:
        batch.append((span, members))
        size += span[2] - span[1]
        if size >= _READ_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def damaged(path: str, error: str) -> ValueError:
    """What to say of a file that is not as it was written."""
    return ValueError(f"{path} is damaged: {error}; run reelbank verify")


def gone(path: str) -> ValueError:
    """What to say of a file that was there when the bank was opened."""
    return ValueError(
        f"{path} is no longer in the store: it was compacted or removed, and collected, since the "
        "bank was opened; open the bank again"
    )
