"""Lines of one video, read by the footers, against reading everything and filtering."""

import itertools
import math
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores import tables
from reelbank.stores.labels import label_schema
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.tables import TableReader, encode_table
from tests.stores.builders import STRANGE_NAMES, commit_lines, detection_lines, filled_store, unit


@st.composite
def stores(draw):
    """Detections, links and shots of some videos, in commits of one or several of them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    names = draw(st.lists(st.sampled_from(STRANGE_NAMES), min_size=1, max_size=4, unique=True))
    store = open_store(f"memory://tables-{os.urandom(6).hex()}", create=True)
    split = draw(st.integers(1, len(names)))
    for some in filter(None, (names[:split], names[split:])):
        held = {name: made_up(rng, name) for name in sorted(some)}
        for stage, written in (
            ("detections", ("detections",)),
            ("shots", ("shots",)),
            ("tracks", ("tracks", "links")),
        ):
            units = [unit(name, stage) for name in some]
            lines = {
                table: [line for name in held for line in held[name][table]] for table in written
            }
            commit_lines(store, stage, units, lines)
    return store, names


def made_up(rng, name):
    seconds = sorted(rng.choice(40, int(rng.integers(0, 12)), replace=False).tolist())
    counts = {float(second): ["person"] * int(rng.integers(0, 4)) for second in seconds}
    detections = detection_lines(name, counts)
    links = [
        {"video_id": name, "track_id": int(rng.integers(5)), "time": one["time"]}
        | {"rank": one["rank"]}
        for one in detections
        if rng.random() < 0.6
    ]
    edges = [0.0, *sorted(rng.choice(np.arange(1.0, 40.0), 3, replace=False).tolist()), 40.0]
    shots = [
        {"video_id": name, "shot_id": number, "start_seconds": low, "end_seconds": high}
        | {"start_frame": 0, "end_frame": 1}
        for number, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    return {"detections": detections, "links": links, "shots": shots, "tracks": []}


def everything(store, table):
    """All lines of a table by a reader that knows nothing of footers or the live set."""
    files = [entry.path for entry in store.live().files(table)]
    pieces = [pq.read_table(pa.BufferReader(store.files.read(path))) for path in files]
    return [line for piece in pieces for line in piece.to_pylist()]


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 9), st.data())
def test_lines_are_those_of_reading_everything(rows_per_group, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS_PER_GROUP", rows_per_group)
        store, names = data.draw(stores())
    reader, live = TableReader(store.files), store.live()
    for name in names:
        start = data.draw(st.sampled_from([-math.inf, 0.0, 3.0, 10.5]))
        end = data.draw(st.sampled_from([math.inf, 3.0, 10.5, 41.0]))
        span = {"start_seconds": start, "end_seconds": end}
        for table in ("detections", "links"):
            found = reader.lines(live, table, name, **span)
            assert found.schema == SCHEMAS[table]
            assert found.to_pylist() == [
                line
                for line in everything(store, table)
                if line["video_id"] == name and start <= line["time"] < end
            ]
        assert reader.lines(live, "shots", name, **span).to_pylist() == [
            line
            for line in everything(store, "shots")
            if line["video_id"] == name
            and line["start_seconds"] < end
            and line["end_seconds"] > start
        ]
        linked = {
            (line["time"], line["rank"]): line["track_id"]
            for line in everything(store, "links")
            if line["video_id"] == name
        }
        found = reader.detections(live, name, **span).to_pylist()
        assert [line["track_id"] for line in found] == [
            linked.get((line["time"], line["rank"])) for line in found
        ]
        order = [(line["time"], line["rank"]) for line in found]
        assert order == sorted(order)
        assert len(found) == len(reader.lines(live, "detections", name, **span))


def test_only_the_row_groups_that_can_hold_a_line_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 8)
    store = open_store(str(tmp_path / "s"), create=True)
    names = [f"{number:02}.mp4" for number in range(30)]
    lines = [
        line
        for name in names
        for line in detection_lines(name, {float(second): ["person"] for second in range(20)})
    ]
    units = [unit(name, "detections") for name in names]
    commit_lines(store, "detections", units, {"detections": lines})
    read = []
    read_row_groups = pq.ParquetFile.read_row_groups

    def watched(self, groups, **given):
        read.extend(groups)
        return read_row_groups(self, groups, **given)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", watched)
    reader = TableReader(store.files)
    found = reader.lines(store.live(), "detections", "07.mp4", start_seconds=4.0, end_seconds=6.0)
    assert found["time"].to_pylist() == [4.0, 5.0]
    # Lines 140 to 159 are the video's; the group before has its first ones beside others' last.
    assert read == [17, 18]


def test_labels_have_a_time_or_a_span_or_are_of_the_whole_video(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    plain = dict.fromkeys(label_schema("labels").names) | {"video_id": "one.mp4", "task": "action"}
    given = {
        "early": {"time": 1.0},
        "late": {"time": 7.0},
        "before": {"start_seconds": 0.0, "end_seconds": 5.0},
        "across": {"start_seconds": 4.0, "end_seconds": 6.0},
        "open": {"start_seconds": 1.0},
        "whole": {},
    }
    lines = [
        plain | {"label": label, "source_name": "x", "source_line": 1} | when
        for label, when in given.items()
    ]
    store.commit_labels(
        "set",
        "1",
        lines=pa.Table.from_pylist(lines, schema=label_schema("labels")),
        classes=label_schema("classes").empty_table(),
        details={},
        run="r",
    )
    reader = TableReader(store.files)
    found = reader.lines(store.live(), "labels", "one.mp4")
    assert set(found["label"].to_pylist()) == set(given)
    found = reader.lines(store.live(), "labels", "one.mp4", start_seconds=5.0, end_seconds=8.0)
    assert set(found["label"].to_pylist()) == {"late", "across", "open", "whole"}


def test_a_table_that_is_of_no_video_is_asked_with_sql(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    with pytest.raises(ValueError, match="'classes' is not about videos; ask it with SQL"):
        TableReader(store.files).lines(store.live(), "classes", "one.mp4")


def test_an_unknown_video_is_answered_with_close_names(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    reader = TableReader(store.files)
    with pytest.raises(ValueError, match=r"unknown video 'on\.mp4'.*'one\.mp4'"):
        reader.detections(store.live(), "on.mp4")
    assert len(reader.lines(store.live(), "labels", "one.mp4")) == 0


def test_dictionaries_are_for_columns_whose_values_repeat():
    lines = detection_lines("a.mp4", {float(second): ["person"] * 3 for second in range(50)})
    data = encode_table("detections", pa.Table.from_pylist(lines, schema=SCHEMAS["detections"]))
    group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    encoded = {
        group.column(number).path_in_schema
        for number in range(group.num_columns)
        if "RLE_DICTIONARY" in group.column(number).encodings
    }
    assert encoded == {"video_id", "time", "rank", "category"}
