"""Plain Parquet: each view as one file, and each bank's rows as one file of lists of floats.

    tables/<view>.parquet   as SQL shows it, ordered by video
    banks/<bank>.parquet    video_id, time, place within the key time, features (list of float32)

Pages are plain or of dictionaries and numbers are float32 or wider, so that every reader has them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reelbank.stores.bank import FeatureBank
from reelbank.stores.exporters.lines import num_lines, packs, read_lines_of
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.store import Store

VIEWS = (*SCHEMAS, "tracked", "banks", "runs")
"""Views that are written; of `rows` the columns are in these."""

ROWS_AT_ONCE = 4096
"""Rows of a bank in one row group: some 40 MB at 2,304 numbers."""

_LINES_PER_GROUP = 128 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetExporter:
    """Everything that the store holds of the videos; of a label set also its classes."""

    is_folder: ClassVar[bool] = True

    def write(self, store: Store, videos: Sequence[str], output: Path) -> Mapping[str, int]:
        """One file for each view and bank, also for those without a line; lines of each."""
        counts = {}
        (output / "tables").mkdir()
        for view in VIEWS:
            pieces = _lines(store, view, videos)
            counts[f"tables/{view}"] = _write(output / "tables" / f"{view}.parquet", pieces)
        names = store.live().banks()
        if names:
            (output / "banks").mkdir()
        for name in names:
            pieces = _rows(store.bank(name), videos)
            counts[f"banks/{name}"] = _write(output / "banks" / f"{name}.parquet", pieces)
        return counts


def _write(path: Path, pieces: Iterator[pa.Table]) -> int:
    """Write tables of one schema; the first may be empty and says it."""
    first = next(pieces)
    count = len(first)
    with pq.ParquetWriter(
        path, first.schema, compression="zstd", version="2.6", data_page_version="1.0"
    ) as writer:
        writer.write_table(first, row_group_size=_LINES_PER_GROUP)
        for piece in pieces:
            writer.write_table(piece, row_group_size=_LINES_PER_GROUP)
            count += len(piece)
    return count


def _lines(store: Store, view: str, videos: Sequence[str]) -> Iterator[pa.Table]:
    """Lines of a view, ordered by all that can be ordered, video first."""
    empty = store.sql(f'SELECT * FROM "{view}" LIMIT 0')
    columns = [field.name for field in empty.schema if not pa.types.is_binary(field.type)]
    if "video_id" not in columns:
        order = ", ".join(f'"{name}"' for name in columns)
        yield store.sql(f'SELECT * FROM "{view}" ORDER BY {order}')
        return
    yield empty
    counts = num_lines(store, view)
    order_by = [name for name in columns if name != "video_id"]
    for pack in packs([one for one in videos if one in counts], counts):
        yield read_lines_of(store, view, pack, order=order_by).cast(empty.schema)


def _rows(bank: FeatureBank, videos: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of a bank, a bounded number at a time; small videos share a piece."""
    held = set(bank.videos())
    waiting = [_features("", np.empty(0), np.empty(0, np.int64), np.empty((0, bank.dim)))]
    yield waiting[0]
    for video_id in videos:
        if video_id not in held:
            continue
        counts, rows = bank.counts(video_id), bank.rows(video_id)
        times = np.repeat(bank.times(video_id), counts)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        for low in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(low, low + ROWS_AT_ONCE)
            waiting.append(_features(video_id, times[part], places[part], rows[part]))
            if sum(map(len, waiting)) >= ROWS_AT_ONCE:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _features(
    video_id: str, times: np.ndarray, places: np.ndarray, rows: np.ndarray[Any, Any]
) -> pa.Table:
    num_rows, dim = rows.shape
    offsets = pa.array(np.arange(num_rows + 1) * dim, pa.int32())
    values = pa.array(np.ascontiguousarray(rows, np.float32).ravel())
    return pa.table(
        {
            "video_id": pa.array([video_id] * num_rows, pa.string()),
            "time": pa.array(times, pa.float64()),
            "place": pa.array(places, pa.int32()),
            "features": pa.ListArray.from_arrays(offsets, values),
        }
    )
