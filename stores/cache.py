"""A bounded cache on the local disk: rows of compressed or remote groups, as plain numbers.

Each group has one sparse file: its inner chunks as they are when decoded, and behind them a number
for each: 0, or the chunk's CRC-32 with bit 32 set. Files are memory-mapped, so that after the first
touch a window is a view. A chunk counts in a process only after its sum was checked there once: a
power cut, a killed writer or a foreign file can cost a second fetch, and nothing else. Processes
share the folder without a lock: all that write a chunk write the same bytes. Files are dropped by
unlinking, which leaves the maps of readers whole; and as these keep the bytes on the disk, each
process lets go of them when it looks at the folder next.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
import weakref
import zlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FOLDER_VARIABLE = "REELBANK_CACHE_DIR"
BYTES_VARIABLE = "REELBANK_CACHE_BYTES"
DEFAULT_BYTES = 16 << 30

_NAME = re.compile(r"[0-9a-f]{64}\.chunks")
_WRITTEN = 1 << 32
_ROOM = 16
"""A scan leaves 1/16 of the bound free, and comes when a process has written 1/32 of it."""


class Cache:
    """The folder, and how much may lie in it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._unseen_bytes = max_bytes
        """Written by this process since it last looked at the whole folder."""
        self._files: dict[int, weakref.ref[CacheFile]] = {}
        """Those open in this process."""

    def open(
        self, identity: str, chunks: tuple[int, int, int], dtype: np.dtype[Any]
    ) -> "CacheFile":
        """The file of a group of (number of chunks, rows in each, dim); ValueError if unusable.

        `identity` says which group it is, and is never used as a path.
        """
        text = f"{identity}\n{chunks} {dtype.str}"
        name = f"{hashlib.sha256(text.encode()).hexdigest()}.chunks"
        file = CacheFile(self, self.folder / name, chunks, dtype)
        key, files = id(file), self._files
        files[key] = weakref.ref(file, lambda _: files.pop(key, None))
        return file

    def grew(self, num_bytes: int, used: "CacheFile") -> None:
        """Note what was written; drops the groups used least recently where it is too much.

        What is on its way out of `used` stays mapped there, dropped or not.
        """
        self._unseen_bytes += num_bytes
        if self._unseen_bytes * 2 * _ROOM < self.max_bytes:
            return
        self._unseen_bytes = 0
        there = {inode for _, _, _, inode in self._drop(sorted(self._held()))}
        for reference in list(self._files.values()):
            file = reference()
            if file is not None and file is not used:
                file.let_go(there)

    def _drop(self, held: list["_Held"]) -> list["_Held"]:
        """Unlink the first of these where all are too much; those that stay."""
        total = sum(size for _, size, _, _ in held)
        if total <= self.max_bytes:
            return held
        for number, (_, size, name, _) in enumerate(held):
            if total <= self.max_bytes - self.max_bytes // _ROOM:
                return held[number:]
            with contextlib.suppress(OSError):
                os.unlink(self.folder / name)
                total -= size
        return []

    def _held(self) -> Iterator["_Held"]:
        """Each of our files."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not _NAME.fullmatch(entry.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    inode = found.st_dev, found.st_ino
                    yield found.st_mtime, found.st_blocks * 512, entry.name, inode


_Held = tuple[float, int, str, tuple[int, int]]
"""Time of last use, bytes on disk, name, and device and number of a file."""


@dataclass(frozen=True, slots=True)
class CacheMap:
    """A group's rows in the cache, as memory-mapped once."""

    rows: NDArray[Any]
    """(n, dim), read-only; zeros where missing."""
    sums: NDArray[np.uint64]
    """(num_chunks,)."""
    checked: bytearray
    """1 for each chunk found whole in this process."""
    inode: tuple[int, int]
    """Device and number of the file."""

    def missing(self, low: int, high: int) -> list[int]:
        """Which of the chunks low to high are not there, or not whole."""
        if self.checked.find(0, low, high) < 0:
            return []
        length = len(self.rows) // len(self.sums)
        found = []
        for chunk in range(low, high):
            if not self.checked[chunk]:
                # The sum first: on a tmpfs the mere look at rows that are not there takes memory.
                known = int(self.sums[chunk])
                if known and known == _sum_of(self.rows[chunk * length : (chunk + 1) * length]):
                    self.checked[chunk] = 1
                else:
                    found.append(chunk)
        return found


