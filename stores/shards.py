"""Where the rows of a Zarr group lie in its files, read from its own metadata without zarr.

What is plain enough (one array of rows, sharded, its inner chunks bare or under zstd) is described
here in a few numbers. Anything else gives None: zarr-python reads it then.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import google_crc32c
import numpy as np
from numpy.typing import NDArray

_MISSING = np.uint64(2**64 - 1)
_CRC_BYTES = 4
_T = TypeVar("_T")
_DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "int64": "<i8"}


@dataclass(frozen=True, slots=True)
class RowsLayout:
    """An array of rows (n, dim), cut into shards and these into inner chunks."""

    num_rows: int
    dim: int
    dtype: np.dtype[Any]
    rows_per_chunk: int
    rows_per_shard: int
    is_compressed: bool
    """Each inner chunk is a zstd frame; otherwise bare little-endian numbers."""

    @property
    def chunk_bytes(self) -> int:
        """Bytes of an inner chunk, not compressed."""
        return self.rows_per_chunk * self.dim * self.dtype.itemsize

    @property
    def chunks_per_shard(self) -> int:
        """Inner chunks that a shard has places for."""
        return self.rows_per_shard // self.rows_per_chunk

    @property
    def num_chunks(self) -> int:
        """Inner chunks that hold rows."""
        return -(-self.num_rows // self.rows_per_chunk)

    @property
    def num_shards(self) -> int:
        """Shards that hold rows."""
        return -(-self.num_rows // self.rows_per_shard)

    @property
    def index_bytes(self) -> int:
        """Bytes of the index at the end of a shard."""
        return 16 * self.chunks_per_shard + _CRC_BYTES

    def num_chunks_of(self, shard: int) -> int:
        """Inner chunks of one shard that hold rows."""
        return min(self.chunks_per_shard, self.num_chunks - shard * self.chunks_per_shard)


def shard_name(shard: int) -> str:
    """File of a shard, relative to the group."""
    return f"rows/c/{shard}/0"


def shape_and_dtype(metadata: bytes) -> tuple[int, np.dtype[Any]]:
    """Length of a row and its type, of any `rows/zarr.json`; ValueError where it is none."""
    try:
        plain = json.loads(metadata)
        _, dim = plain["shape"]
        return int(dim), np.dtype(_DTYPES[plain["data_type"]])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it does not describe rows (n, dim) of floats: {error!r}") from error


def rows_layout(metadata: bytes) -> RowsLayout | None:
    """What `rows/zarr.json` says; None where it is not of the plain kind."""
    return _plain(_rows_layout, metadata)


def column_length(metadata: bytes, dtype: str) -> int | None:
    """Length of a bare, uncompressed column in one chunk; None where it is anything else."""
    return _plain(lambda plain: _column_length(plain, dtype), metadata)


def chunk_ranges(layout: RowsLayout, shard: int, index: bytes) -> NDArray[np.int64]:
    """(n, 2) offset and length of the shard's inner chunks that hold rows.

    A chunk that is all zeros and not there has the length 0. ValueError where the index is damaged.
    """
    numbers, crc = index[:-_CRC_BYTES], index[-_CRC_BYTES:]
    if len(index) != layout.index_bytes:
        raise ValueError(f"its index has {len(index)} bytes instead of {layout.index_bytes}")
    if google_crc32c.value(numbers) != int.from_bytes(crc, "little"):
        raise ValueError("the checksum of its index is wrong")
    ranges = np.frombuffer(numbers, "<u8").reshape(-1, 2)[: layout.num_chunks_of(shard)]
    return np.where(ranges == _MISSING, np.uint64(0), ranges).astype(np.int64)


def is_contiguous(layout: RowsLayout, ranges: NDArray[np.int64]) -> bool:
    """Whether the rows of an uncompressed shard lie one after the other from its first byte."""
    offsets = np.arange(len(ranges)) * layout.chunk_bytes
    return bool(np.all(ranges[:, 0] == offsets) and np.all(ranges[:, 1] == layout.chunk_bytes))


def _plain(read: Callable[[Any], _T | None], metadata: bytes) -> _T | None:
    try:
        return read(json.loads(metadata))
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _rows_layout(plain: Any) -> RowsLayout | None:
    num_rows, dim = plain["shape"]
    rows_per_shard, shard_dim = plain["chunk_grid"]["configuration"]["chunk_shape"]
    (sharding,) = plain["codecs"]
    inner = sharding["configuration"]
    rows_per_chunk, chunk_dim = inner["chunk_shape"]
    names = [codec["name"] for codec in inner["codecs"]]
    is_plain = (
        _is_simple(plain)
        and plain["data_type"] in ("float16", "float32")
        and sharding["name"] == "sharding_indexed"
        and inner.get("index_location", "end") == "end"
        and [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
        and _is_little(inner["index_codecs"][0])
        and names in (["bytes"], ["bytes", "zstd"])
        and _is_little(inner["codecs"][0])
        and dim == shard_dim == chunk_dim > 0
        and rows_per_chunk > 0 == rows_per_shard % rows_per_chunk
    )
    if not is_plain:
        return None
    dtype = np.dtype(_DTYPES[plain["data_type"]])
    return RowsLayout(num_rows, dim, dtype, rows_per_chunk, rows_per_shard, len(names) == 2)


def _column_length(plain: Any, dtype: str) -> int | None:
    (length,) = plain["shape"]
    (chunk,) = plain["chunk_grid"]["configuration"]["chunk_shape"]
    (codec,) = plain["codecs"]
    is_plain = (
        _is_simple(plain)
        and _DTYPES[plain["data_type"]] == dtype
        and codec["name"] == "bytes"
        and _is_little(codec)
        and 0 < length == chunk
    )
    return int(length) if is_plain else None


def _is_simple(plain: Any) -> bool:
    keys = plain["chunk_key_encoding"]
    return bool(
        plain["zarr_format"] == 3
        and plain["chunk_grid"]["name"] == "regular"
        and keys["name"] == "default"
        and keys.get("configuration", {}).get("separator", "/") == "/"
        and not plain.get("storage_transformers")
        and plain["fill_value"] == 0
    )


def _is_little(codec: Any) -> bool:
    return bool(codec["configuration"]["endian"] == "little")
