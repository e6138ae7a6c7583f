"""Checks that everything is there that the commits promise, and is what was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from reelbank.stores import layout
from reelbank.stores.commits import Commit, FileEntry
from reelbank.stores.files import Files
from reelbank.stores.groups import Group, group_digest, open_group
from reelbank.stores.history import commit_names, parse_commit
from reelbank.stores.live import LiveSet
from reelbank.stores.stages import bank_stage
from reelbank.stores.schemas import schema_of
from reelbank.stores.store import Store

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Problem:
    """Something on disk that is not as committed."""

    path: str
    """File or group, relative to the store."""
    error: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of a whole store found."""

    problems: tuple[Problem, ...]
    orphans: tuple[str, ...]
    """Table files and bank groups that no commit names: leftovers of killed or late writers."""
    num_files: int
    """Table files and bank groups that were read."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong; orphans do no harm."""
        return not self.problems


def verify(store: Store) -> Report:
    """Read every file that a commit names and compare it with the commit, byte for byte."""
    files = store.files
    commits, problems = _commits(files)
    named = {entry.path: entry for commit in commits for entry in commit.files}
    on_disk = _data_on_disk(files)
    live_paths: set[str] = set()
    if not problems:
        live = store.live()
        live_paths = {entry.path for entry in live.all_files()}
    for path, entry in sorted(named.items()):
        if path in on_disk:
            problems += _check_file(files, entry, on_disk[path])
        elif path in live_paths or not live_paths:
            problems.append(Problem(path, "a commit names it, but it is not there"))
    if not problems:
        problems += _check_units(files, live)
    orphans = tuple(sorted(on_disk.keys() - named.keys()))
    return Report(tuple(problems), orphans, num_files=len(named.keys() & on_disk.keys()))


def _commits(files: Files) -> tuple[list[Commit], list[Problem]]:
    commits, problems = [], []
    for name in commit_names(files):
        path = layout.commit_path(name)
        try:
            commits.append(parse_commit(name, files.read(path)))
        except (ValueError, OSError) as error:
            problems.append(Problem(path, str(error)))
    return commits, problems


def _data_on_disk(files: Files) -> dict[str, list[str]]:
    """Table files and bank groups that are there, each with the files that it is made of."""
    found: dict[str, list[str]] = {path: [path] for path in files.walk(layout.TABLES)}
    for path in files.walk(layout.BANKS):
        group = layout.group_of(path)
        if group is not None:
            found.setdefault(group, []).append(path)
    return found


def _check_file(files: Files, entry: FileEntry, parts: list[str]) -> Iterator[Problem]:
    try:
        num_bytes = sum(files.size(part) for part in parts)
        digests = {part: files.sha256(part) for part in parts}
        if entry.kind == "table":
            sha256 = digests[entry.path]
        else:
            sha256 = group_digest({part[len(entry.path) + 1 :]: digests[part] for part in parts})
        if num_bytes != entry.num_bytes:
            yield Problem(entry.path, f"has {num_bytes} bytes, the commit says {entry.num_bytes}")
        elif sha256 != entry.sha256:
            yield Problem(
                entry.path, "its bytes are not those that were committed (SHA-256 differs)"
            )
        else:
            yield from _check_content(files, entry)
    except (OSError, ValueError, KeyError) as error:
        yield Problem(entry.path, f"cannot be read: {error}")


def _check_content(files: Files, entry: FileEntry) -> Iterator[Problem]:
    if entry.kind == "bank":
        yield from _check_group(files, entry)
        return
    with files.open(entry.path) as stream:
        source = pq.ParquetFile(stream)
        if not source.schema_arrow.equals(schema_of(entry.name)):
            yield Problem(entry.path, f"its columns are not those of table {entry.name!r}")
        if source.metadata.num_rows != entry.num_rows:
            yield Problem(
                entry.path,
                f"has {source.metadata.num_rows} lines, the commit says {entry.num_rows}",
            )


def _check_group(files: Files, entry: FileEntry) -> Iterator[Problem]:
    group = open_group(files, entry.path)
    num_rows = int(group.rows.shape[0])
    if num_rows != entry.num_rows:
        yield Problem(entry.path, f"has {num_rows} rows, the commit says {entry.num_rows}")
    first = group.first
    if len(first) != len(group.times) + 1 or first[0] != 0 or first[-1] != num_rows:
        yield Problem(entry.path, "`first` does not run from 0 to the number of rows")
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        bad = ~np.isfinite(np.asarray(group.rows[start : start + _ROWS_AT_ONCE])).all(axis=1)
        if bad.any():
            row = start + int(np.argmax(bad))
            yield Problem(entry.path, f"row {row} (and maybe others) holds NaN or infinity")
            break


def _check_units(files: Files, live: LiveSet) -> Iterator[Problem]:
    """Each live bank unit against its group, and its lines of the index against both."""
    for bank in live.banks():
        for item in live.select(stage=bank_stage(bank)):
            entry, index = item.file("bank", bank), item.file("table", "index")
            if entry is None or index is None:
                yield Problem(
                    layout.commit_path(item.commit.name), f"lacks the group or index of {bank!r}"
                )
                continue
            group = open_group(files, entry.path)
            unit = item.unit
            low, high = unit.time_offset, unit.time_offset + unit.num_times
            found = group.first[[low, high]].tolist() if high < len(group.first) else None
            if found != [unit.row_offset, unit.row_offset + unit.num_rows]:
                yield Problem(entry.path, f"does not hold the rows promised of {unit.video_id!r}")
                continue
            lines = _index_lines(files, index.path, unit.video_id)
            if not _index_agrees(lines, group, low, high):
                yield Problem(index.path, f"does not describe the rows of {unit.video_id!r}")


def _index_lines(files: Files, path: str, video_id: str) -> Mapping[str, list[float]]:
    with files.open(path) as stream:
        table = pq.ParquetFile(stream).read(use_threads=False)
    wanted = [
        number for number, name in enumerate(table["video_id"].to_pylist()) if name == video_id
    ]
    columns = (
        table.take(wanted).select(["time", "first_row", "num_rows"])
        if wanted
        else table.slice(0, 0)
    )
    found: Mapping[str, list[float]] = columns.to_pydict()
    return found


def _index_agrees(lines: Mapping[str, list[float]], group: Group, low: int, high: int) -> bool:
    first = group.first[low : high + 1]
    expected = {
        "time": group.times[low:high].tolist(),
        "first_row": first[:-1].tolist(),
        "num_rows": np.diff(first).tolist(),
    }
    return dict(lines) == expected
