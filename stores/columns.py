"""Many commits as Arrow columns: known by name and by video without an object for each.

A store of 10,000 parts has 50,000 commits. As objects they take seconds to make; as columns they
are read in a fraction of one, and an object is made of those that are looked at.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reelbank.stores.commits import Commit, FileEntry, Unit

_TEXT, _I64, _F64 = pa.string(), pa.int64(), pa.float64()
_UNIT = pa.struct(
    [
        pa.field("video_id", _TEXT),
        pa.field("digest", _TEXT),
        pa.field("start_seconds", _F64),
        pa.field("end_seconds", _F64),
        pa.field("key", _TEXT),
        pa.field("num_rows", _I64),
        pa.field("time_offset", _I64),
        pa.field("num_times", _I64),
        pa.field("row_offset", _I64),
        pa.field("details", _TEXT),
        pa.field("origin_sequence", _I64),
        pa.field("origin_key", _TEXT),
        pa.field("origin_generation", _I64),
        pa.field("group", _TEXT),
    ]
)
_FILE = pa.struct(
    [
        pa.field("path", _TEXT),
        pa.field("kind", _TEXT),
        pa.field("name", _TEXT),
        pa.field("num_bytes", _I64),
        pa.field("sha256", _TEXT),
        pa.field("num_rows", _I64),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("name", _TEXT),
        pa.field("key", _TEXT),
        pa.field("generation", _I64),
        pa.field("attempt", _TEXT),
        pa.field("stage", _TEXT),
        pa.field("run", _TEXT),
        pa.field("sequence", _I64),
        pa.field("created", _TEXT),
        pa.field("replaces", pa.list_(_TEXT)),
        pa.field("removes", pa.list_(_TEXT)),
        pa.field("units", pa.list_(_UNIT)),
        pa.field("files", pa.list_(_FILE)),
        # Parallel to `units`: which of them counted when the columns were written.
        pa.field("live", pa.list_(pa.bool_())),
    ]
)
_AT_ONCE = 1000
_PLAIN = ("name", "key", "generation", "attempt", "stage", "run", "sequence", "created")


class CommitColumns:
    """Commits in a fixed order; commit i has the unit rows offsets[i] to offsets[i + 1]."""

    def __init__(self, table: pa.Table) -> None:
        """ValueError where the columns are not those of `SCHEMA`."""
        if not table.schema.equals(SCHEMA):
            raise ValueError("these are not the columns of a snapshot of format 1")
        self.table = table.combine_chunks()
        self.names: list[str] = table["name"].to_pylist()
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.stages: list[str] = table["stage"].to_pylist()
        self.offsets = _offsets(self.table, "units")
        self.live = _flat(self.table, "live").to_numpy(zero_copy_only=False).astype(bool)
        self._commits: dict[int, Commit] = {}

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def videos(self) -> list[str]:
        """Video of each unit row."""
        found: list[str] = _flat(self.table, "units").field("video_id").to_pylist()
        return found

    @cached_property
    def commit_of_row(self) -> NDArray[np.int64]:
        """Number of the commit of each unit row."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def sequences(self) -> NDArray[np.int64]:
        """Of each unit row the sequence of its commit, or of the one it was moved from."""
        origins = _flat(self.table, "units").field("origin_sequence")
        own = self.table["sequence"].to_numpy()[self.commit_of_row]
        return np.asarray(pc.coalesce(origins, pa.array(own, _I64)).to_numpy(zero_copy_only=False))

    @cached_property
    def rows_of_video(self) -> dict[str, list[int]]:
        """Unit rows of each video."""
        found: dict[str, list[int]] = defaultdict(list)
        for row, video_id in enumerate(self.videos):
            found[video_id].append(row)
        return dict(found)

    @cached_property
    def generations(self) -> dict[str, int]:
        """Highest generation of each key."""
        found: dict[str, int] = {}
        keys, generations = self.table["key"].to_pylist(), self.table["generation"].to_pylist()
        for key, generation in zip(keys, generations, strict=True):
            found[key] = max(generation, found.get(key, -1))
        return found

    @property
    def removals(self) -> list[int]:
        """Numbers of the commits that remove videos."""
        lengths = pc.list_value_length(self.table["removes"]).to_numpy()
        found: list[int] = np.flatnonzero(lengths).tolist()
        return found

    @property
    def max_sequence(self) -> int:
        """Greatest sequence; 0 where there is no commit."""
        return pc.max(self.table["sequence"]).as_py() or 0

    @cached_property
    def num_units(self) -> NDArray[np.int64]:
        """How many units each commit has."""
        return np.diff(self.offsets)

    @cached_property
    def num_live(self) -> NDArray[np.int64]:
        """How many units of each commit count."""
        held = np.bincount(self.commit_of_row[self.live], minlength=len(self))
        return held.astype(np.int64)

    def numbers_about(self, videos: Collection[str]) -> NDArray[np.int64]:
        """Numbers of the commits that have a unit of one of these videos, or remove one."""
        wanted = pa.array(sorted(videos), _TEXT)
        units, removes = _flat(self.table, "units").field("video_id"), _flat(self.table, "removes")
        rows = np.flatnonzero(pc.is_in(units, wanted).to_numpy(zero_copy_only=False))
        gone = np.flatnonzero(pc.is_in(removes, wanted).to_numpy(zero_copy_only=False))
        removing = np.searchsorted(_offsets(self.table, "removes"), gone, side="right") - 1
        return np.union1d(self.commit_of_row[rows], removing).astype(np.int64)

    def numbers_naming(self, paths: Collection[str]) -> NDArray[np.int64]:
        """Numbers of the commits that name one of these files."""
        wanted = pa.array(sorted(paths), _TEXT)
        found = pc.is_in(_flat(self.table, "files").field("path"), wanted)
        rows = np.flatnonzero(found.to_numpy(zero_copy_only=False))
        return np.unique(np.searchsorted(_offsets(self.table, "files"), rows, side="right") - 1)

    @property
    def paths(self) -> set[str]:
        """Paths of all files that a commit names."""
        return set(_flat(self.table, "files").field("path").to_pylist())

    @property
    def has_moved(self) -> bool:
        """Whether compaction moved a unit."""
        origins = _flat(self.table, "units").field("origin_sequence")
        return bool(origins.null_count < len(origins))

    def num_units_of(self, run: str) -> dict[str, int]:
        """Stage -> units that a run made; a moved one is its original's work."""
        origins = _flat(self.table, "units").field("origin_sequence")
        own = origins.is_null().to_numpy(zero_copy_only=False)
        held = np.bincount(self.commit_of_row[own], minlength=len(self))
        found: dict[str, int] = defaultdict(int)
        of_run = pc.equal(self.table["run"], run).to_numpy()
        for number in np.flatnonzero(of_run).tolist():
            found[self.stages[number]] += int(held[number])
        return dict(found)

    def commit(self, number: int) -> Commit:
        """The commit of that number; made once."""
        if number not in self._commits:
            self._make([number], self.table.slice(number, 1))
        return self._commits[number]

    def commits(self, numbers: Sequence[int] | None = None) -> Iterator[Commit]:
        """Those of these numbers, or all; made many at a time."""
        wanted = range(len(self)) if numbers is None else numbers
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            unmade = [number for number in some if number not in self._commits]
            self._make(unmade, self.table.take(pa.array(unmade, _I64)))
            yield from (self._commits[number] for number in some)

    def _make(self, numbers: Sequence[int], table: pa.Table) -> None:
        for number, plain in zip(numbers, table.to_pylist(), strict=True):
            self._commits[number] = _from_plain(plain)

    def files_of(self, table: str) -> list[tuple[int, FileEntry]]:
        """Number of the commit and entry of each file of a table."""
        files, offsets = _flat(self.table, "files"), _offsets(self.table, "files")
        is_table = pc.equal(files.field("kind"), "table")
        wanted = pc.and_(is_table, pc.equal(files.field("name"), table))
        rows = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
        commits = np.searchsorted(offsets, rows, side="right") - 1
        entries = [FileEntry(**plain) for plain in files.take(pa.array(rows)).to_pylist()]
        return list(zip(commits.tolist(), entries, strict=True))


