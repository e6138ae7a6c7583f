"""Checks of one bank group by itself."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.care.findings import Problem
from reelbank.stores.commits import FileEntry
from reelbank.stores.files import Files
from reelbank.stores.groups import Group, open_group
from reelbank.stores.shards import chunk_ranges, rows_layout, shard_name

_BYTES_AT_ONCE = 16 << 20


@dataclass(frozen=True, slots=True)
class GroupFindings:
    """What was found in a group."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check_group(files: Files, entry: FileEntry, parts: Collection[str]) -> GroupFindings:
    """Number of rows, `first`, shards that hold every row, NaN; a warning for rows of zeros."""
    group = open_group(files, entry.path)
    problems = [*_check_offsets(group, entry), *_check_shards(files, entry.path, parts)]
    broken, zeros = _strange_rows(group)
    if len(broken):
        error = f"row {broken[0]} ({len(broken)} in all) holds NaN or infinity"
        problems.append(Problem(entry.path, error))
    warnings: tuple[Problem, ...] = ()
    if len(zeros):
        error = f"{len(zeros)} rows are all zeros, the first of them row {zeros[0]}"
        warnings = (Problem(entry.path, error),)
    return GroupFindings(tuple(problems), warnings)


def _check_offsets(group: Group, entry: FileEntry) -> Iterator[Problem]:
    num_rows, first = int(group.rows.shape[0]), group.first
    if num_rows != entry.num_rows:
        yield Problem(entry.path, f"has {num_rows} rows, the commit says {entry.num_rows}")
    if len(first) != len(group.times) + 1 or first[0] != 0 or first[-1] != num_rows:
        yield Problem(entry.path, "`first` does not run from 0 to the number of rows")
    elif np.any(np.diff(first) < 0):
        yield Problem(entry.path, "`first` falls")


def _strange_rows(group: Group) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the rows that hold NaN or infinity, and of those that are all zeros."""
    num_rows, dim = group.rows.shape
    step = max(1, _BYTES_AT_ONCE // (dim * group.rows.dtype.itemsize))
    broken, zeros = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, num_rows, step):
        rows = np.asarray(group.rows[start : start + step])
        broken.append(start + np.flatnonzero(~np.isfinite(rows).all(axis=1)))
        zeros.append(start + np.flatnonzero(~rows.any(axis=1)))
    return np.concatenate(broken), np.concatenate(zeros)


def _check_shards(files: Files, path: str, parts: Collection[str]) -> Iterator[Problem]:
    layout = rows_layout(files.read(f"{path}/rows/zarr.json"))
    if layout is None:
        return
    for shard in range(layout.num_shards):
        name = f"{path}/{shard_name(shard)}"
        if name not in parts:
            yield Problem(path, f"lacks the shard {shard_name(shard)}")
            continue
        (index,) = files.read_ranges([name], [-layout.index_bytes], [None])
        ranges = chunk_ranges(layout, shard, index)
        size = files.size(name)
        if np.any(ranges[:, 1] == 0) or np.any(ranges.sum(axis=1) > size):
            yield Problem(path, f"the shard {shard_name(shard)} does not hold all of its rows")
