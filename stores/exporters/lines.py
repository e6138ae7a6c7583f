"""Lines of a view video by video, read by SQL for many videos at once but never for all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from reelbank.stores.labels import set_and_version
from reelbank.stores.store import Store

LINES_AT_ONCE = 262_144
"""Lines of one query; a single video may have more."""

LABEL_SET = "label_set = $label_set AND version = $version"
"""Condition on `labels` and `classes`; its values come from `label_values`."""


def label_values(labels: str) -> dict[str, str]:
    """Values of `LABEL_SET` for 'name@version'."""
    name, version = set_and_version(labels)
    return {"label_set": name, "version": version}


def by_video(
    store: Store,
    view: str,
    videos: Sequence[str],
    *,
    order: Sequence[str],
    where: str = "TRUE",
    values: Mapping[str, Any] | None = None,
) -> Iterator[tuple[str, pa.Table]]:
    """Each of these videos (sorted) with its lines, perhaps none, in the order of some columns.

    `view`, `order` and `where` are SQL of ours; what a user gave comes as `values`.
    """
    counts = num_lines(store, view, where=where, values=values)
    for pack in packs(videos, counts):
        lines = read_lines_of(store, view, pack, order=order, where=where, values=values)
        start = 0
        for video_id in pack:
            yield video_id, lines.slice(start, counts.get(video_id, 0))
            start += counts.get(video_id, 0)


def num_lines(
    store: Store, view: str, *, where: str = "TRUE", values: Mapping[str, Any] | None = None
) -> dict[str, int]:
    """How many lines of a view each video has; videos without lines are absent."""
    found = store.sql(
        f'SELECT video_id, count(*) AS num FROM "{view}" WHERE {where} GROUP BY video_id',
        dict(values or {}) or None,
    )
    return dict(zip(found["video_id"].to_pylist(), found["num"].to_pylist(), strict=True))


def packs(videos: Sequence[str], counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Neighbouring videos that together have at most `LINES_AT_ONCE` lines, or a single one."""
    pack: list[str] = []
    size = 0
    for video_id in videos:
        count = counts.get(video_id, 0)
        if pack and size + count > LINES_AT_ONCE:
            yield pack
            pack, size = [], 0
        pack.append(video_id)
        size += count
    if pack:
        yield pack


def read_lines_of(
    store: Store,
    view: str,
    videos: Sequence[str],
    *,
    order: Sequence[str],
    where: str = "TRUE",
    values: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Lines of some videos (sorted), ordered by video and then by the given columns."""
    columns = ", ".join(f'"{name}"' for name in ("video_id", *order))
    # The range lets the reader pass over row groups and files; the list decides.
    return store.sql(
        f'SELECT * FROM "{view}" WHERE video_id BETWEEN $first_video AND $last_video '
        f"AND video_id IN (SELECT unnest($videos)) AND {where} ORDER BY {columns}",
        {
            "first_video": videos[0],
            "last_video": videos[-1],
            "videos": list(videos),
            **(values or {}),
        },
    )
