import csv
from pathlib import Path

import pyarrow as pa
import pytest

from reelbank.stores import stages
from reelbank.stores.exporters import ava as ava_export
from reelbank.stores.exporters.ava import AvaExporter
from reelbank.stores.exporters.exporter import export
from reelbank.stores.importers import ava as ava_import
from reelbank.stores.importers.label_set import ReadOptions
from reelbank.stores.importers.matching import match
from reelbank.stores.store import open_store
from tests.shared_data import shared_data
from tests.stores.builders import commit_lines, unit
from tests.stores.exporters.stores import commit_set, label_line, whole_store

ACTIONS = """\
b_-name,0902,0.002,0.118,0.714,0.977,12,1
a-name,0902,0.100,0.200,0.300,0.400,79,0
a-name,0902,0.100,0.200,0.300,0.400,2,0
b_-name,1798,0.000,0.000,1.000,1.000,12,15
"""
EXCLUDED = "b_-name,0903\na-name,1100\n"
CLASSES = {2: 'say "hi"', 12: "stand", 79: "talk to (e.g., self)"}


def made_set(store, *, offset=-902.0):
    """The lines above, of two videos; the excluded times are those of the test split."""
    videos = {"a-name": "one.mp4", "b_-name": "two's.mp4"}
    lines = []
    for number, cells in enumerate(csv.reader(ACTIONS.splitlines()), 1):
        box = dict(zip(("x1", "y1", "x2", "y2"), map(float, cells[2:6]), strict=True))
        lines.append(
            label_line(
                videos[cells[0]],
                number,
                source_name=cells[0],
                split="validation",
                time=float(cells[1]) + offset,
                label_id=int(cells[6]),
                label=CLASSES[int(cells[6])],
                instance_id=int(cells[7]),
                **box,
            )
        )
    for number, (name, time) in enumerate(csv.reader(EXCLUDED.splitlines()), 1):
        place = {"source_name": name, "time": float(time) + offset}
        lines.append(label_line(videos[name], number, task="excluded", split="validation", **place))
    # The table's own order is another.
    lines.sort(key=lambda line: line["video_id"])
    details = {"time_offset": offset, "importer": "ava"}
    commit_set(store, "ava@2.2", lines, CLASSES, evaluated={12, 79}, details=details)


def contents(folder):
    return {path.name: path.read_bytes().decode() for path in folder.iterdir()}


@pytest.mark.parametrize("lines_at_once", [1, 3, 65_536])
@pytest.mark.parametrize("offset", [-902.0, 0.0, 17.25])
def test_a_label_set_comes_back_as_it_was_written(lines_at_once, offset, tmp_path, monkeypatch):
    monkeypatch.setattr(ava_export, "_LINES_AT_ONCE", lines_at_once)
    store = whole_store(tmp_path / "store")
    made_set(store, offset=offset)
    counts = export(store, AvaExporter(labels="ava@2.2"), tmp_path / "out")
    found = contents(tmp_path / "out")
    assert found["ava_val_v2.2.csv"] == ACTIONS
    assert found["ava_val_excluded_timestamps_v2.2.csv"] == EXCLUDED
    assert counts == {
        "ava_val_v2.2.csv": 4,
        "ava_val_excluded_timestamps_v2.2.csv": 2,
        "ava_action_list_v2.2.pbtxt": 3,
        "ava_action_list_v2.2_evaluated.pbtxt": 2,
    }
    assert set(found) == set(counts)


def test_one_video_gives_its_lines_alone(tmp_path):
    store = whole_store(tmp_path / "store")
    made_set(store)
    export(store, AvaExporter(labels="ava@2.2"), tmp_path / "out", videos=["one.mp4"])
    expected = [line for line in ACTIONS.splitlines() if line.startswith("a-name")]
    assert contents(tmp_path / "out")["ava_val_v2.2.csv"].splitlines() == expected


