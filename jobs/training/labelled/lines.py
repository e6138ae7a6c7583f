"""Lines of a label set, of some of its splits."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reelbank.stores.labels import set_and_version
from reelbank.stores.names import unknown
from reelbank.stores.store import Store

_SETS = "SELECT DISTINCT label_set || '@' || version AS name FROM labels"
_SPLITS = """
SELECT DISTINCT split FROM labels
WHERE label_set = $name AND version = $version AND split IS NOT NULL
"""
_LINES = """
SELECT video_id, task, time, start_seconds, end_seconds, x1, y1, x2, y2, label_id, segment_id
FROM labels
WHERE label_set = $name AND version = $version
    AND split IN (SELECT unnest($splits)) AND task IN (SELECT unnest($tasks))
ORDER BY video_id, coalesce(time, start_seconds), x1, y1, x2, y2, segment_id, label_id
"""


def read_lines(
    store: Store, label_set: str, *, splits: Sequence[str], tasks: Sequence[str]
) -> pa.Table:
    """Lines of these splits and tasks, by video and time.

    Raises ValueError where the store has no such set, or the set no such split or no such lines.
    """
    name, version = set_and_version(label_set)
    given = {"name": name, "version": version}
    sets = store.sql(_SETS)["name"].to_pylist()
    if label_set not in sets:
        raise unknown("label set", label_set, sets)
    known = store.sql(_SPLITS, given)["split"].to_pylist()
    for split in splits:
        if split not in known:
            raise unknown(f"split of label set {label_set}:", split, known)
    lines = store.sql(_LINES, {**given, "splits": list(splits), "tasks": list(tasks)})
    if not len(lines):
        raise ValueError(
            f"label set {label_set} has no lines of task {' or '.join(tasks)} in split "
            f"{' or '.join(splits)}; name the kind of task and the splits that it has"
        )
    return lines


def numbered(lines: pa.Table, videos: Sequence[str]) -> NDArray[np.int64]:
    """(n,) number among `videos` of the video of each line; -1 where it is not among them."""
    places = pc.index_in(lines["video_id"], pa.array(list(videos), pa.string()))
    return np.array(places.fill_null(-1).to_numpy(), np.int64)


def videos_of(lines: pa.Table) -> tuple[str, ...]:
    """Videos that have a line, sorted."""
    return tuple(sorted(lines["video_id"].unique().to_pylist()))


def column(lines: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of numbers as float64; NaN where it is null."""
    return np.array(lines[name].cast(pa.float64()).to_numpy(), np.float64)