def columns_of(commits: Iterable[Commit], live: Iterable[Sequence[bool]]) -> pa.Table:
    """Columns of these commits, each with which of its units count."""
    lines = [
        _to_plain(commit) | {"live": list(flags)}
        for commit, flags in zip(commits, live, strict=True)
    ]
    return pa.Table.from_pylist(lines, schema=SCHEMA)


def with_live(table: pa.Table, live: NDArray[np.bool_]) -> pa.Table:
    """The same commits with other flags, one for each unit row."""
    table = table.combine_chunks()
    flags = pa.ListArray.from_arrays(
        pa.array(_offsets(table, "units"), pa.int32()), pa.array(live, pa.bool_())
    )
    return table.set_column(table.schema.get_field_index("live"), SCHEMA.field("live"), flags)


def _flat(table: pa.Table, name: str) -> Any:
    column = table[name]
    array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return array.flatten()


def _offsets(table: pa.Table, name: str) -> NDArray[np.int64]:
    lengths = pc.list_value_length(table[name]).to_numpy()
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _to_plain(commit: Commit) -> dict[str, Any]:
    plain: dict[str, Any] = {name: getattr(commit, name) for name in _PLAIN}
    plain["replaces"], plain["removes"] = list(commit.replaces), list(commit.removes)
    plain["units"] = [_unit_to_plain(unit) for unit in commit.units]
    plain["files"] = [dataclasses.asdict(entry) for entry in commit.files]
    return plain


def _unit_to_plain(unit: Unit) -> dict[str, Any]:
    names = ("origin_sequence", "origin_key", "origin_generation")
    origin = dict(zip(names, unit.origin or (None, None, None), strict=True))
    details = json.dumps(dict(unit.details)) if unit.details else None
    others = {field.name for field in _UNIT} - {*names, "details"}
    return {name: getattr(unit, name) for name in others} | origin | {"details": details}


def _from_plain(plain: dict[str, Any]) -> Commit:
    del plain["name"], plain["live"]
    stage = plain["stage"]
    units = tuple(_unit_from_plain(unit, stage) for unit in plain.pop("units"))
    files = tuple(FileEntry(**entry) for entry in plain.pop("files"))
    replaces, removes = tuple(plain.pop("replaces")), tuple(plain.pop("removes"))
    return Commit(units=units, files=files, replaces=replaces, removes=removes, **plain)


def _unit_from_plain(plain: dict[str, Any], stage: str) -> Unit:
    sequence = plain.pop("origin_sequence")
    origin = (sequence, plain.pop("origin_key"), plain.pop("origin_generation"))
    details = plain.pop("details")
    plain["details"] = {} if details is None else json.loads(details)
    plain["origin"] = None if sequence is None else origin
    return Unit(stage=stage, **plain)
