"""The same rows in other formats, each as its own users would read a window of it.

Each function writes the rows of all films below a folder and gives a reader: (number of the film,
first row) -> the rows of one window, copied, (60, dim).
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WINDOW = 60
READER = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Rows of generated films: equal ones are never neighbours, and none needs to be kept."""

    num_films: int
    rows_per_film: int
    dim: int

    @property
    def pool(self) -> np.ndarray:
        """(4099, dim) float16, of which each film is a stretch."""
        return np.random.default_rng(0).normal(size=(4099, self.dim)).astype(np.float16)

    def films(self) -> Iterator[np.ndarray]:
        """Rows (rows_per_film, dim) of each film."""
        pool = self.pool
        pool = np.concatenate([pool, pool[: self.rows_per_film]])
        for number in range(self.num_films):
            start = self.start(number)
            yield pool[start : start + self.rows_per_film]

    def start(self, number: int) -> int:
        """Where a film begins in the pool."""
        return number * 37 % 4099

    def expected(self, number: int, first: int) -> np.ndarray:
        """A window."""
        places = np.arange(first, first + WINDOW) + self.start(number)
        return self.pool[places % 4099]


def npy(folder: Path, rows: Rows) -> READER:
    """One .npy file, opened as numpy opens it."""
    path = folder / "rows.npy"
    shape = (rows.num_films * rows.rows_per_film, rows.dim)
    if not path.exists():
        written = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        for number, film in enumerate(rows.films()):
            written[number * len(film) : (number + 1) * len(film)] = film
        written.flush()
    mapped = np.load(path, mmap_mode="r")
    return _by_first_row(mapped, rows)


def npy_plain(folder: Path, rows: Rows) -> READER:
    """The same map, taken as a plain array: np.memmap takes a microsecond for each slice."""
    npy(folder, rows)
    return _by_first_row(np.asarray(np.load(folder / "rows.npy", mmap_mode="r")), rows)


def _by_first_row(mapped: np.ndarray, rows: Rows) -> READER:
    starts = {f"{n:06d}.mp4": n * rows.rows_per_film for n in range(rows.num_films)}
    names = list(starts)

    def read(number: int, first: int) -> np.ndarray:
        start = starts[names[number]] + first
        return np.array(mapped[start : start + WINDOW])

    return read


def in_lmdb(folder: Path, rows: Rows) -> READER:
    """LMDB: a value for each film, cut without a copy."""
    import lmdb

    size = 2 * rows.num_films * rows.rows_per_film * rows.dim * 2 + (1 << 26)
    base = lmdb.open(str(folder / "rows.lmdb"), map_size=size, sync=False)
    for number, film in enumerate(rows.films()):
        with base.begin(write=True) as change:
            change.put(f"{number:06d}.mp4".encode(), film.tobytes())
    transaction = base.begin(buffers=True)

    def read(number: int, first: int) -> np.ndarray:
        value = transaction.get(f"{number:06d}.mp4".encode())
        offset = first * rows.dim * 2
        found = np.frombuffer(value, np.float16, WINDOW * rows.dim, offset)
        return np.array(found.reshape(WINDOW, rows.dim))

    return read


def in_hdf5(folder: Path, rows: Rows) -> READER:
    """h5py: one contiguous data set."""
    import h5py

    with h5py.File(folder / "rows.h5", "w") as file:
        shape = (rows.num_films * rows.rows_per_film, rows.dim)
        found = file.create_dataset("rows", shape, np.float16)
        for number, film in enumerate(rows.films()):
            found[number * len(film) : (number + 1) * len(film)] = film
    found = h5py.File(folder / "rows.h5", "r")["rows"]

    def read(number: int, first: int) -> np.ndarray:
        start = number * rows.rows_per_film + first
        return np.asarray(found[start : start + WINDOW])

    return read


def in_zarr(folder: Path, rows: Rows) -> READER:
    """zarr-python: one sharded array with the chunks of a bank."""
    import zarr

    shard = 27 * 64
    array: Any = zarr.create_array(
        str(folder / "rows.zarr"),
        shape=(rows.num_films * rows.rows_per_film, rows.dim),
        dtype="float16",
        chunks=(64, rows.dim),
        shards=(shard, rows.dim),
        compressors=None,
        config={"write_empty_chunks": True},
    )
    held, start = [], 0
    for film in rows.films():
        held.append(film)
        while sum(map(len, held)) >= shard:
            joined = np.concatenate(held)
            array[start : start + shard] = joined[:shard]
            held, start = [joined[shard:]], start + shard
    joined = np.concatenate(held)
    if len(joined):
        array[start : start + len(joined)] = joined

    def read(number: int, first: int) -> np.ndarray:
        start = number * rows.rows_per_film + first
        return np.asarray(array[start : start + WINDOW])

    return read


def in_parquet(folder: Path, rows: Rows) -> READER:
    """Parquet: a row group for each film, a fixed-size list of bytes for each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = rows.dim * 2
    schema = pa.schema([("row", pa.binary(width))])
    with pq.ParquetWriter(folder / "rows.parquet", schema, compression="none") as writer:
        for film in rows.films():
            buffers = [None, pa.py_buffer(np.ascontiguousarray(film))]
            column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(film), buffers)
            writer.write_table(pa.table({"row": column}, schema=schema))
    source = pq.ParquetFile(folder / "rows.parquet", memory_map=True)

    def read(number: int, first: int) -> np.ndarray:
        column = source.read_row_group(number, use_threads=False)["row"].chunk(0)
        found = np.frombuffer(column.buffers()[1], np.float16).reshape(-1, rows.dim)
        return np.array(found[first : first + WINDOW])

    return read


def in_lance(folder: Path, rows: Rows) -> READER:
    """Lance: a fixed-size list of halves for each row, taken by their numbers."""
    import lance
    import pyarrow as pa

    schema = pa.schema([("row", pa.list_(pa.float16(), rows.dim))])

    def batches() -> Iterator[pa.RecordBatch]:
        for film in rows.films():
            column = pa.FixedSizeListArray.from_arrays(pa.array(film.ravel()), rows.dim)
            yield pa.RecordBatch.from_arrays([column], schema=schema)

    shutil.rmtree(folder / "rows.lance", ignore_errors=True)
    data = lance.write_dataset(
        pa.RecordBatchReader.from_batches(schema, batches()), str(folder / "rows.lance")
    )

    def read(number: int, first: int) -> np.ndarray:
        start = number * rows.rows_per_film + first
        column = data.take(list(range(start, start + WINDOW)))["row"].combine_chunks()
        return np.asarray(column.flatten()).reshape(WINDOW, rows.dim)

    return read


RIVALS: dict[str, Callable[[Path, Rows], READER]] = {
    "LMDB": in_lmdb,
    "h5py": in_hdf5,
    "Lance": in_lance,
    "zarr-python": in_zarr,
    "Parquet": in_parquet,
}
