"""One Arrow schema for each table, pinned: what every file of a table holds, column by column."""

from collections.abc import Iterable

import pyarrow as pa

FORMAT_VERSION = 1
"""Version of everything on disk; a store of a greater version is refused."""


def _schema(*columns: pa.Field) -> pa.Schema:
    return pa.schema(list(columns))


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_TEXT, _F32, _F64, _I32, _I64 = pa.string(), pa.float32(), pa.float64(), pa.int32(), pa.int64()

SCHEMAS: dict[str, pa.Schema] = {
    # Columns after `digest` are null where a video failed before they were known.
    "videos": _schema(
        _required("video_id", _TEXT),
        _required("source", _TEXT),
        _required("digest", _TEXT),
        pa.field("num_bytes", _I64),
        pa.field("modified_ns", _I64),
        pa.field("container", _TEXT),
        pa.field("codec", _TEXT),
        pa.field("pixel_format", _TEXT),
        pa.field("width", _I32),
        pa.field("height", _I32),
        pa.field("rotation", _I32),
        pa.field("sample_aspect_ratio", _F64),
        pa.field("rate", _F64),
        # Fractions as text, 'numerator/denominator'.
        pa.field("nominal_rate", _TEXT),
        pa.field("time_base", _TEXT),
        pa.field("origin_pts", _I64),
        pa.field("clock", _TEXT),
        pa.field("declared_frames", _I64),
        pa.field("declared_seconds", _F64),
        pa.field("num_packets", _I64),
        pa.field("end_seconds", _F64),
        pa.field("decoded_frames", _I64),
        pa.field("corrupt_frames", _I64),
        pa.field("first_seconds", _F64),
        # Time of the last frame shown plus its duration.
        pa.field("covered_seconds", _F64),
        pa.field("lost_seconds", _F64),
        # 'ok', 'partial' or 'failed'.
        _required("status", _TEXT),
        pa.field("error", _TEXT),
    ),
    # Every frame of the film; the first has no score where the method compares neighbours.
    "scores": _schema(
        _required("video_id", _TEXT), _required("time", _F64), pa.field("score", _F64)
    ),
    "detections": _schema(
        _required("video_id", _TEXT),
        _required("time", _F64),
        # From 0, by falling score within the key time, over all categories.
        _required("rank", _I32),
        _required("category", _TEXT),
        _required("score", _F32),
        _required("x1", _F32),
        _required("y1", _F32),
        _required("x2", _F32),
        _required("y2", _F32),
        # 48 bytes: coarse colour histogram of the box.
        pa.field("appearance", pa.binary()),
    ),
    "shots": _schema(
        _required("video_id", _TEXT),
        _required("shot_id", _I32),
        _required("start_seconds", _F64),
        _required("end_seconds", _F64),
        _required("start_frame", _I64),
        _required("end_frame", _I64),
    ),
    "tracks": _schema(
        _required("video_id", _TEXT),
        _required("track_id", _I32),
        _required("category", _TEXT),
        _required("shot_id", _I32),
        # Key times of the first and of the last detection.
        _required("start_seconds", _F64),
        _required("end_seconds", _F64),
        _required("num_detections", _I32),
        _required("mean_score", _F32),
    ),
    # One line for each detection that a track holds.
    "links": _schema(
        _required("video_id", _TEXT),
        _required("track_id", _I32),
        _required("time", _F64),
        _required("rank", _I32),
    ),
    "failures": _schema(
        _required("video_id", _TEXT),
        _required("stage", _TEXT),
        pa.field("start_seconds", _F64),
        pa.field("end_seconds", _F64),
        _required("error", _TEXT),
    ),
    # One line for each bank and key time; first_row counts within the `rows` of the commit's group.
    "index": _schema(
        _required("bank", _TEXT),
        _required("video_id", _TEXT),
        _required("time", _F64),
        _required("first_row", _I64),
        _required("num_rows", _I32),
    ),
    # Imported or hand-made labels, all sets in one long table; a line has a time, a span, or
    # neither (it is about the whole video), and a box or none.
    "labels": _schema(
        _required("label_set", _TEXT),
        _required("version", _TEXT),
        _required("video_id", _TEXT),
        # 'train', 'validation', 'test', ...; null where the file says nothing.
        pa.field("split", _TEXT),
        # What is asked: 'action', 'verb', 'noun', 'relationship', 'view_count', ..., or 'excluded':
        # the official evaluation leaves this time out.
        _required("task", _TEXT),
        pa.field("time", _F64),
        pa.field("start_seconds", _F64),
        pa.field("end_seconds", _F64),
        # float64, so that an annotation file's decimals come back as they were.
        pa.field("x1", _F64),
        pa.field("y1", _F64),
        pa.field("x2", _F64),
        pa.field("y2", _F64),
        # Name and number of the class; null where the task asks for a number or there is none.
        pa.field("label", _TEXT),
        pa.field("label_id", _I32),
        # The number, where the task asks for one.
        pa.field("value", _F64),
        # Person or object within the video.
        pa.field("instance_id", _I64),
        # Lines of one annotated segment share it (a verb and its noun).
        pa.field("segment_id", _TEXT),
        pa.field("participant", _TEXT),
        # The video's name as the file spells it, and the line of the file (from 1).
        _required("source_name", _TEXT),
        _required("source_line", _I64),
    ),
    # The label maps of the label sets: every class, also those that no line has.
    "classes": _schema(
        _required("label_set", _TEXT),
        _required("version", _TEXT),
        _required("task", _TEXT),
        _required("label_id", _I32),
        _required("label", _TEXT),
        # Whether the official evaluation counts it.
        _required("evaluated", pa.bool_()),
    ),
    # What models say: a line for each item and class.
    "predictions": _schema(
        _required("video_id", _TEXT),
        # Key time; rank of the detection, null where the item is the whole clip.
        _required("time", _F64),
        pa.field("rank", _I32),
        # Name of the class, or its number where the label map has no names.
        _required("label", _TEXT),
        _required("score", _F32),
        # What the predictions were called.
        _required("model", _TEXT),
    ),
}


def empty_table(table: str) -> pa.Table:
    """A table of the right columns without lines."""
    return schema_of(table).empty_table()


def schema_of(table: str) -> pa.Schema:
    """The pinned schema of a table, or a ValueError that lists the tables."""
    if table not in SCHEMAS:
        raise ValueError(f"unknown table {table!r}; known: {', '.join(sorted(SCHEMAS))}")
    return SCHEMAS[table]


def checked(table: str, data: pa.Table) -> pa.Table:
    """`data` cast to the pinned schema; ValueError where a column is absent, extra or unfit."""
    schema = schema_of(table)
    _same_names(table, set(data.column_names), schema.names)
    data = data.select(schema.names)
    for field, column in zip(schema, data.columns, strict=True):
        if not field.nullable and column.null_count:
            raise ValueError(
                f"table {table!r}, column {field.name!r}: {column.null_count} of "
                f"{len(column)} values are null; every line needs one"
            )
    try:
        return data.cast(schema).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"table {table!r} does not fit its schema: {error}") from error


def _same_names(table: str, found: set[str], expected: Iterable[str]) -> None:
    missing, extra = sorted(set(expected) - found), sorted(found - set(expected))
    if missing or extra:
        raise ValueError(
            f"table {table!r} has other columns than its schema: missing {missing}, extra {extra}"
        )
