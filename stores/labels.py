"""Label sets: one commit for each set, all its videos at once, whatever the videos' bytes are."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from reelbank.stores import layout
from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.keys import digest_of
from reelbank.stores.ledger import ANY_CONTENT
from reelbank.stores.live import LiveSet
from reelbank.stores.schemas import schema_of
from reelbank.stores.stages import labels_stage
from reelbank.stores.tables import encode_table

SET_COLUMNS = ("label_set", "version")
"""Columns of `labels` and `classes` that tell the sets apart; the store fills them in."""


def label_schema(table: str) -> pa.Schema:
    """Columns that a maker of labels gives: those of `labels` or `classes` without the set's."""
    return pa.schema([field for field in schema_of(table) if field.name not in SET_COLUMNS])


def encoded_labels(table: str, label_set: str, data: pa.Table) -> bytes:
    """The table's Parquet bytes, the set's name and version put before each line."""
    for name, value in zip(SET_COLUMNS, set_and_version(label_set), strict=True):
        data = data.append_column(
            pa.field(name, pa.string(), nullable=False), pa.array([value] * len(data), pa.string())
        )
    return encode_table(table, data)


def set_and_version(label_set: str) -> tuple[str, str]:
    """Name and version of 'name@version'."""
    name, _, version = layout.checked_label_set(label_set).partition("@")
    return name, version


def label_units(
    label_set: str, lines: pa.Table, live: LiveSet, *, digest: str, details: Mapping[str, Any]
) -> list[Unit]:
    """A unit for each video of the set, and an empty one where the set had lines before.

    The first carries all details, the others the plain ones: a list of files is not said for
    each of 10,000 videos.
    """
    stage = labels_stage(label_set)
    counts = Counter(lines["video_id"].to_pylist())
    if not counts:
        raise ValueError(f"label set {label_set!r} has no line for any video of the store")
    videos = sorted({*counts, *live.videos(stage)})
    plain = {name: value for name, value in details.items() if not isinstance(value, list | dict)}
    return [
        Unit(
            video_id=video_id,
            digest=ANY_CONTENT,
            stage=stage,
            start_seconds=0.0,
            end_seconds=math.inf,
            key=digest_of({"stage": stage, "video": video_id, "content": digest}),
            num_rows=counts[video_id],
            details=details if video_id == videos[0] else plain,
        )
        for video_id in videos
    ]


def label_files(
    label_set: str,
    encoded: Mapping[str, bytes],
    num_rows: Mapping[str, int],
    *,
    key: str,
    attempt: str,
) -> list[FileEntry]:
    """What a commit says of the files of a set."""
    return [
        FileEntry(
            path=layout.labels_path(label_set, table, key=key, attempt=attempt),
            kind="table",
            name=table,
            num_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            num_rows=num_rows[table],
        )
        for table, data in encoded.items()
    ]
