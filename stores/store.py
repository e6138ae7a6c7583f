"""A store: create it, open it, write files, commit them, read what is live."""

import datetime
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores import layout
from reelbank.stores.bank import FeatureBank
from reelbank.stores.commits import Commit, FileEntry, Unit, commit_key
from reelbank.stores.features import Features, gather_features
from reelbank.stores.files import Files
from reelbank.stores.groups import encode_group, group_digest
from reelbank.stores.info import bank_descriptions, store_info
from reelbank.stores.live import BANK_PREFIX, Ledger, LiveSet, tables_of
from reelbank.stores.names import unknown
from reelbank.stores.queries import Parameters, run_query
from reelbank.stores.schemas import FORMAT_VERSION
from reelbank.stores.snapshots import (
    COMMITS_PER_SNAPSHOT,
    read_snapshot,
    snapshot_sizes,
    write_snapshot,
)
from reelbank.stores.tables import encode_table, read_lines

__all__ = ["Commit", "FileEntry", "LiveSet", "Store", "Unit", "open_store"]

FORMAT_NAME = "reelbank"


class Store:
    """A folder or object-store prefix of tables, banks and commits; made by `open_store`.

    Threads may share one. It travels between processes by its uri.
    """

    def __init__(self, files: Files, store_id: str) -> None:
        self.files = files
        self.id = store_id
        self._ledger = Ledger()
        self._live: LiveSet | None = None
        self._num_in_snapshot = 0
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.uri,)

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def uri(self) -> str:
        """Where it is: an absolute path or a URL."""
        return self.files.uri

    # Writing: files first, under names that nobody else uses; then one commit.

    @staticmethod
    def commit_key(stage: str, units: Sequence[Unit | str]) -> str:
        """Key of the commit of a stage on these units (given whole, or by their keys)."""
        return commit_key(stage, units)

    @staticmethod
    def new_attempt() -> str:
        """A token that no other attempt has."""
        return secrets.token_hex(6)

    def write_table(self, table: str, *, key: str, attempt: str, data: pa.Table) -> FileEntry:
        """Write a table file; nothing shows it before a commit names it."""
        path = layout.table_path(table, key=key, attempt=attempt)
        encoded = encode_table(table, data)
        self.files.write_new(path, encoded)
        return FileEntry(
            path=path,
            kind="table",
            name=table,
            num_bytes=len(encoded),
            sha256=hashlib.sha256(encoded).hexdigest(),
            num_rows=len(data),
        )

    def write_bank(
        self,
        bank: str,
        *,
        key: str,
        attempt: str,
        rows: NDArray[Any],
        times: NDArray[np.float64],
        first: NDArray[np.int64],
        units: Sequence[Unit],
    ) -> FileEntry:
        """Write a bank's group; nothing shows it before a commit names it.

        `rows` (n, dim) is float16 or float32, `times` (k,) the key times of the units one after
        the other, `first` (k + 1,) the offset of each one's first row; the units carry their
        `time_offset`, `num_times`, `row_offset` and `num_rows`.
        """
        path = layout.bank_path(bank, key=key, attempt=attempt)
        _check_slices(units, first)
        videos = [
            {
                "video_id": unit.video_id,
                "start_seconds": unit.start_seconds,
                "end_seconds": None if unit.end_seconds == float("inf") else unit.end_seconds,
                "time_offset": unit.time_offset,
                "num_times": unit.num_times,
                "row_offset": unit.row_offset,
                "num_rows": unit.num_rows,
            }
            for unit in units
        ]
        parts = encode_group(
            np.ascontiguousarray(rows),
            np.asarray(times, np.float64),
            np.asarray(first, np.int64),
            {"bank": bank, "videos": videos},
        )
        for name, data in parts.items():
            self.files.write_new(f"{path}/{name}", data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
        return FileEntry(
            path=path,
            kind="bank",
            name=bank,
            num_bytes=sum(map(len, parts.values())),
            sha256=group_digest(digests),
            num_rows=len(rows),
        )

    def commit(
        self,
        stage: str,
        units: Sequence[Unit],
        files: Sequence[FileEntry],
        *,
        run: str,
        attempt: str,
    ) -> Commit | None:
        """Make the files visible; None, quietly, where another writer did this work first."""
        _check_commit(stage, units, files)
        with self._lock:
            self._refresh()
            return self._create(
                Commit(
                    key=commit_key(stage, units),
                    attempt=attempt,
                    stage=stage,
                    units=tuple(units),
                    files=tuple(files),
                    run=run,
                    sequence=self._ledger.max_sequence + 1,
                )
            )

    def revive(
        self, key: str, *, video_ids: Collection[str] | None = None, run: str | None = None
    ) -> Commit | None:
        """Make a superseded commit count again without computing: a new commit, the old files.

        With `video_ids`, its units of these videos alone. None where the key was never committed
        or one of its files is gone; where everything is live already, the commit there is.
        """
        with self._lock:
            self._refresh()
            old = self._committed(key)
            if old is None or not all(self._is_there(entry) for entry in old.files):
                return None
            units = [u for u in old.units if video_ids is None or u.video_id in video_ids]
            if not units:
                return None
            new_key = commit_key(old.stage, units)
            created = self._create(
                Commit(
                    key=new_key,
                    attempt=old.attempt,
                    stage=old.stage,
                    units=tuple(units),
                    files=old.files,
                    run=old.run if run is None else run,
                    sequence=self._ledger.max_sequence + 1,
                )
            )
            return created or self._committed(new_key)

    def write_run(self, run_id: str, record: Mapping[str, Any]) -> None:
        """Write, or write again, what is known of a run; plain JSON."""
        data = json.dumps(dict(record), indent=1, allow_nan=False, sort_keys=True).encode()
        self.files.replace(layout.run_path(run_id), data)

    def describe_banks(self) -> None:
        """Write each live bank's bank.json, for foreign readers; the commits hold the truth."""
        for bank, description in bank_descriptions(self.live()).items():
            data = json.dumps(description, indent=1, allow_nan=False, sort_keys=True).encode()
            self.files.replace(layout.bank_description_path(bank), data)

    # Reading: each call looks at the disk once and stays with the live set found there.

    def live(self) -> LiveSet:
        """What counts now; refreshed from the disk."""
        with self._lock:
            self._refresh()
            if self._live is None:
                self._live = self._ledger.live_set()
            return self._live

    def committed(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        with self._lock:
            self._refresh()
            return self._committed(key)

    def committed_unit(self, unit_key: str) -> Commit | None:
        """The newest commit, live or not, that holds a unit of that key; None if there is none."""
        with self._lock:
            self._refresh()
            return self._ledger.by_unit_key.get(unit_key)

    def commits(self) -> list[Commit]:
        """All commits, oldest first."""
        with self._lock:
            self._refresh()
            return sorted(self._ledger.commits.values(), key=lambda commit: commit.order)

    def fingerprint(self) -> dict[tuple[str, str, float, float], tuple[str, tuple[str, ...]]]:
        """Live spans -> (unit key, file digests): equal where runs differ in nothing but luck."""
        return self.live().fingerprint()

    def runs(self) -> list[dict[str, Any]]:
        """Records of all runs, each with its id under 'run', by id."""
        names = [name for name in self.files.list_names(layout.RUNS) if name.endswith(".json")]
        found = self.files.read_many([f"{layout.RUNS}/{name}" for name in names])
        return [
            {"run": name.removesuffix(".json"), **_json_object(f"{layout.RUNS}/{name}", data)}
            for name, data in ((name, found[f"{layout.RUNS}/{name}"]) for name in names)
        ]

    def sql(self, text: str, params: Parameters = None) -> pa.Table:
        """Answer one SELECT; views: each table (also "index"), `tracked` and `runs`."""
        return run_query(self.files, self.live(), self.runs(), text, params)

    def table(
        self,
        name: str,
        video_id: str,
        start_seconds: float = -float("inf"),
        end_seconds: float = float("inf"),
    ) -> pa.Table:
        """Live lines of one table and video: start <= time < end, or spans that overlap it."""
        return read_lines(
            self.files,
            self.live(),
            name,
            video_id,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
        )

    def detections(
        self, video_id: str, start_seconds: float = -float("inf"), end_seconds: float = float("inf")
    ) -> pa.Table:
        """Detections with start <= time < end, by time and rank; `track_id` null: no track."""
        live = self.live()
        span = {"start_seconds": start_seconds, "end_seconds": end_seconds}
        found = read_lines(self.files, live, "detections", video_id, **span)
        links = read_lines(self.files, live, "links", video_id, **span)
        links = links.select(["time", "rank", "track_id"])
        joined = found.join(links, keys=["time", "rank"], join_type="left outer", use_threads=False)
        joined = joined.select([*found.column_names, "track_id"])
        return joined.sort_by([("time", "ascending"), ("rank", "ascending")])

    def bank(self, name: str) -> FeatureBank:
        """A bank over the live set of now; ValueError with close names where there is none."""
        return self._bank(name, self.live())

    def features(self, sql: str, bank: str, params: Parameters = None) -> Features:
        """Rows of a bank for each line of a query that gives video_id and time.

        With `rank`, the one row of that detection; without, every row at that key time, the line
        repeated.
        """
        live = self.live()
        lines = run_query(self.files, live, self.runs(), sql, params)
        return gather_features(lines, self._bank(bank, live), self.files, live)

    def info(self) -> dict[str, Any]:
        """Videos by status, hours, rows, banks, bytes and runs, as plain JSON."""
        return store_info(self.id, self.files, self.live(), num_runs=len(self.runs()))

    # Inside; called with the lock held.

    def _bank(self, name: str, live: LiveSet) -> FeatureBank:
        if not live.select(stage=f"{BANK_PREFIX}{name}"):
            raise unknown("bank", name, live.banks())
        return FeatureBank(name, self.files, live)

    def _committed(self, key: str) -> Commit | None:
        generation = self._ledger.generations.get(key)
        if generation is None:
            return None
        return self._ledger.commits[layout.commit_name(key, generation)]

    def _create(self, draft: Commit) -> Commit | None:
        previous = self._committed(draft.key)
        if previous is not None and self._ledger.is_live(previous):
            return None
        commit = Commit(
            key=draft.key,
            attempt=draft.attempt,
            stage=draft.stage,
            units=draft.units,
            files=draft.files,
            run=draft.run,
            sequence=draft.sequence,
            replaces=self._ledger.overlapped(draft.units),
            created=_now(),
            generation=0 if previous is None else previous.generation + 1,
        )
        created = self.files.create(layout.commit_path(commit.name), commit.to_json())
        if not created:
            self._refresh()
            there = self._ledger.commits.get(commit.name)
            # A conditional put that is tried again can lose to itself.
            return there if there is not None and there.created == commit.created else None
        self._ledger.add(commit)
        self._live = None
        self._snapshot_if_due()
        return commit

    def _snapshot_if_due(self) -> None:
        due = self._num_in_snapshot + COMMITS_PER_SNAPSHOT
        if len(self._ledger.commits) < due:
            return
        # Another process may have written one in the meantime.
        self._num_in_snapshot = max(snapshot_sizes(self.files), default=0)
        if len(self._ledger.commits) >= self._num_in_snapshot + COMMITS_PER_SNAPSHOT:
            write_snapshot(self.files, self._ledger.commits.values())
            self._num_in_snapshot = len(self._ledger.commits)

    def _refresh(self) -> None:
        names = set(commit_names(self.files))
        if self._ledger.commits.keys() - names:
            # Someone removed commits: begin anew.
            self._ledger = Ledger()
            self._live = None
        if not self._ledger.commits and names:
            known = read_snapshot(self.files)
            self._num_in_snapshot = len(known)
            for name in known.keys() & names:
                self._ledger.add(known[name])
        missing = sorted(names - self._ledger.commits.keys())
        if missing:
            self._live = None
        for commit in read_commits(self.files, missing):
            self._ledger.add(commit)

    def _is_there(self, entry: FileEntry) -> bool:
        path = entry.path if entry.kind == "table" else f"{entry.path}/rows/zarr.json"
        return self.files.exists(path)


def open_store(uri: str | os.PathLike[str], *, create: bool = False) -> Store:
    """Open a store at a local path or URL; with `create`, make one where there is none.

    Raises ValueError where there is none, where the folder holds something else, where the store
    is of a newer format or damaged, and, with `create`, where it cannot be written.
    """
    text = os.fspath(uri)
    try:
        files = _files_at(text)
        if create:
            _make_store(files)
        elif not files.exists(layout.STORE_FILE):
            raise _no_store(files)
        return Store(files, _store_id(files))
    except ImportError as error:
        raise ValueError(f"store {text!r} needs a package: {error}; pip install 's3fs'") from error
    except OSError as error:
        verb = "created or written" if create else "read"
        raise ValueError(f"store {text!r} cannot be {verb}: {error}") from error


def commit_names(files: Files) -> list[str]:
    """File names of all commits, sorted."""
    return [name for name in files.list_names(layout.COMMITS) if layout.parse_commit_name(name)]


def read_commits(files: Files, names: Sequence[str]) -> list[Commit]:
    """Read commits by file name; ValueError, with the remedy, for a damaged one."""
    found = files.read_many([layout.commit_path(name) for name in names])
    return [parse_commit(name, found[layout.commit_path(name)]) for name in names]


def parse_commit(name: str, data: bytes) -> Commit:
    """One commit from its file's bytes; ValueError, with the remedy, where it is damaged."""
    try:
        commit = Commit.from_json(data)
        if commit.name != name:
            raise ValueError(f"it says that it is {commit.name}")
    except ValueError as error:
        raise ValueError(
            f"{layout.commit_path(name)} is damaged ({error}); delete that file and extract again: "
            "only its stage is computed anew"
        ) from error
    return commit


def _files_at(text: str) -> Files:
    try:
        return Files(text)
    except ValueError as error:
        raise ValueError(
            f"store {text!r}: no such kind of address ({error}); give a local path or s3://bucket/path"
        ) from error


def _make_store(files: Files) -> None:
    if files.exists(layout.STORE_FILE):
        _check_writable(files)
        return
    if files.is_local and os.path.lexists(files.root) and not os.path.isdir(files.root):
        raise ValueError(f"{files.uri!r} is a file, not a folder; name an empty or a new folder")
    if files.list_names(""):
        raise ValueError(
            f"{files.uri!r} is not empty and is no store (it has no {layout.STORE_FILE}); "
            "name an empty or a new folder"
        )
    record = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "id": secrets.token_hex(8),
        "created": _now(),
    }
    files.create(layout.STORE_FILE, json.dumps(record, indent=1).encode())


def _check_writable(files: Files) -> None:
    if not files.is_local:
        return
    for folder in ("", layout.COMMITS, layout.TABLES, layout.BANKS):
        where = files.absolute(folder)
        if os.path.isdir(where) and not os.access(where, os.W_OK | os.X_OK):
            raise ValueError(f"store {files.uri!r} cannot be written: no permission for {where!r}")


def _no_store(files: Files) -> ValueError:
    if not files.exists(""):
        return ValueError(f"there is no store at {files.uri!r}; check the path, or extract to it")
    return ValueError(
        f"{files.uri!r} is not a store: it has no {layout.STORE_FILE}; name the store's own folder"
    )


def _store_id(files: Files) -> str:
    record = _json_object(layout.STORE_FILE, files.read(layout.STORE_FILE))
    version, store_id = record.get("format_version"), record.get("id")
    if record.get("format") != FORMAT_NAME or type(version) is not int or type(store_id) is not str:
        raise ValueError(
            f"{layout.STORE_FILE} of {files.uri!r} is damaged: it lacks format, format_version or "
            "id; restore it from a copy"
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f"store {files.uri!r} has format {version}, this program reads up to "
            f"{FORMAT_VERSION}; install a newer reelbank"
        )
    return store_id


def _json_object(path: str, data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; restore it from a copy") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: not a JSON object; restore it from a copy")
    return record


def _check_slices(units: Sequence[Unit], first: NDArray[np.int64]) -> None:
    for unit in units:
        low, high = unit.time_offset, unit.time_offset + unit.num_times
        if not 0 <= low <= high < len(first):
            raise ValueError(f"{unit.video_id!r}: key times {low} to {high} are not in the group")
        if (first[low], first[high]) != (unit.row_offset, unit.row_offset + unit.num_rows):
            raise ValueError(
                f"{unit.video_id!r}: `first` gives rows {first[low]} to {first[high]}, the unit "
                f"says {unit.row_offset} to {unit.row_offset + unit.num_rows}"
            )


def _check_commit(stage: str, units: Sequence[Unit], files: Sequence[FileEntry]) -> None:
    tables = tables_of(stage)
    if not units or any(unit.stage != stage for unit in units):
        raise ValueError(f"a commit of stage {stage!r} needs units, all of that stage")
    for entry in files:
        allowed = (
            entry.name in tables if entry.kind == "table" else f"{BANK_PREFIX}{entry.name}" == stage
        )
        if not allowed:
            raise ValueError(f"stage {stage!r} does not write the {entry.kind} {entry.name!r}")
    if len({(entry.kind, entry.name) for entry in files}) != len(files):
        raise ValueError(f"a commit of stage {stage!r} has two files of one table or bank")
    videos: set[str] = set()
    for unit in units:
        if unit.video_id in videos:
            raise ValueError(
                f"a commit has two units of {unit.video_id!r}; a part is one span of a long video "
                "or several whole videos"
            )
        videos.add(unit.video_id)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
