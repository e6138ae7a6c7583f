"""Rows of a bank beside the lines of a query: a training set in one call."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores.bank import FeatureBank
from reelbank.stores.boxes import ROI_KINDS
from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet
from reelbank.stores.tables import read_lines
from reelbank.stores.times import TOLERANCE_SECONDS, nearest

__all__ = ["ROI_KINDS", "Features", "gather_features"]


@dataclass(frozen=True, slots=True)
class Features:
    """Rows of a bank beside the lines of a query."""

    rows: NDArray[Any]
    """(n, dim)."""
    table: pa.Table
    """n lines; line i tells of row i."""


def gather_features(lines: pa.Table, bank: FeatureBank, files: Files, live: LiveSet) -> Features:
    """Rows of `bank` for each line with `video_id` and `time`.

    Where the lines have a `rank` and the bank holds a row for each detection: the one row of that
    detection. Otherwise every row at that key time, the line repeated.
    """
    missing = {"video_id", "time"} - set(lines.column_names)
    if missing:
        raise ValueError(
            f"the query must give the columns video_id and time; it lacks {sorted(missing)}"
        )
    ranks = _ranks(lines) if bank.kind in ROI_KINDS else None
    picked: list[NDArray[Any]] = [np.empty((0, bank.dim), bank.dtype)] * len(lines)
    all_times = _times(lines)
    for video_id, numbers in _lines_of_videos(lines).items():
        times = all_times[numbers]
        found = bank.rows_at(video_id, times)
        if ranks is not None:
            wanted = [ranks[number] for number in numbers]
            offsets = _row_offsets(video_id, times, wanted, bank, files, live)
            found = [
                _one_row(rows, offset, bank, video_id)
                for rows, offset in zip(found, offsets, strict=True)
            ]
        for number, rows in zip(numbers, found, strict=True):
            picked[number] = rows
    counts = [len(rows) for rows in picked]
    repeated = lines.take(pa.array(np.repeat(np.arange(len(lines)), counts), pa.int64()))
    return Features(
        rows=np.concatenate([np.empty((0, bank.dim), bank.dtype), *picked]), table=repeated
    )


def _times(lines: pa.Table) -> NDArray[np.float64]:
    column = lines["time"]
    if column.null_count:
        raise ValueError(f"the query gives no time in {column.null_count} of {len(lines)} lines")
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"the query's time is {column.type}, not seconds: {error}") from error


def _ranks(lines: pa.Table) -> list[int] | None:
    if "rank" not in lines.column_names:
        return None
    column = lines["rank"]
    if column.null_count:
        raise ValueError(f"the query gives no rank in {column.null_count} of {len(lines)} lines")
    return [int(rank) for rank in column.to_pylist()]


def _lines_of_videos(lines: pa.Table) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    nameless = lines["video_id"].null_count
    if nameless:
        raise ValueError(f"the query gives no video_id in {nameless} of {len(lines)} lines")
    for number, video_id in enumerate(lines["video_id"].to_pylist()):
        found[str(video_id)].append(number)
    return found


def _row_offsets(
    video_id: str,
    times: NDArray[np.float64],
    ranks: Sequence[int],
    bank: FeatureBank,
    files: Files,
    live: LiveSet,
) -> list[int]:
    """Place of each detection's row within its key time.

    A bank of one category holds the rows of that category alone: the place of a detection is how
    many of its category have a smaller rank.
    """
    category = bank.metadata.get("category")
    if category is None:
        return list(ranks)
    detections = read_lines(
        files,
        live,
        "detections",
        video_id,
        start_seconds=float(times.min()) - TOLERANCE_SECONDS,
        end_seconds=float(times.max()) + 2 * TOLERANCE_SECONDS,
    ).filter(pa.compute.field("category") == category)
    known = np.unique(times)
    held: dict[int, list[int]] = defaultdict(list)
    found = nearest(known, detections["time"].to_numpy()).tolist()
    for number, rank in zip(found, detections["rank"].to_pylist(), strict=True):
        held[number].append(rank)
    places = {number: {rank: n for n, rank in enumerate(sorted(held[number]))} for number in held}
    offsets = []
    for number, time, rank in zip(
        nearest(known, times).tolist(), times.tolist(), ranks, strict=True
    ):
        if rank not in places.get(number, {}):
            raise ValueError(
                f"detection {rank} at {time} s of {video_id!r} is no {category!r}, and bank "
                f"{bank.name!r} holds those alone; add: where category = '{category}'"
            )
        offsets.append(places[number][rank])
    return offsets


def _one_row(rows: NDArray[Any], offset: int, bank: FeatureBank, video_id: str) -> NDArray[Any]:
    if not 0 <= offset < len(rows):
        raise ValueError(
            f"bank {bank.name!r} has {len(rows)} rows at a key time of {video_id!r} at which the "
            f"query asks for row {offset}; give rank as in the table detections"
        )
    return rows[offset : offset + 1]
