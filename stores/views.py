"""What a query sees: a view for each table, and the views that join them.

A table's view names its files one by one. Where a file holds lines of videos that do not count,
the pairs (file, video) stand in a table, and the view leaves their lines out.
"""

import json
from collections.abc import Callable, Sequence

import duckdb
import pyarrow as pa

from reelbank.stores.descriptions import bank_descriptions
from reelbank.stores.features import ROI_KINDS
from reelbank.stores.live import LiveSet, VisibleFile
from reelbank.stores.macros import MACROS
from reelbank.stores.schemas import SCHEMAS

FileNames = Callable[[VisibleFile], str]
"""What DuckDB calls a file."""

ABOUT = {
    "videos": "one line for each video: stream, clock, length, status",
    "scores": "the shot detector's score of each frame",
    "detections": "boxes with category and score; rank 0 is the best of its key time",
    "shots": "spans between cuts",
    "tracks": "detections of one instance over time, within one shot",
    "links": "which detection belongs to which track",
    "failures": "what of a video could not be had, and why",
    "index": 'one line for each bank and key time; a word of SQL, so write "index"',
    "labels": "imported labels of all sets: with a time, a span or neither, and a box or none",
    "classes": "the label maps of the label sets",
    "predictions": "what models say: a score for each detection, or whole clip, and class",
    "tracked": "detections with their track and shot",
    "predicted": "predictions with box, detection score, track and shot; of clips with the shot",
    "rows": "one line for each bank row: time, box, track, shot, and the labels that apply",
    "banks": "one line for each bank: kind, model, rows, and all its settings as JSON",
    "runs": "one line for each run, its record as JSON",
}
"""What a query can read, with a line for people on each."""

BANKS = pa.schema(
    [
        pa.field("bank", pa.string()),
        pa.field("kind", pa.string()),
        # What is in a row: of which detections a bank with boxes holds rows; null: of all.
        pa.field("category", pa.string()),
        pa.field("has_boxes", pa.bool_()),
        pa.field("dim", pa.int64()),
        pa.field("dtype", pa.string()),
        pa.field("model", pa.string()),
        pa.field("num_rows", pa.int64()),
        pa.field("key_times", pa.int64()),
        pa.field("videos", pa.int64()),
        pa.field("metadata", pa.string()),
    ]
)
_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
}
_ATTEMPT = r"regexp_extract(filename, '\.([0-9A-Za-z]+)\.parquet$', 1)"
"""The attempt that wrote a file, from its name; a column of `failures`. Of lines that compaction
moved it is the compaction."""

_TRACKED = """
CREATE VIEW tracked AS
SELECT detections.*, links.track_id, tracks.shot_id
FROM detections
LEFT JOIN links USING (video_id, time, rank)
LEFT JOIN tracks USING (video_id, track_id)
"""

# A line of a whole clip has no rank, and so no detection.
_PREDICTED = """
CREATE VIEW predicted AS
SELECT said.*, found.category, found.score AS detection_score, found.x1, found.y1, found.x2,
    found.y2, links.track_id, CASE WHEN said.time < shots.end_seconds THEN shots.shot_id END
        AS shot_id
FROM predictions AS said
LEFT JOIN detections AS found USING (video_id, time, rank)
LEFT JOIN links USING (video_id, time, rank)
ASOF LEFT JOIN shots ON shots.video_id = said.video_id AND shots.start_seconds <= said.time
"""

# Row i of a bank with boxes is of the i-th detection of its category at that key time. Where their
# numbers differ the rows were made from other detections than those that count, and have no box.
_BOXED = """
CREATE VIEW hidden.boxed AS
WITH places AS NOT MATERIALIZED (
    SELECT "index".bank, "index".video_id, "index".time, "index".num_rows,
        banks.category, banks.has_boxes, unnest(range("index".num_rows))::INTEGER AS place
    FROM "index" JOIN banks USING (bank)
), boxes AS NOT MATERIALIZED (
    SELECT video_id, time, rank, category, score, x1, y1, x2, y2,
        row_number() OVER (PARTITION BY video_id, time, category ORDER BY rank) - 1 AS place,
        count(*) OVER (PARTITION BY video_id, time, category) AS num_like_it,
        count(*) OVER (PARTITION BY video_id, time) AS num_in_all
    FROM detections
)
SELECT places.bank, places.video_id, places.time, places.place,
    boxes.rank, boxes.category, boxes.score, boxes.x1, boxes.y1, boxes.x2, boxes.y2,
    links.track_id, CASE WHEN places.time < shots.end_seconds THEN shots.shot_id END AS shot_id
FROM places
LEFT JOIN boxes ON boxes.video_id = places.video_id AND boxes.time = places.time
    AND places.has_boxes AND (
        (places.category IS NULL
            AND boxes.rank = places.place AND boxes.num_in_all = places.num_rows)
        OR (places.category = boxes.category
            AND boxes.place = places.place AND boxes.num_like_it = places.num_rows))
LEFT JOIN links ON links.video_id = boxes.video_id AND links.time = boxes.time
    AND links.rank = boxes.rank
ASOF LEFT JOIN shots ON shots.video_id = places.video_id AND shots.start_seconds <= places.time
"""

_ROWS_WITHOUT_LABELS = "CREATE VIEW rows AS SELECT *, []::VARCHAR[] AS labels FROM hidden.boxed"

