"""Reading and writing below a store's root through fsspec: local paths, memory:// and s3://."""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import secrets
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

_CHUNK_BYTES = 1 << 20
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without hard links answers."""
_MEMORY_LOCK = threading.Lock()
"""memory:// is one for the whole process, and looks before it writes."""
_SETTLED_NS = 3_000_000_000

TEMPORARY_PREFIX = ".writing-"
"""Start of the name of a file that is not whole yet."""


class Files:
    """One store's files, named by their path relative to its root."""

    def __init__(self, uri: str) -> None:
        # A local path is taken straight: url_to_fs reads '::' in a path as a chain of file systems.
        self._given = uri if "://" in uri else os.path.abspath(uri)
        self._connect()
        self.is_local = isinstance(self._fs, LocalFileSystem)

    def _connect(self) -> None:
        if "://" in self._given:
            self._fs, self.root = _remote(self._given)
        else:
            self._fs, self.root = LocalFileSystem(), self._given
        self.root = self.root.rstrip("/") or self.root
        self._process = os.getpid()

    @property
    def fs(self) -> AbstractFileSystem:
        """The file system; made anew in a forked process, where the old one's thread is gone."""
        if self._process != os.getpid():
            self._connect()
        return self._fs

    @property
    def uri(self) -> str:
        """Local path, or URL, of the root."""
        return self.root if self.is_local else cast(str, self.fs.unstrip_protocol(self.root))

    def absolute(self, path: str) -> str:
        """What the file system calls the file."""
        return f"{self.root}/{path}" if path else self.root

    def exists(self, path: str) -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self.fs.exists(self.absolute(path)))

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return int(self.fs.size(self.absolute(path)))

    def open(self, path: str, num_bytes: int | None = None) -> BinaryIO:
        """The file, to be read; its size, where it is known, saves a request."""
        if isinstance(self.fs, MemoryFileSystem):
            # Its own handles on one file share a position.
            return io.BytesIO(self.read(path))
        known = {} if self.is_local or num_bytes is None else {"size": num_bytes}
        return cast(BinaryIO, self.fs.open(self.absolute(path), "rb", **known))

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        return cast(bytes, self.fs.cat_file(self.absolute(path)))

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """All bytes of many files (fetched at once where the file system can)."""
        if not paths:
            return {}
        # Not fs.cat: it takes the characters *, ? and [ of a path for a pattern.
        names = [self.absolute(path) for path in paths]
        found: Sequence[bytes] = self.fs.cat_ranges(names, None, None, on_error="raise")
        return {path: bytes(data) for path, data in zip(paths, found, strict=True)}

    def read_existing(self, paths: Sequence[str]) -> dict[str, bytes]:
        """As `read_many`, without the files that are not there."""
        names = [self.absolute(path) for path in paths]
        answers = self.fs.cat_ranges(names, None, None, on_error="return") if names else []
        found: dict[str, bytes] = {}
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, bytes):
                found[path] = answer
            elif not isinstance(answer, FileNotFoundError):
                raise answer
        return found

    def read_ranges(
        self, paths: Sequence[str], starts: Sequence[int], ends: Sequence[int | None]
    ) -> list[bytes]:
        """Bytes start to end of each of these files (fetched at once where the file system can).

        An end of None is the file's; with it, a negative start counts from there. Of a file that is
        too short, what it has.
        """
        names = [self.absolute(path) for path in paths]
        if self.is_local:
            return [_read_range(*one) for one in zip(names, starts, ends, strict=True)]
        found = self.fs.cat_ranges(names, list(starts), list(ends), on_error="raise")
        return [bytes(data) for data in found]

    def list_names(self, folder: str) -> list[str]:
        """Names of what lies in a folder, sorted; empty where the folder is not there."""
        where = self.absolute(folder)
        try:
            if self.is_local:
                # fsspec would look at each file.
                return sorted(os.listdir(where))
            self.fs.invalidate_cache(where)
            found = self.fs.ls(where, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def list_digests(self, folder: str) -> list[str]:
        """As `list_names`, of a folder of thousands of files named by digests.

        S3 gives 1,000 names a page, one page after the other: there the pages of each first digit
        are asked for at once.
        """
        by_digit = getattr(self.fs, "names_by_digit", None)
        return (
            self.list_names(folder) if by_digit is None else sorted(by_digit(self.absolute(folder)))
        )

    def settled_stamp(self, folder: str) -> int | None:
        """A local folder's modification time, in nanoseconds: equal means nothing was added.

        None where that cannot be trusted: the folder is remote, or changed so lately that another
        file could come under the same stamp.
        """
        if not self.is_local:
            return None
        try:
            stamp = os.stat(self.absolute(folder)).st_mtime_ns
        except OSError:
            return None
        return stamp if time.time_ns() - stamp > _SETTLED_NS else None

    def walk(self, folder: str) -> list[str]:
        """Paths, relative to the root, of all files below a folder, sorted."""
        where = self.absolute(folder)
        self.fs.invalidate_cache()
        if not self.fs.exists(where):
            return []
        found = cast(list[str], self.fs.find(where))
        prefix = len(self.root.rstrip("/")) + 1
        return sorted(name[prefix:] for name in found)

    def write_new(self, path: str, data: bytes) -> None:
        """Write a file whose name nobody else uses; on the disk before this returns."""
        if not self.is_local:
            self.fs.pipe_file(self.absolute(path), data)
            return
        where = self.absolute(path)
        _make_folder(os.path.dirname(where))
        with open(where, "xb") as stream:
            # An empty file is but a name, which its folder keeps.
            if data:
                _write_durably(stream, data)
        _sync_folder(where)

    def create(self, path: str, data: bytes) -> bool:
        """Create the file whole and at once; False where it was there before."""
        where = self.absolute(path)
        if not self.is_local:
            in_memory = isinstance(self.fs, MemoryFileSystem)
            try:
                with _MEMORY_LOCK if in_memory else contextlib.nullcontext():
                    self.fs.pipe_file(where, data, mode="create")
            except FileExistsError:
                return False
            return True
        temporary = _write_beside(where, data)
        try:
            return _name_if_free(temporary, where)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            _sync_folder(where)

    def replace(self, path: str, data: bytes) -> None:
        """Write a file, in place of the one there; a reader sees the old or the new one."""
        where = self.absolute(path)
        if not self.is_local:
            self.fs.pipe_file(where, data)
            return
        temporary = _write_beside(where, data)
        os.replace(temporary, where)
        _sync_folder(where)

    def remove(self, path: str) -> None:
        """Remove a file; quietly where it is gone."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.absolute(path))

    def remove_many(self, paths: Sequence[str]) -> None:
        """Remove files (at once where the file system can); quietly where they are gone."""
        at_once = getattr(self.fs, "remove_many", None)
        if at_once is not None:
            at_once([self.absolute(path) for path in paths])
            return
        for path in paths:
            self.remove(path)

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, hexadecimal, read piece by piece."""
        digest = hashlib.sha256()
        with self.open(path) as stream:
            while data := stream.read(_CHUNK_BYTES):
                digest.update(data)
        return digest.hexdigest()


def _read_range(where: str, start: int, end: int | None) -> bytes:
    with open(where, "rb") as stream:
        if start < 0:
            # As object stores do, all of a file that is shorter than the tail that is asked for.
            start = max(0, os.fstat(stream.fileno()).st_size + start)
        stream.seek(start)
        return stream.read() if end is None else stream.read(end - start)


def _remote(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and what it calls the place."""
    if not uri.startswith(("s3://", "s3a://")):
        found: tuple[AbstractFileSystem, str] = fsspec.core.url_to_fs(uri)
        return found
    try:
        # s3fs is an extra.
        from reelbank.stores.s3 import OPTIONS, S3
    except ImportError as error:
        raise ImportError(
            f"{uri!r} needs the package s3fs ({error}); pip install 'reelbank[s3]'"
        ) from error
    return S3(**OPTIONS), S3._strip_protocol(uri)


def _name_if_free(temporary: str, where: str) -> bool:
    """Give a whole file its name; False where the name is taken."""
    try:
        # A link, unlike a rename, fails where the name is taken.
        os.link(temporary, where)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_if_free(temporary, where)
    return True


def _rename_if_free(temporary: str, where: str) -> bool:
    """As above without hard links: whoever holds the folder's lock may look and then rename.

    The lock ends with its process, so that a kill blocks nobody.
    """
    folder = os.open(os.path.dirname(where), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.lexists(where):
            return False
        os.rename(temporary, where)
    except OSError as error:
        raise OSError(
            error.errno,
            f"this file system has neither hard links nor locks ({error.strerror}), one of which "
            "a commit needs; keep the store on another one",
            where,
        ) from error
    finally:
        os.close(folder)
    return True


def _write_beside(where: str, data: bytes) -> str:
    folder = os.path.dirname(where)
    _make_folder(folder)
    temporary = os.path.join(folder, f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as stream:
            _write_durably(stream, data)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return temporary


def _make_folder(folder: str) -> None:
    if os.path.isdir(folder):
        return
    _make_folder(os.path.dirname(folder))
    os.makedirs(folder, exist_ok=True)
    _sync_folder(folder)


def _write_durably(stream: BinaryIO, data: bytes) -> None:
    try:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    except OSError as error:
        # A full disk names no file by itself.
        raise OSError(error.errno, error.strerror, stream.name) from error


def _sync_folder(where: str) -> None:
    # So that a name outlives a power cut together with its file.
    folder = os.open(os.path.dirname(where), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