def test_the_label_maps_are_read_back(tmp_path):
    store = whole_store(tmp_path / "store")
    made_set(store)
    export(store, AvaExporter(labels="ava@2.2"), tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    found = ava_import.read(files, ReadOptions())
    assert (found.name, found.version) == ("ava", "2.2")
    classes = {line["label_id"]: line for line in found.classes.to_pylist()}
    assert {number: line["label"] for number, line in classes.items()} == CLASSES
    assert {number for number, line in classes.items() if line["evaluated"]} == {12, 79}


def test_lines_without_a_person_or_a_box_have_fewer_fields(tmp_path):
    store = whole_store(tmp_path / "store")
    box = {"x1": 0.0612, "y1": 0.2, "x2": 0.5, "y2": 1.0}
    lines = [
        label_line("one.mp4", 1, time=904.0, label_id=11, **box),
        label_line("one.mp4", 2, time=904.5),
        label_line("one.mp4", 3, time=905.0, label_id=11, source_name="a,b", **box),
    ]
    commit_set(store, "ava@1.0", lines, {})
    export(store, AvaExporter(labels="ava@1.0"), tmp_path / "out")
    assert contents(tmp_path / "out") == {
        # No decimal is lost; the reader of the format takes quoted names.
        "ava_v1.0.csv": "name,0904,0.0612,0.200,0.500,1.000,11\n"
        "name,904.5\n"
        '"a,b",0905,0.0612,0.200,0.500,1.000,11\n'
    }


def test_an_unknown_set_is_answered_with_close_names(tmp_path):
    store = whole_store(tmp_path / "store")
    made_set(store)
    with pytest.raises(ValueError, match=r"unknown label set 'ava@2'; the closest .* 'ava@2\.2'"):
        export(store, AvaExporter(labels="ava@2"), tmp_path / "out")


# Predictions: no stage of the store writes them yet, so the tests make one.


def predicted(store, monkeypatch, *, rank=1, label="stand", time=0.0):
    monkeypatch.setitem(stages.TABLES_OF_STAGE, "predictions", ("predictions", "failures"))
    line = {"video_id": "two's.mp4", "time": time, "rank": rank, "label": label}
    lines = [line | {"score": 0.5, "model": "head/1"}, line | {"score": 0.9, "model": "other"}]
    commit_lines(store, "predictions", [unit("two's.mp4", "predictions")], {"predictions": lines})


def test_predictions_are_boxes_with_the_sets_names_times_and_numbers(tmp_path, monkeypatch):
    store = whole_store(tmp_path / "store")
    made_set(store)
    predicted(store, monkeypatch)
    exporter = AvaExporter(labels="ava@2.2", predictions="head/1")
    assert export(store, exporter, tmp_path / "out")["ava_predictions_v2.2.csv"] == 1
    assert contents(tmp_path / "out")["ava_predictions_v2.2.csv"] == (
        "b_-name,0902,0.100000,0.200000,0.500000,0.750000,12,0.500000\n"
    )


@pytest.mark.parametrize(
    ("changes", "model", "says"),
    [
        ({}, "head", "unknown model of the table predictions: 'head'; the closest of 2: 'head/1'"),
        ({"label": "stood"}, "head/1", "unknown class of ava@2.2: 'stood'; the closest .* 'stand'"),
        ({"rank": 9}, "head/1", 'at 0.0 s of "two\'s.mp4" for rank 9, and there is no such det'),
    ],
)
def test_predictions_that_fit_nothing_are_named(changes, model, says, tmp_path, monkeypatch):
    store = whole_store(tmp_path / "store")
    made_set(store)
    predicted(store, monkeypatch, **changes)
    with pytest.raises(ValueError, match=says):
        export(store, AvaExporter(labels="ava@2.2", predictions=model), tmp_path / "out")


# What the importer reads, the exporter writes.


def imported(store, files, *, offset, options=None):
    found = ava_import.read(files, options or ReadOptions())
    videos = sorted(set(found.lines["source_name"].to_pylist()))
    # Any video of any stage will do.
    commit_lines(store, "shots", [unit(f"{name}.mp4", "shots") for name in videos], {"shots": []})
    matched = match(
        found.lines,
        ends={f"{name}.mp4": None for name in videos},
        id_format="{stem}",
        time_offset=offset,
    )
    store.commit_labels(
        found.name,
        found.version,
        lines=matched.lines,
        classes=found.classes,
        details={"importer": "ava", "time_offset": offset},
        run="import",
    )
    return f"{found.name}@{found.version}"


def real_files(folder):
    """The excerpts of version 2.2 under names of the release."""
    source = shared_data() / "reference" / "annotations"
    files = {
        "ava_train_v2.2.csv": source / "ava_sample.csv",
        "ava_train_excluded_timestamps_v2.2.csv": source / "ava_excluded_timestamps_sample.csv",
        "ava_action_list_v2.2_evaluated.pbtxt": source
        / "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
    }
    folder.mkdir()
    for name, path in files.items():
        (folder / name).write_bytes(path.read_bytes())
    return sorted(folder.iterdir())


@pytest.mark.parametrize("offset", [0.0, -902.0, -901.5])
def test_real_files_come_back_byte_for_byte(offset, tmp_path):
    files = real_files(tmp_path / "in")
    store = open_store(tmp_path / "store", create=True)
    labels = imported(store, files, offset=offset)
    export(store, AvaExporter(labels=labels), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def test_real_files_of_version_1_come_back_with_the_same_values(tmp_path):
    source = shared_data() / "reference" / "annotations" / "ava_test_v1.0_excerpt.csv"
    store = open_store(tmp_path / "store", create=True)
    labels = imported(store, [source], offset=-900.0)
    export(store, AvaExporter(labels=labels), tmp_path / "out")
    written = (tmp_path / "out" / "ava_test_v1.0.csv").read_text()
    assert values(written, ",") == values(Path(source).read_text(), "\t")


def values(text, delimiter):
    rows = csv.reader(text.splitlines(), delimiter=delimiter)
    return [(name, *map(float, numbers)) for name, *numbers in rows]


def test_a_generated_release_comes_back_byte_for_byte(tmp_path):
    from random import Random

    random = Random(0)
    folder = tmp_path / "in"
    folder.mkdir()
    for split in ("train", "val", "test"):
        lines = []
        for _ in range(500):
            x1, y1, x2, y2 = (
                value for low in (0, 0, 500, 500) for value in [random.randrange(low, low + 500)]
            )
            name, time = random.choice(["zz", "-a_b", "Q1"]), random.randrange(902, 1799)
            corners = ",".join(f"{value / 1000:.3f}" for value in (x1, y1, x2, y2))
            person, action = random.randrange(300), random.randrange(1, 81)
            lines.append(f"{name},{time:04d},{corners},{action},{person}\n")
        (folder / f"ava_{split}_v2.1.csv").write_text("".join(lines))
    store = open_store(tmp_path / "store", create=True)
    labels = imported(store, sorted(folder.iterdir()), offset=-902.0)
    export(store, AvaExporter(labels=labels), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)
    assert pa.compute.count_distinct(store.sql("SELECT time FROM labels")["time"]).as_py() == len(
        {line.split(",")[1] for text in contents(folder).values() for line in text.split()}
    )
