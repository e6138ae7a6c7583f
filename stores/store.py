"""A store: create it, open it, write files, commit them, read what is live."""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores import layout
from reelbank.stores.bank import FeatureBank
from reelbank.stores.checks import check_commit, check_slices
from reelbank.stores.columns import CommitColumns
from reelbank.stores.commits import Commit, FileEntry, Unit, commit_key
from reelbank.stores.descriptions import bank_descriptions
from reelbank.stores.features import Features, gather_features
from reelbank.stores.files import Files
from reelbank.stores.groups import encode_group, group_digest
from reelbank.stores.history import History
from reelbank.stores.identity import files_at, json_object, make_store, no_store, read_store_id
from reelbank.stores.info import store_info
from reelbank.stores.keys import digest_of
from reelbank.stores.labels import encoded_labels, label_files, label_units
from reelbank.stores.live import LiveSet, LiveUnit
from reelbank.stores.names import unknown
from reelbank.stores.queries import Parameters, SqlEngine
from reelbank.stores.search import Like, search_table
from reelbank.stores.stages import REMOVAL
from reelbank.stores.tables import TableReader, encode_table

__all__ = ["Commit", "FileEntry", "LiveSet", "Store", "Unit", "open_store"]


class Store:
    """A folder or object-store prefix of tables, banks and commits; made by `open_store`.

    Threads may share one. It travels between processes by its uri.
    """

    def __init__(self, files: Files, store_id: str) -> None:
        self.files = files
        self.id = store_id
        self._history = History(files)
        self._lock = threading.RLock()
        self._frozen: LiveSet | None = None
        self._engine, self._reader = SqlEngine(files), TableReader(files)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.uri, self._frozen)

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
        compression: str = "none",
    ) -> FileEntry:
        """Write a bank's group; nothing shows it before a commit names it.

        `rows` (n, dim) is float16 or float32, `times` (k,) the key times of the units one after
        the other, `first` (k + 1,) the offset of each one's first row; the units carry their
        `time_offset`, `num_times`, `row_offset` and `num_rows`. `compression` is 'none' or 'zstd'.
        """
        path = layout.bank_path(bank, key=key, attempt=attempt)
        check_slices(units, first)
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
            compression,
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
        check_commit(stage, units, files)
        return self._create(
            key=commit_key(stage, units),
            attempt=attempt,
            stage=stage,
            units=tuple(units),
            files=tuple(files),
            run=run,
        )

    def move(
        self,
        stage: str,
        items: Sequence[LiveUnit],
        files: Sequence[FileEntry],
        *,
        groups: Sequence[str | None],
        attempt: str,
    ) -> Commit | None:
        """Make these files hold live units in place of those that hold them now.

        Nothing that was committed since the units were looked at is hidden. `groups` has, for each
        unit of a bank, the path of its group among `files`; otherwise None.
        """
        units = [
            replace(item.unit, origin=item.order[:3], group=group)
            for item, group in zip(items, groups, strict=True)
        ]
        check_commit(stage, units, files)
        key = digest_of({"moved": [unit.key for unit in units], "attempt": attempt})
        return self._create(
            key=key,
            attempt=attempt,
            stage=stage,
            units=tuple(units),
            files=tuple(files),
            run=items[0].commit.run,
        )

    def remove(self, video_ids: Collection[str], *, run: str) -> Commit | None:
        """Take videos out: nothing of them that was committed so far counts any more."""
        attempt = self.new_attempt()
        return self._create(
            key=digest_of({"removed": sorted(video_ids), "attempt": attempt}),
            attempt=attempt,
            stage=REMOVAL,
            units=(),
            files=(),
            run=run,
            removes=tuple(sorted(video_ids)),
        )

    def revive(
        self, key: str, *, video_ids: Collection[str] | None = None, run: str | None = None
    ) -> Commit | None:
        """Make a superseded commit count again without computing: a new commit, the old files.

        With `video_ids`, its units of these videos alone. None where the key was never committed,
        where one of its videos was removed since or one of its files is gone; where everything is
        live already, the commit there is.
        """
        with self._lock:
            self._history.refresh()
            old = self._history.committed(key)
            # Compaction may have moved its work: a collection takes the files that it came from.
            holder = None if old is None else self._history.ledger.whole_holder(old)
            if old is None or holder is None or not all(map(self._is_there, holder.files)):
                return None
            keys = {unit.key for unit in old.units}
            units = [
                unit
                for unit in holder.units
                if unit.key in keys and (video_ids is None or unit.video_id in video_ids)
            ]
            if not units:
                return None
            # They are to count as new, wherever compaction had put them.
            units = [replace(unit, origin=None) for unit in units]
            new_key = commit_key(old.stage, units)
            created = self._create(
                key=new_key,
                attempt=holder.attempt,
                stage=old.stage,
                units=tuple(units),
                files=holder.files,
                run=old.run if run is None else run,
            )
            return created or self._history.committed(new_key)

    def commit_labels(
        self,
        name: str,
        version: str,
        *,
        lines: pa.Table,
        classes: pa.Table,
        details: Mapping[str, Any],
        run: str,
    ) -> Commit | None:
        """Bring in a label set whole, in place of what it held; None where the same is there.

        `lines` and `classes` have the columns of `label_schema`; `details` says where they came
        from, as plain JSON.
        """
        label_set = f"{name}@{version}"
        encoded = {
            table: encoded_labels(table, label_set, data)
            for table, data in (("labels", lines), ("classes", classes))
        }
        digest = digest_of(
            {"files": [hashlib.sha256(data).hexdigest() for data in encoded.values()]}
        )
        units = label_units(label_set, lines, self.live(), digest=digest, details=details)
        stage, attempt = units[0].stage, self.new_attempt()
        num_rows = {"labels": len(lines), "classes": len(classes)}
        key = commit_key(stage, units)
        files = label_files(label_set, encoded, num_rows, key=key, attempt=attempt)
        for entry in files:
            self.files.write_new(entry.path, encoded[entry.name])
        commit = self.commit(stage, units, files, run=run, attempt=attempt)
        if len({item.commit.name for item in self.live().select(stage=stage)}) > 1:
            raise ValueError(
                f"another process brought in label set {label_set!r} at the same moment, and the "
                "two are mixed now; import it again"
            )
        return commit

    def write_run(self, run_id: str, record: Mapping[str, Any]) -> None:
        """Write, or write again, what is known of a run; plain JSON."""
        data = json.dumps(dict(record), indent=1, allow_nan=False, sort_keys=True).encode()
        self.files.replace(layout.run_path(run_id), data)

    def describe_banks(self) -> None:
        """Write each live bank's bank.json, for foreign readers; the commits hold the truth."""
        for bank, description in bank_descriptions(self.live()).items():
            data = json.dumps(description, indent=1, allow_nan=False, sort_keys=True).encode()
            self.files.replace(layout.bank_description_path(bank), data)

    # Reading: each call looks at the disk once and stays with the live set found there; so that
    # several calls agree, read a `frozen` store.

    def frozen(self) -> "Store":
        """The store as it is now: whatever is committed later, all reading through it agrees.

        That is, all but the lists of commits and runs. Files that `compact` and `gc` take away
        after the grace time are missed from then on.
        """
        return _frozen(Store(self.files, self.id), self.live())

    def live(self) -> LiveSet:
        """What counts now, refreshed from the disk; of a frozen store what counted then."""
        if self._frozen is not None:
            return self._frozen
        with self._lock:
            self._history.refresh()
            return self._history.live()

    def committed(self, key: str) -> Commit | None:
        """The newest commit of that key, live or not; None where there is none."""
        with self._lock:
            self._history.refresh()
            return self._history.committed(key)

    def columns(self) -> CommitColumns:
        """All commits as columns: quickly looked through where there are thousands."""
        with self._lock:
            self._history.refresh()
            return CommitColumns(self._history.ledger.columns())

    def commits(self) -> list[Commit]:
        """All commits, oldest first; an object for each takes seconds where there are thousands."""
        with self._lock:
            self._history.refresh()
            return sorted(self._history.ledger.commits(), key=lambda commit: commit.order)

    def committed_keys(self) -> set[str]:
        """Keys of all commits."""
        with self._lock:
            self._history.refresh()
            return self._history.ledger.keys()

    def fingerprint(self) -> dict[tuple[str, str, float, float], tuple[str, tuple[str, ...]]]:
        """Live spans -> (unit key, file digests): equal where runs differ in nothing but luck."""
        return self.live().fingerprint()

    def runs(self) -> list[dict[str, Any]]:
        """Records of all runs, each with its id under 'run', by id."""
        names = self._run_names()
        found = self.files.read_many([f"{layout.RUNS}/{name}" for name in names])
        return [
            {"run": name.removesuffix(".json"), **json_object(f"{layout.RUNS}/{name}", data)}
            for name, data in ((name, found[f"{layout.RUNS}/{name}"]) for name in names)
        ]

    def sql(self, text: str, params: Parameters = None) -> pa.Table:
        """Answer one SELECT, EXPLAIN or DESCRIBE; `ABOUT` in views.py tells the tables."""
        return self._engine.query(self.live(), self.runs, text, params)

    def table(
        self,
        name: str,
        video_id: str,
        start_seconds: float = -float("inf"),
        end_seconds: float = float("inf"),
    ) -> pa.Table:
        """Live lines of one table and video: start <= time < end, or spans that overlap it."""
        span = {"start_seconds": start_seconds, "end_seconds": end_seconds}
        return self._reader.lines(self.live(), name, video_id, **span)

    def detections(
        self, video_id: str, start_seconds: float = -float("inf"), end_seconds: float = float("inf")
    ) -> pa.Table:
        """Detections with start <= time < end, by time and rank; `track_id` null: no track."""
        span = {"start_seconds": start_seconds, "end_seconds": end_seconds}
        return self._reader.detections(self.live(), video_id, **span)

    def bank(self, name: str) -> FeatureBank:
        """A bank over the live set of now; ValueError with close names where there is none."""
        return self._bank(name, self.live())

    def features(self, sql: str, bank: str, params: Parameters = None) -> Features:
        """Rows of a bank for each line of a query that gives video_id and time.

        With `rank`, the one row of that detection; without, every row at that key time, the line
        repeated.
        """
        live = self.live()
        lines = self._engine.query(live, self.runs, sql, params)
        return gather_features(lines, self._bank(bank, live), self.files, live)

    def search(self, bank: str, like: NDArray[Any] | Like, *, top: int = 20) -> pa.Table:
        """The `top` rows of a bank most alike a row (dim,), or one named by video and time.

        Columns video_id, time, place, rank, track_id and score (cosine), best first.
        """
        live = self.live()
        return search_table(self._bank(bank, live), like, top=top, reader=self._reader, live=live)

    def info(self) -> dict[str, Any]:
        """Videos by status, hours, rows, banks, bytes and runs, as plain JSON."""
        num_runs = len(self._run_names())
        return store_info(self.id, self.files, self.live(), self._engine, num_runs=num_runs)

    # Inside.

    def _run_names(self) -> list[str]:
        return [name for name in self.files.list_names(layout.RUNS) if name.endswith(".json")]

    def _create(self, **fields: Any) -> Commit | None:
        with self._lock:
            self._history.refresh()
            sequence = self._history.ledger.max_sequence + 1
            return self._history.create(Commit(sequence=sequence, **fields))

    def _bank(self, name: str, live: LiveSet) -> FeatureBank:
        if name not in live.banks():
            raise unknown("bank", name, live.banks())
        return FeatureBank(name, self.files, live)

    def _is_there(self, entry: FileEntry) -> bool:
        path = entry.path if entry.kind == "table" else f"{entry.path}/rows/zarr.json"
        return self.files.exists(path)


def _frozen(store: Store, live: LiveSet | None) -> Store:
    store._frozen = live
    return store


def _reopened(uri: str, live: LiveSet | None) -> Store:
    return _frozen(open_store(uri), live)


def open_store(uri: str | os.PathLike[str], *, create: bool = False) -> Store:
    """Open a store at a local path or URL; with `create`, make one where there is none.

    Raises ValueError where there is none, where the folder holds something else, where the store
    is of a newer format or damaged, and, with `create`, where it cannot be written.
    """
    text = os.fspath(uri)
    try:
        files = files_at(text)
        if create:
            make_store(files)
        elif not files.exists(layout.STORE_FILE):
            raise no_store(files)
        return Store(files, read_store_id(files))
    except ImportError as error:
        raise ValueError(f"store {text!r} needs a package: {error}") from error
    except OSError as error:
        verb = "created or written" if create else "read"
        raise ValueError(f"store {text!r} cannot be {verb}: {error}") from error
