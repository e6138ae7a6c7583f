"""Stores that were worked on for a while, and all that can be read from one."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.snapshots import read_news, read_snapshot
from tests.stores.builders import commit_bank, commit_lines, detection_lines, unit

VIDEOS = ("a.mp4", "it's b.mp4", "../c")
SPANS = ((0.0, 10.0), (10.0, 20.0), (20.0, math.inf))


def contents(store):
    """All that readers see: units, lines of every view, lines and rows of every video."""
    live = store.live()
    found = {
        "units": sorted((item.unit.span, item.unit.key) for item in live.items),
        "visible": {table: visible_lines(store, live, table) for table in SCHEMAS},
        "tables": {
            (table, video): store.table(table, video)
            for table in SCHEMAS
            for video in {item.unit.video_id for item in live.items}
            if table not in ("classes", "index") and live.select(video)
        },
    }
    for name in live.banks():
        bank = store.bank(name)
        for video in bank.videos():
            found[name, video] = (
                bank.times(video).tolist(),
                bank.counts(video).tolist(),
                bank.rows(video).tolist(),
            )
    return found


def visible_lines(store, live, table):
    """Lines of a table that views show, sorted; without what says where rows lie."""
    lines = []
    for one in live.visible(table):
        with store.files.open(one.entry.path) as stream:
            for line in pq.ParquetFile(stream).read().to_pylist():
                if one.only is None or line["video_id"] in one.only:
                    line.pop("first_row", None)
                    lines.append(repr(line))
    return sorted(lines)


def answers(store):
    """All lines of all views."""
    names = [name for name in (*SCHEMAS, "tracked") if name != "index"]
    return {name: store.sql(f'select * from "{name}" order by all') for name in names}


def add_detections(store, work, salt):
    """Commit detections; `work` gives for each video the number of its span and of its lines."""
    units, lines = [], []
    for video, (number, count) in sorted(work.items()):
        start, end = SPANS[number]
        units.append(
            unit(
                video,
                "detections",
                start_seconds=start,
                end_seconds=end,
                key=f"{salt}{video}{number}",
                num_rows=count,
            )
        )
        times = {start + n: ["person"] for n in range(count)}
        lines += [line | {"x1": salt / 1024} for line in detection_lines(video, times)]
    failures = [
        {
            "video_id": one.video_id,
            "stage": "detections",
            "start_seconds": one.start_seconds,
            "end_seconds": None,
            "error": f"lost {salt}",
        }
        for one in units[:1]
    ]
    return commit_lines(store, "detections", units, {"detections": lines, "failures": failures})


def add_bank(store, work, salt):
    """Commit rows of the bank 'clip'; as above, a key time for each line and one row at each."""
    pieces = []
    for video, (number, count) in sorted(work.items()):
        start, end = SPANS[number]
        one = unit(
            video,
            "bank:clip",
            start_seconds=start,
            end_seconds=end,
            key=f"{salt}{video}{number}",
            details={"bank": {"kind": "clip"}},
        )
        rows = {
            start + n: np.full((n % 3, 3), salt + n / 8 + number, np.float32) for n in range(count)
        }
        pieces.append((one, rows))
    if not any(len(rows) for _, held in pieces for rows in held.values()):
        pieces[0][1][pieces[0][0].start_seconds] = np.ones((1, 3), np.float32)
    return commit_bank(store, "clip", pieces)


def add_labels(store, videos, salt, name="ava", details=None):
    """Bring in a label set with a line for each of these videos."""
    lines = pa.Table.from_pylist(
        [
            {
                "video_id": video,
                "task": "action",
                "time": float(n),
                "label": f"act {salt}",
                "label_id": 1,
                "source_name": video,
                "source_line": n + 1,
            }
            for n, video in enumerate(sorted(videos))
        ],
        schema=pa.schema([f for f in SCHEMAS["labels"] if f.name not in ("label_set", "version")]),
    )
    classes = pa.Table.from_pylist(
        [{"task": "action", "label_id": 1, "label": f"act {salt}", "evaluated": True}],
        schema=pa.schema([f for f in SCHEMAS["classes"] if f.name not in ("label_set", "version")]),
    )
    return store.commit_labels(
        name, "1", lines=lines, classes=classes, details=details or {}, run="import"
    )


def snapshot_sizes(store):
    """How many commits each snapshot tells of, the newest first."""
    return [len(read_snapshot(store.files, path).columns) for path in snapshot_paths(store)]


def snapshot_paths(store):
    """Paths of the snapshots, the newest first."""
    return read_news(store.files).paths


def work():
    """For some videos, the number of a span and of lines."""
    return st.dictionaries(
        st.sampled_from(VIDEOS),
        st.tuples(st.integers(0, len(SPANS) - 1), st.integers(0, 4)),
        min_size=1,
    )


def apply(store, step, salt):
    """Do one step."""
    kind, what = step
    if kind == "detections":
        add_detections(store, what, salt)
    elif kind == "bank":
        add_bank(store, what, salt)
    elif kind == "labels":
        add_labels(store, what, salt)
    elif kind == "remove":
        store.remove(what, run="remove")
    elif kind == "compact":
        assert compact(store, banks=what).problems == ()
    else:
        collect(store, grace_seconds=0, superseded=what)


def steps():
    """What happened to a store, in order."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("detections"), work()),
            st.tuples(st.just("bank"), work()),
            st.tuples(st.just("labels"), st.sets(st.sampled_from(VIDEOS), min_size=1)),
            st.tuples(st.just("remove"), st.sets(st.sampled_from(VIDEOS), min_size=1, max_size=2)),
            st.tuples(st.just("compact"), st.booleans()),
            st.tuples(st.just("collect"), st.booleans()),
        ),
        max_size=10,
    )
