"""Checks of live lines: each belongs to a unit, is there once, and says what the groups say."""

import posixpath
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reelbank.stores import layout
from reelbank.stores.care.findings import Problem
from reelbank.stores.commits import FileEntry
from reelbank.stores.files import Files
from reelbank.stores.groups import Group, open_group
from reelbank.stores.labels import SET_COLUMNS, set_and_version
from reelbank.stores.live import LiveSet, LiveUnit
from reelbank.stores.stages import bank_of, label_set_of, tables_of

_UNIQUE = {
    "videos": (),
    "scores": ("time",),
    "detections": ("time", "rank"),
    "shots": ("shot_id",),
    "tracks": ("track_id",),
    "links": ("time", "rank"),
    "index": ("time",),
    "predictions": ("time", "rank", "label"),
}
"""Columns that tell the lines of a video apart, for tables in which none may be there twice."""

_OPEN_GROUPS = 16


def check_lines(files: Files, live: LiveSet) -> Iterator[Problem]:
    """The live lines of all tables that have an order, and the index against the groups."""
    hidden = {
        table: {one.entry.path: set(one.hidden) for one in live.visible(table)} for table in _UNIQUE
    }
    groups = _Groups(files)
    for stage in live.stages():
        if label_set_of(stage) is not None:
            continue
        items = live.select(stage=stage)
        bank = bank_of(stage)
        if bank is not None:
            yield from _check_bank(items, bank)
        for table in tables_of(stage):
            if table in _UNIQUE:
                yield from _check_table(files, table, items, hidden[table], groups)


def check_labels(entry: FileEntry, source: pq.ParquetFile) -> Iterator[Problem]:
    """Each line of a label set's file names the set in whose folder it lies."""
    expected = set_and_version(posixpath.basename(posixpath.dirname(entry.path)))
    for number in range(source.metadata.num_row_groups):
        found = source.read_row_group(number, columns=list(SET_COLUMNS), use_threads=False)
        for name, value in zip(SET_COLUMNS, expected, strict=True):
            others = set(found[name].unique().to_pylist()) - {value}
            if others:
                yield Problem(entry.path, f"has lines with {name} {sorted(others)[0]!r}")
                return


def _check_bank(items: list[LiveUnit], bank: str) -> Iterator[Problem]:
    for item in items:
        if item.file("bank", bank) is None or item.file("table", "index") is None:
            path = layout.commit_path(item.commit.name)
            yield Problem(path, f"lacks the group or index of {bank!r}")


def _check_table(
    files: Files,
    table: str,
    items: list[LiveUnit],
    hidden: Mapping[str, set[str]],
    groups: "_Groups",
) -> Iterator[Problem]:
    held: dict[str, dict[str, LiveUnit]] = defaultdict(dict)
    for item in items:
        entry = item.file("table", table)
        if entry is not None:
            held[entry.path][item.unit.video_id] = item
    spans: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for path, units in held.items():
        seen: set[str] = set()
        for video_id, lines in _by_video(files, path, ["video_id", *_columns(table)]):
            if video_id in units:
                yield from _check_video(path, table, units[video_id], lines, groups)
                if "time" in lines.column_names:
                    times = lines["time"].to_numpy()
                    start = units[video_id].unit.start_seconds
                    spans[video_id].append((start, times.min(), times.max()))
                if video_id in seen:
                    yield Problem(path, f"holds the lines of {video_id!r} in two places")
                seen.add(video_id)
            elif video_id not in hidden.get(path, ()):
                yield Problem(path, f"holds lines of {video_id!r}, which its commit lacks")
        for video_id in units.keys() - seen if table == "index" else ():
            yield from _check_index(path, units[video_id], None, groups)
    for video_id, found in spans.items():
        found.sort()
        if any(after[1] <= before[2] for before, after in pairwise(found)):
            yield Problem(table, f"the times of {video_id!r} do not rise from part to part")


def _check_video(
    path: str, table: str, item: LiveUnit, lines: pa.Table, groups: "_Groups"
) -> Iterator[Problem]:
    names, video_id = list(_UNIQUE[table]), item.unit.video_id
    if "time" in names and not np.isfinite(lines["time"].to_numpy()).all():
        yield Problem(path, f"has a line of {video_id!r} at a time that is no number")
    num_different = len(lines.group_by(names, use_threads=False).aggregate([])) if names else 1
    if num_different < len(lines):
        what = f"the same {' and '.join(names)}" if names else "the video"
        yield Problem(path, f"holds two lines of {video_id!r} with {what}")
    if table == "index":
        yield from _check_index(path, item, lines, groups)


def _columns(table: str) -> tuple[str, ...]:
    return (*_UNIQUE[table], "first_row", "num_rows") if table == "index" else _UNIQUE[table]


def _check_index(
    path: str, item: LiveUnit, lines: pa.Table | None, groups: "_Groups"
) -> Iterator[Problem]:
    """A unit's slice of its group, and the lines of the index against that."""
    bank, unit = bank_of(item.unit.stage), item.unit
    entry = None if bank is None else item.file("bank", bank)
    if entry is None:
        return
    group = groups[entry.path]
    low, high = unit.time_offset, unit.time_offset + unit.num_times
    first = group.first[low : high + 1]
    expected = [unit.row_offset, unit.row_offset + unit.num_rows]
    if len(first) != unit.num_times + 1 or first[[0, -1]].tolist() != expected:
        yield Problem(entry.path, f"does not hold the rows promised of {unit.video_id!r}")
        return
    times = group.times[low:high]
    if np.any(np.diff(times) <= 0):
        yield Problem(entry.path, f"the key times of {unit.video_id!r} do not rise")
    if not _agrees(lines, times, first):
        yield Problem(path, f"does not describe the rows of {unit.video_id!r}")


def _agrees(lines: pa.Table | None, times: NDArray[np.float64], first: NDArray[np.int64]) -> bool:
    if lines is None:
        return not len(times)
    expected = {"time": times, "first_row": first[:-1], "num_rows": np.diff(first)}
    return all(np.array_equal(lines[name].to_numpy(), values) for name, values in expected.items())


def _by_video(files: Files, path: str, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """The stretches of a file's lines that are of one video, in the file's order."""
    current: str | None = None
    pieces: list[pa.Table] = []
    with files.open(path) as stream:
        source = pq.ParquetFile(stream)
        for number in range(source.metadata.num_row_groups):
            table = source.read_row_group(number, columns=columns, use_threads=False)
            if not len(table):
                continue
            codes = table["video_id"].combine_chunks().dictionary_encode()
            names, numbers = codes.dictionary.to_pylist(), codes.indices.to_numpy()
            edges = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1, [len(numbers)]])
            for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                name = names[numbers[low]]
                if name != current and current is not None:
                    yield current, pa.concat_tables(pieces)
                    pieces = []
                current = name
                pieces.append(table.slice(low, high - low))
    if current is not None:
        yield current, pa.concat_tables(pieces)


class _Groups:
    """The groups used last, their times and offsets only."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._open: OrderedDict[str, Group] = OrderedDict()

    def __getitem__(self, path: str) -> Group:
        group = self._open.pop(path, None) or open_group(self._files, path)
        self._open[path] = group
        if len(self._open) > _OPEN_GROUPS:
            self._open.popitem(last=False)
        return group
