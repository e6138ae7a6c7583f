"""Tables as Parquet bytes, and the lines of one video read back through the live set."""

import io
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reelbank.stores.files import Files
from reelbank.stores.footers import Footers, Wanted
from reelbank.stores.live import LiveSet, LiveUnit
from reelbank.stores.names import unknown
from reelbank.stores.schemas import checked, empty_table, schema_of
from reelbank.stores.stages import TABLES_OF_STAGE, tables_of

ROWS_PER_GROUP = 16 * 1024
"""Lines that are read at least, where a few of one video are asked for."""

_NEVER_ALIKE = (pa.float32(), pa.binary())
"""Columns of scores, corners and histograms: a dictionary would only make them larger."""


def table_writer(table: str, stream: io.BytesIO) -> pq.ParquetWriter:
    """Writes Parquet that every reader knows: zstd, plain and dictionary pages."""
    schema = schema_of(table)
    return pq.ParquetWriter(
        stream,
        schema,
        compression="zstd",
        use_dictionary=[one.name for one in schema if one.type not in _NEVER_ALIKE],
        version="2.6",
        data_page_version="1.0",
    )


def encode_table(table: str, data: pa.Table) -> bytes:
    """A table's file; the same lines give the same bytes."""
    buffer = io.BytesIO()
    with table_writer(table, buffer) as writer:
        writer.write_table(checked(table, data), row_group_size=ROWS_PER_GROUP)
    return buffer.getvalue()


class TableReader:
    """Lines of single videos, out of whatever files hold them; threads may share it.

    The live set says which files, their footers which row groups; nothing else is read.
    """

    def __init__(self, files: Files) -> None:
        self._footers = Footers(files)

    def lines(
        self,
        live: LiveSet,
        table: str,
        video_id: str,
        *,
        start_seconds: float = -math.inf,
        end_seconds: float = math.inf,
    ) -> pa.Table:
        """Live lines of one video, in the order in which they were written, spans rising.

        Of a table with `time`: those with start <= time < end; of one with `start_seconds` and
        `end_seconds`: those that overlap [start, end); of `videos`: the one there is.
        """
        schema = schema_of(table)
        if "video_id" not in schema.names:
            raise ValueError(f"table {table!r} is not about videos; ask it with SQL")
        paths: dict[str, None] = {}
        for item in _units(live, table, video_id):
            unit = item.unit
            if unit.start_seconds < end_seconds and start_seconds < unit.end_seconds:
                paths |= {
                    entry.path: None
                    for entry in item.commit.files
                    if (entry.kind, entry.name) == ("table", table)
                }
        wanted = Wanted(video_id, start_seconds, end_seconds)
        pieces = [self._footers.read(path, schema, wanted) for path in paths]
        return pa.concat_tables([empty_table(table), *pieces])

    def detections(
        self,
        live: LiveSet,
        video_id: str,
        *,
        start_seconds: float = -math.inf,
        end_seconds: float = math.inf,
    ) -> pa.Table:
        """Detections with start <= time < end, by time and rank; `track_id` null: no track."""
        found, links = (
            self.lines(live, table, video_id, start_seconds=start_seconds, end_seconds=end_seconds)
            for table in ("detections", "links")
        )
        times, ranks = found["time"].to_numpy(), found["rank"].to_numpy()
        # By numpy: a join through Arrow's engine takes longer than all the rest.
        order = np.lexsort((ranks, times))
        tracks = _tracks_of(times[order], ranks[order], links)
        return found.take(pa.array(order)).append_column("track_id", tracks)


def read_lines(
    files: Files,
    live: LiveSet,
    table: str,
    video_id: str,
    *,
    start_seconds: float = -math.inf,
    end_seconds: float = math.inf,
) -> pa.Table:
    """As `TableReader.lines`, for whoever asks once."""
    reader = TableReader(files)
    return reader.lines(live, table, video_id, start_seconds=start_seconds, end_seconds=end_seconds)


def _units(live: LiveSet, table: str, video_id: str) -> list[LiveUnit]:
    """Live units of the video whose commits may hold lines of the table."""
    owners = [stage for stage, tables in TABLES_OF_STAGE.items() if table in tables]
    # A bank, a label set or a model may have written it: then all stages of the video are looked
    # through.
    several = table in ("failures", "index", "labels", "predictions")
    items = [
        item
        for stage in ([None] if several else owners)
        for item in live.select(video_id, stage)
        if table in tables_of(item.unit.stage)
    ]
    if not items and not live.select(video_id):
        raise unknown("video", video_id, live.videos())
    return items


def _tracks_of(times: NDArray[np.float64], ranks: NDArray[np.int32], links: pa.Table) -> pa.Array:
    """Track of each detection, given by key time and rank; null where no link names it."""
    if not len(links):
        return pa.nulls(len(times), links.schema.field("track_id").type)
    key_times, number = np.unique(links["time"].to_numpy(), return_inverse=True)
    stride = 1 + max(int(links["rank"].to_numpy().max()), int(ranks.max(initial=0)))
    keys = number * stride + links["rank"].to_numpy()
    order = np.argsort(keys)
    of_time = np.minimum(np.searchsorted(key_times, times), len(key_times) - 1)
    asked = of_time * stride + ranks
    place = order[np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)]
    is_linked = (key_times[of_time] == times) & (keys[place] == asked)
    return pa.array(links["track_id"].to_numpy()[place], mask=~is_linked)