# A join, not a correlated query: a filter on video and time must reach the files. Labels at a time
# are found by its millisecond and the two beside it, so that they can be hashed.
_ROWS = """
CREATE VIEW rows AS
WITH marks AS NOT MATERIALIZED (
    SELECT * FROM labels WHERE label IS NOT NULL AND task <> 'excluded'
), moments AS NOT MATERIALIZED (
    SELECT *, unnest([-1, 0, 1]) + try_cast(floor(time * 1000) AS BIGINT) AS millisecond
    FROM marks WHERE time IS NOT NULL
), found AS NOT MATERIALIZED (
    SELECT boxed.bank, boxed.video_id, boxed.time, boxed.place, moments.label
    FROM hidden.boxed AS boxed JOIN moments ON moments.video_id = boxed.video_id
        AND moments.millisecond = try_cast(floor(boxed.time * 1000) AS BIGINT)
        AND abs(moments.time - boxed.time) <= 1e-3
    WHERE coalesce(iou(moments.x1, moments.y1, moments.x2, moments.y2,
        boxed.x1, boxed.y1, boxed.x2, boxed.y2) >= 0.5, true)
    UNION ALL
    SELECT boxed.bank, boxed.video_id, boxed.time, boxed.place, marks.label
    FROM hidden.boxed AS boxed JOIN marks ON marks.video_id = boxed.video_id
        AND coalesce(marks.start_seconds, '-inf'::DOUBLE) <= boxed.time
        AND boxed.time < coalesce(marks.end_seconds, 'inf'::DOUBLE)
    WHERE marks.time IS NULL AND coalesce(iou(marks.x1, marks.y1, marks.x2, marks.y2,
        boxed.x1, boxed.y1, boxed.x2, boxed.y2) >= 0.5, true)
), listed AS NOT MATERIALIZED (
    SELECT bank, video_id, time, place, list(DISTINCT label ORDER BY label) AS labels
    FROM found GROUP BY bank, video_id, time, place
)
SELECT boxed.*, coalesce(listed.labels, []::VARCHAR[]) AS labels
FROM hidden.boxed AS boxed LEFT JOIN listed USING (bank, video_id, time, place)
"""


def create_views(
    connection: duckdb.DuckDBPyConnection, live: LiveSet, name_of: FileNames
) -> list[str]:
    """Make all views but `runs`; what DuckDB calls the files that they read.

    ValueError where a table's first file is damaged.
    """
    visible = {table: live.visible(table) for table in SCHEMAS}
    named = {table: [(name_of(one), one.hidden) for one in visible[table]] for table in SCHEMAS}
    _create_hidden(connection, [one for files in named.values() for one in files])
    for table in SCHEMAS:
        try:
            connection.execute(_table_view(table, named[table]))
        except (duckdb.Error, OSError) as error:
            raise ValueError(
                f"table {table!r} of the store cannot be read ({first_sentence(error)}); "
                "reelbank verify lists what is damaged"
            ) from error
    for macro in MACROS:
        connection.execute(macro.statement)
    connection.from_arrow(_banks_table(live)).create("banks")
    connection.execute(_TRACKED)
    connection.execute(_PREDICTED)
    connection.execute(_BOXED)
    connection.execute(_ROWS if visible["labels"] else _ROWS_WITHOUT_LABELS)
    return [name for files in named.values() for name, _ in files]


def first_sentence(error: Exception) -> str:
    """DuckDB's message without the quoted line of the query."""
    return " ".join(str(error).split("\n\n")[0].split())


def _create_hidden(
    connection: duckdb.DuckDBPyConnection, files: Sequence[tuple[str, tuple[str, ...]]]
) -> None:
    pairs = [(name, video_id) for name, hidden in files for video_id in hidden]
    table = pa.table(
        {
            "file": pa.array([name for name, _ in pairs], pa.string()),
            "video_id": pa.array([video_id for _, video_id in pairs], pa.string()),
        }
    )
    # A schema of its own, so that it does not show among the tables.
    connection.execute("CREATE SCHEMA hidden")
    connection.from_arrow(table).create("hidden.lines")


def _table_view(table: str, files: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """CREATE VIEW over the files of a table; those with lines that do not count are read apart."""
    columns = ", ".join(f'held."{name}"' for name in SCHEMAS[table].names)
    columns += f", {_ATTEMPT} AS attempt" if table == "failures" else ""
    whole = [name for name, hidden in files if not hidden]
    partly = [name for name, hidden in files if hidden]
    selects = []
    if whole:
        selects.append(f"SELECT {columns} FROM {_read_parquet(whole)} AS held")
    if partly:
        selects.append(
            f"SELECT {columns} FROM {_read_parquet(partly)} AS held ANTI JOIN hidden.lines AS gone "
            "ON gone.file = held.filename AND gone.video_id = held.video_id"
        )
    if not selects:
        nulls = [f'NULL::{_SQL_TYPES[one.type]} AS "{one.name}"' for one in SCHEMAS[table]]
        nulls += ["NULL::VARCHAR AS attempt"] if table == "failures" else []
        selects = [f"SELECT {', '.join(nulls)} WHERE false"]
    return f'CREATE VIEW "{table}" AS ' + " UNION ALL ".join(selects)


def _read_parquet(paths: Sequence[str]) -> str:
    listed = ", ".join(map(_literal, paths))
    return f"read_parquet([{listed}], hive_partitioning = false, filename = true)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _banks_table(live: LiveSet) -> pa.Table:
    lines = []
    for bank, found in bank_descriptions(live).items():
        kind = str(found.get("kind", bank))
        line = {name: found.get(name) for name in ("category", "dim", "dtype", "model")}
        line |= {"bank": bank, "kind": kind, "has_boxes": kind in ROI_KINDS}
        line |= {"num_rows": found["rows"]}
        line |= {name: found[name] for name in ("key_times", "videos")}
        lines.append(line | {"metadata": json.dumps(found, sort_keys=True)})
    return pa.Table.from_pylist(lines, schema=BANKS)