class CacheFile:
    """One group's file in the cache."""

    def __init__(
        self, cache: Cache, path: Path, chunks: tuple[int, int, int], dtype: np.dtype[Any]
    ) -> None:
        self._cache, self._path, self._dtype = cache, path, dtype
        self._num_chunks, self._rows_per_chunk, self._dim = chunks
        self._chunk_bytes = self._rows_per_chunk * self._dim * dtype.itemsize
        self._map: CacheMap | None = None

    @property
    def map(self) -> CacheMap:
        """As it is now; another one where the file was dropped meanwhile."""
        held = self._map
        if held is None:
            with self._descriptor() as descriptor:
                held = self._map = self._mapped(descriptor)
                # The folder is kept in order of last use by this.
                os.utime(descriptor)
        return held

    def let_go(self, there: Container[tuple[int, int]]) -> None:
        """Keep no file mapped but these (device and number): its bytes could not leave the disk."""
        held = self._map
        if held is not None and held.inode not in there:
            self._map = None

    def fill(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        """Write chunks. Where the file was dropped meanwhile, what it had is missing again."""
        total = 0
        with self._descriptor() as descriptor:
            if self._map is None or _identity(descriptor) != self._map.inode:
                self._map = self._mapped(descriptor)
            for chunk, data in chunks:
                assert len(data) == self._chunk_bytes
                _write(descriptor, data, chunk * self._chunk_bytes)
                number = _sum_of(data).to_bytes(8, "little")
                _write(descriptor, number, self._num_chunks * self._chunk_bytes + 8 * chunk)
                total += len(data)
        self._cache.grew(total, self)

    def _mapped(self, descriptor: int) -> CacheMap:
        # Shared, not private: what other processes write must show. By Arrow, as Python's own mmap
        # keeps a descriptor for each group; not by the path, as another process may have dropped
        # the file since it was opened, and a third may just be making it anew.
        with pa.memory_map(f"/dev/fd/{descriptor}", "r+") as source:
            data = np.frombuffer(source.read_buffer(), np.uint8)
        data.flags.writeable = False
        end = self._num_chunks * self._chunk_bytes
        return CacheMap(
            rows=data[:end].view(self._dtype).reshape(-1, self._dim),
            sums=data[end : end + 8 * self._num_chunks].view("<u8"),
            checked=bytearray(self._num_chunks),
            inode=_identity(descriptor),
        )

    @contextlib.contextmanager
    def _descriptor(self) -> Iterator[int]:
        """The file, open for writing, of the right size; made where it is not there."""
        size = self._num_chunks * (self._chunk_bytes + 8)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = _opened(self._path)
            try:
                found = os.fstat(descriptor)
                if stat.S_ISREG(found.st_mode) and found.st_size <= size:
                    if found.st_size < size:
                        # Written, not only promised: where a tmpfs is full, the touch of a hole in
                        # a map ends the process.
                        sums = bytes(8 * self._num_chunks)
                        _write(descriptor, sums, size - len(sums))
                    yield descriptor
                    return
            finally:
                os.close(descriptor)
            # Not ours; not cut, as that would kill whoever has it mapped.
            os.unlink(self._path)
        except OSError as error:
            raise self._unusable(error) from error
        with self._descriptor() as descriptor:
            yield descriptor

    def _unusable(self, error: OSError) -> ValueError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = f"set {BYTES_VARIABLE} to fewer bytes, or " if full else "set "
        return ValueError(
            f"the cache folder {str(self._path.parent)!r} cannot be used: {error.strerror}; "
            f"{remedy}{FOLDER_VARIABLE} to another folder"
        )


def cache_from_environment() -> Cache:
    """The cache where the environment says; ValueError where its bound is no number."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = str(Path(base) / "reelbank")
    text = os.environ.get(BYTES_VARIABLE) or str(DEFAULT_BYTES)
    if not text.isdecimal():
        raise ValueError(f"{BYTES_VARIABLE}={text!r} must be a number of bytes, like {16 << 30}")
    return Cache(Path(folder), int(text))


def _sum_of(data: Any) -> int:
    return zlib.crc32(data) | _WRITTEN


def _opened(path: Path) -> int:
    if path.is_symlink():
        os.unlink(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
