"""The view `rows` against banks, detections, shots and labels, put together here."""

import os
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores.labels import label_schema
from tests.stores.builders import (
    STRANGE_NAMES,
    commit_bank,
    commit_lines,
    detection_lines,
    filled_store,
    unit,
)

CATEGORIES = ("person", "car")
SHOTS = ((0.0, 2.5), (2.5, 3.0), (4.0, 6.0))
"""With a hole, and an end before the last key times."""
TASKS = ("action", "verb", "excluded")


def boxes(draw):
    corner = st.sampled_from([0.0, 0.1, 0.2, 0.25])
    x1, y1 = draw(corner), draw(corner)
    return {"x1": x1, "y1": y1, "x2": x1 + draw(st.sampled_from([0.3, 0.5])), "y2": y1 + 0.5}


@st.composite
def labels(draw, names):
    """A line at a time, over a span or of the whole video; with or without a box and a label."""
    line = dict.fromkeys(label_schema("labels").names)
    line |= {"video_id": draw(st.sampled_from(names)), "task": draw(st.sampled_from(TASKS))}
    line |= {"label": draw(st.sampled_from(["sit", "it's; drop", None]))}
    line |= {"source_name": "x", "source_line": 1}
    kind = draw(st.sampled_from(["time", "span", "open span", "whole"]))
    start = float(draw(st.integers(0, 7)))
    if kind == "time":
        line["time"] = start + draw(st.sampled_from([0.0, 0.0005, -0.0005, 0.002]))
    elif kind != "whole":
        line["start_seconds"] = start
        line["end_seconds"] = start + draw(st.sampled_from([0.5, 2.0])) if kind == "span" else None
    return line | (boxes(draw) if draw(st.booleans()) else {})


@st.composite
def films(draw):
    """A store with detections, tracks, shots, a bank of persons, one of all, one of clips."""
    store = open_store(f"memory://rows-{os.urandom(6).hex()}", create=True)
    names = draw(st.lists(st.sampled_from(STRANGE_NAMES), min_size=1, max_size=3, unique=True))
    for name in names:
        held = {
            float(second): draw(st.lists(st.sampled_from(CATEGORIES), max_size=4))
            for second in range(draw(st.integers(1, 7)))
        }
        lines = detection_lines(name, held)
        for line in lines:
            line |= boxes(draw)
        links = [
            {"video_id": name, "track_id": 3, "time": line["time"], "rank": line["rank"]}
            for line in lines
            if line["rank"] == 0
        ]
        spans = [
            {"video_id": name, "shot_id": number, "start_seconds": low, "end_seconds": high}
            | {"start_frame": 0, "end_frame": 1}
            for number, (low, high) in enumerate(SHOTS)
        ]
        commit_lines(store, "detections", [unit(name, "detections")], {"detections": lines})
        commit_lines(store, "tracks", [unit(name, "tracks")], {"tracks": [], "links": links})
        commit_lines(store, "shots", [unit(name, "shots")], {"shots": spans})
        for bank, details, counts in (
            ("person", {"kind": "person", "category": "person"}, _of(held, "person")),
            ("all", {"kind": "object"}, {time: len(some) for time, some in held.items()}),
            ("clip", {"kind": "clip"}, dict.fromkeys(held, 1)),
        ):
            rows = {time: np.ones((count, 2), np.float16) for time, count in counts.items()}
            one = unit(name, f"bank:{bank}", details={"bank": details})
            commit_bank(store, bank, [(one, rows)])
    lines = draw(st.lists(labels(names), max_size=6))
    if lines:
        store.commit_labels(
            "set",
            "1",
            lines=pa.Table.from_pylist(lines, schema=label_schema("labels")),
            classes=label_schema("classes").empty_table(),
            details={},
            run="r",
        )
    return store, names


def _of(held, category):
    return {time: some.count(category) for time, some in held.items()}


