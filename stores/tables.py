"""Tables as Parquet bytes, and the lines of one video read back through the live set."""

import io
import math

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet, tables_of
from reelbank.stores.names import unknown
from reelbank.stores.schemas import checked, empty_table, schema_of

_ROWS_PER_GROUP = 128 * 1024


def encode_table(table: str, data: pa.Table) -> bytes:
    """Parquet with zstd in plain and dictionary pages; the same lines give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(
        checked(table, data),
        buffer,
        compression="zstd",
        row_group_size=_ROWS_PER_GROUP,
        version="2.6",
        data_page_version="1.0",
    )
    return buffer.getvalue()


def read_lines(
    files: Files,
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
    items = live.select(video_id)
    if not items:
        raise unknown("video", video_id, live.videos())
    paths: dict[str, None] = {}
    for item in items:
        unit, entry = item.unit, item.file("table", table)
        touched = unit.start_seconds < end_seconds and start_seconds < unit.end_seconds
        if entry is not None and touched and table in tables_of(unit.stage):
            paths[entry.path] = None
    only = pc.field("video_id") == video_id
    bounds = _bounds(schema, start_seconds, end_seconds)
    condition = only if bounds is None else only & bounds
    pieces = [_read(files, path, schema, condition) for path in paths]
    return pa.concat_tables([empty_table(table), *pieces])


def _bounds(schema: pa.Schema, start: float, end: float) -> pc.Expression | None:
    if "time" in schema.names:
        return (pc.field("time") >= start) & (pc.field("time") < end)
    if "start_seconds" in schema.names and not (start == -math.inf and end == math.inf):
        return (pc.field("start_seconds") < end) & (pc.field("end_seconds") > start)
    return None


def _read(files: Files, path: str, schema: pa.Schema, condition: pc.Expression) -> pa.Table:
    with files.open(path) as stream:
        # One open handle, no thread pool: the caller may be one of many workers.
        source = pq.ParquetFile(stream)
        return source.read(columns=schema.names, use_threads=False).cast(schema).filter(condition)
