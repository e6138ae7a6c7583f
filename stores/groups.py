"""A bank's rows as a Zarr v3 group; the only file that knows zarr.

`rows` (n, dim) is sharded: inner chunks of 64 rows, bare or under zstd, a shard for each 64 MiB or
less. `time` (k,) has the key times and `first` (k + 1,) the offset of each one's first row.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore

from reelbank.stores.files import Files

ROWS_PER_CHUNK = 64
SHARD_BYTES = 64 << 20
ROW_DTYPES = ("float16", "float32")
_ZSTD_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Group:
    """One group, opened for reading."""

    rows: Any
    """Zarr array (n, dim); slicing it reads the chunks touched."""
    times: NDArray[np.float64]
    """(k,) key times, in the order of the units."""
    first: NDArray[np.int64]
    """(k + 1,) offset of the first row of each key time, and n."""


def encode_group(
    rows: NDArray[Any],
    times: NDArray[np.float64],
    first: NDArray[np.int64],
    attributes: Mapping[str, Any],
    compression: str = "none",
) -> dict[str, bytes]:
    """Files of the group by name; each shard is made whole, in memory, by this one writer."""
    _check(rows, times, first)
    written: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(written), attributes=dict(attributes), zarr_format=3)
    # Created, then assigned: zarr-python#3169 gives wrong checksums for data= with shards.
    array = group.create_array(
        "rows",
        shape=rows.shape,
        dtype=rows.dtype,
        chunks=(ROWS_PER_CHUNK, rows.shape[1]),
        shards=(_rows_per_shard(rows), rows.shape[1]),
        compressors=_compressors(compression),
        fill_value=0,
        dimension_names=("row", "feature"),
        # Otherwise a row of zeros would be a chunk that is not there.
        config={"write_empty_chunks": True},
    )
    if len(rows):
        array[:] = rows
    for name, values in (("time", times), ("first", first)):
        column = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(max(1, len(values)),),
            compressors=None,
            fill_value=0,
            config={"write_empty_chunks": True},
        )
        if len(values):
            column[:] = values
    return {name: written[name].to_bytes() for name in sorted(written)}


def group_digest(digests: Mapping[str, str]) -> str:
    """SHA-256 of the lines '<sha256>  <name>' of the group's files, as sha256sum prints them."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def open_group(files: Files, path: str) -> Group:
    """Open a group; reads its `time` and `first`, not its rows."""
    if files.is_local:
        store: Any = LocalStore(files.absolute(path), read_only=True)
    else:
        # The store's own file system, for its patience and its sentences.
        fs = AsyncFileSystemWrapper(files.fs, asynchronous=True)
        store = FsspecStore(fs, read_only=True, path=files.absolute(path))
    group: Any = zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)
    times, first = np.asarray(group["time"][:]), np.asarray(group["first"][:])
    return Group(rows=group["rows"], times=times, first=first)


def _compressors(compression: str) -> Any:
    """Of each inner chunk of `rows`; bare numbers are what a reader maps into its memory."""
    if compression == "none":
        return None
    if compression != "zstd":
        raise ValueError(f"compression={compression!r} is unknown; known: 'none', 'zstd'")
    return ZstdCodec(level=_ZSTD_LEVEL, checksum=True)


def _rows_per_shard(rows: NDArray[Any]) -> int:
    """Whole chunks, evenly over as few shards as the size limit allows."""
    num_chunks = max(1, -(-len(rows) // ROWS_PER_CHUNK))
    chunk_bytes = ROWS_PER_CHUNK * rows.shape[1] * rows.dtype.itemsize
    num_shards = -(-num_chunks // max(1, SHARD_BYTES // chunk_bytes))
    return int(-(-num_chunks // num_shards) * ROWS_PER_CHUNK)


def _check(rows: NDArray[Any], times: NDArray[Any], first: NDArray[Any]) -> None:
    if rows.ndim != 2 or rows.shape[1] == 0 or str(rows.dtype) not in ROW_DTYPES:
        raise ValueError(
            f"bank rows must be (n, dim) of {' or '.join(ROW_DTYPES)}, "
            f"got {rows.shape} of {rows.dtype}"
        )
    if times.ndim != 1 or first.shape != (len(times) + 1,):
        raise ValueError(f"first must be ({len(times) + 1},) for {len(times)} key times")
    if first[0] != 0 or first[-1] != len(rows) or np.any(np.diff(first) < 0):
        raise ValueError(f"first must rise from 0 to the {len(rows)} rows, got {first}")