def overlap(one, other):
    """Intersection over union, by numpy."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    areas = sum(np.prod(box[2:] - box[:2]) for box in (one, other))
    return shared / (areas - shared)


def applies(label, time, box):
    if label["label"] is None or label["task"] == "excluded":
        return False
    corners = np.array([label[name] for name in ("x1", "y1", "x2", "y2")], float)
    if not np.isnan(corners).any() and box is not None and overlap(corners, box) < 0.5:
        return False
    if label["time"] is not None:
        return abs(label["time"] - time) <= 1e-3
    start, end = label["start_seconds"], label["end_seconds"]
    return (start is None or start <= time) and (end is None or time < end)


def expected_rows(store, names):
    """What the view should hold, from everything but the view."""
    lines = []
    for name in names:
        marks = store.table("labels", name).to_pylist()
        detections = store.detections(name).to_pylist()
        for bank in store.live().banks():
            opened = store.bank(bank)
            window = opened.window(name, 0.0, 1e6)
            for time, count in zip(window.key_times.tolist(), window.counts.tolist(), strict=True):
                there = [one for one in detections if one["time"] == time]
                category = opened.metadata.get("category")
                there = [one for one in there if category in (None, one["category"])]
                for place in range(count):
                    one = there[place] if opened.kind != "clip" else {}
                    lines.append(_line(bank, name, time, place, one, marks))
    return lines


def _line(bank, name, time, place, detection, marks):
    columns = ("rank", "category", "score", "x1", "y1", "x2", "y2", "track_id")
    box = np.array([detection[c] for c in ("x1", "y1", "x2", "y2")]) if detection else None
    shots = [number for number, (low, high) in enumerate(SHOTS) if low <= time < high]
    return (
        {"bank": bank, "video_id": name, "time": time, "place": place}
        | {column: detection.get(column) for column in columns}
        | {"shot_id": shots[0] if shots else None}
        | {"labels": sorted({mark["label"] for mark in marks if applies(mark, time, box)})}
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(films())
def test_rows_are_those_of_banks_detections_shots_and_labels(film):
    store, names = film
    order = "order by bank, video_id, time, place"
    found = store.sql(f"select * from rows {order}").to_pylist()
    key = ("bank", "video_id", "time", "place")
    expected = sorted(expected_rows(store, names), key=lambda line: [line[name] for name in key])
    assert found == expected
    one = names[0]
    part = store.sql(f"select * from rows where video_id = ? and time < 3 {order}", [one])
    assert part.to_pylist() == [
        line for line in expected if line["video_id"] == one and line["time"] < 3
    ]


def test_a_row_whose_detections_were_made_anew_has_no_box(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    lines = {"detections": detection_lines("one.mp4", {0.0: ["person"], 2.0: ["person"]})}
    commit_lines(store, "detections", [unit("one.mp4", "detections", key="anew")], lines)
    found = store.sql("select * from rows where bank = 'person' and video_id = 'one.mp4'")
    boxed = {(line["time"], line["place"]): line["x1"] for line in found.to_pylist()}
    assert boxed == {(0.0, 0): None, (0.0, 1): None, (2.0, 0): pytest.approx(0.1)}


@pytest.mark.parametrize("table", ["rows", "tracked", "detections", "labels"])
def test_a_question_about_one_video_and_time_reads_no_other_row_group(tmp_path, monkeypatch, table):
    monkeypatch.setattr("reelbank.stores.tables.ROWS_PER_GROUP", 64)
    store = open_store(str(tmp_path / "s"), create=True)
    names = [f"{number:02}.mp4" for number in range(64)]
    held = {float(second): ["person"] * 4 for second in range(16)}
    lines = [line for name in names for line in detection_lines(name, held)]
    links = [
        {"video_id": line["video_id"], "track_id": 0, "time": line["time"], "rank": line["rank"]}
        for line in lines
    ]
    units = [unit(name, "detections") for name in names]
    commit_lines(store, "detections", units, {"detections": lines})
    units = [unit(name, "tracks") for name in names]
    commit_lines(store, "tracks", units, {"tracks": [], "links": links})
    details = {"bank": {"kind": "person", "category": "person"}}
    rows = {time: np.ones((4, 2), np.float16) for time in held}
    pieces = [(unit(name, "bank:person", details=details), rows) for name in names]
    commit_bank(store, "person", pieces)
    mark = dict.fromkeys(label_schema("labels").names) | {"task": "action"}
    mark |= {"label": "sit", "source_name": "x", "source_line": 1}
    marks = [mark | {"video_id": name, "time": time} for name in names for time in held]
    store.commit_labels(
        "set",
        "1",
        lines=pa.Table.from_pylist(marks, schema=label_schema("labels")),
        classes=label_schema("classes").empty_table(),
        details={},
        run="r",
    )
    plan = store.sql(
        f"explain analyze select * from {table} where video_id = '33.mp4' and time between 4 and 6"
    )["explain_value"][0].as_py()
    scanned = re.findall(r"Row Groups Scanned: (\d+) / (\d+)", plan)
    assert scanned
    assert all(int(read) <= 2 for read, _ in scanned), plan
    assert max(int(total) for _, total in scanned) >= 16
