"""What a check of lines, groups and snapshots finds beyond the bytes."""

import io
import json
from dataclasses import replace

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbank import open_store
from reelbank.stores import layout
from reelbank.stores.care import verify_lines
from reelbank.stores.care.compact import compact
from reelbank.stores.care.verify import verify
from reelbank.stores.groups import group_digest
from reelbank.stores.shards import rows_layout
from tests.stores.builders import commit_bank, commit_lines, detection_lines, filled_store, unit
from tests.stores.care.builders import add_bank, add_detections, add_labels, snapshot_paths


@pytest.fixture
def store(tmp_path):
    return filled_store(open_store(str(tmp_path / "s"), create=True))


def commit_detections(store, lines, **changes):
    units = [unit("x.mp4", "detections", **changes)]
    return commit_lines(store, "detections", units, {"detections": lines})


def problem_of(store):
    (problem,) = verify(store).problems
    return problem.error


def test_the_same_time_and_rank_twice_is_found(store):
    lines = detection_lines("x.mp4", {0.0: ["person"], 1.0: ["person"]})
    commit_detections(store, [*lines, lines[1]])
    assert problem_of(store) == "holds two lines of 'x.mp4' with the same time and rank"


@pytest.mark.parametrize("time", [np.nan, np.inf])
def test_a_time_that_is_no_number_is_found(store, time):
    commit_detections(store, detection_lines("x.mp4", {time: ["person"]}))
    assert "at a time that is no number" in problem_of(store)


def test_two_lines_of_a_video_or_shot_are_found(store):
    shot = {
        "video_id": "x.mp4",
        "shot_id": 3,
        "start_seconds": 0.0,
        "end_seconds": 1.0,
        "start_frame": 0,
        "end_frame": 25,
    }
    commit_lines(store, "shots", [unit("x.mp4", "shots")], {"shots": [shot, shot]})
    assert problem_of(store) == "holds two lines of 'x.mp4' with the same shot_id"


def test_lines_of_a_video_that_the_commit_lacks_are_found(store):
    commit_detections(store, detection_lines("y.mp4", {0.0: ["person"]}))
    assert problem_of(store) == "holds lines of 'y.mp4', which its commit lacks"


def test_lines_of_a_video_in_two_places_are_found(store):
    names = ["x.mp4", "y.mp4", "x.mp4"]
    lines = [
        line
        for number, name in enumerate(names)
        for line in detection_lines(name, {float(number): ["person"]})
    ]
    units = [unit(name, "detections") for name in names[:2]]
    commit_lines(store, "detections", units, {"detections": lines})
    assert problem_of(store) == "holds the lines of 'x.mp4' in two places"


def test_times_that_fall_from_part_to_part_are_found(store):
    for start, time in ((0.0, 7.0), (5.0, 6.0)):
        lines = detection_lines("x.mp4", {time: ["person"]})
        span = {"start_seconds": start, "end_seconds": start + 5, "key": f"from {start}"}
        commit_detections(store, lines, **span)
    assert "do not rise from part to part" in problem_of(store)


def test_dead_lines_are_not_judged(store):
    lines = detection_lines("x.mp4", {0.0: ["person"]})
    commit_detections(store, [*lines, *lines], key="old")
    commit_detections(store, lines, key="new")
    assert verify(store).is_sound


def test_rows_of_zeros_are_a_warning(store):
    rows = {0.0: np.array([[1, 1], [0, 0]], np.float32), 1.0: np.zeros((1, 2), np.float32)}
    commit_bank(store, "grid", [(unit("x.mp4", "bank:grid"), rows)])
    report = verify(store)
    assert report.is_sound
    (warning,) = (one for one in report.warnings if "banks/grid" in one.path)
    assert warning.error == "2 rows are all zeros, the first of them row 1"


def test_key_times_that_fall_are_found(store):
    rows = {1.0: np.ones((1, 2), np.float32), 0.0: np.ones((1, 2), np.float32)}
    commit_bank(store, "grid", [(unit("x.mp4", "bank:grid"), rows)])
    assert problem_of(store) == "the key times of 'x.mp4' do not rise"


def test_units_without_lines_in_the_index_are_found(store, monkeypatch):
    write_table = store.write_table
    monkeypatch.setattr(
        store,
        "write_table",
        lambda table, *, data, **names: write_table(table, data=data.slice(0, 0), **names),
    )
    add_bank(store, {"x.mp4": (0, 3)}, 1)
    assert problem_of(store) == "does not describe the rows of 'x.mp4'"


def test_labels_of_another_set_are_found(store):
    commit = add_labels(store, ["one.mp4"], 1)
    entry = next(one for one in commit.files if one.name == "labels")
    table = pq.read_table(io.BytesIO(store.files.read(entry.path)))
    number = table.schema.get_field_index("version")
    table = table.set_column(number, table.schema.field(number), pa.array(["2"] * len(table)))
    rewrite(store, commit, entry, table)
    assert problem_of(open_store(store.uri)) == "has lines with version '2'"


def rewrite(store, commit, entry, table):
    """Put other lines in place of a file's, and the commit in accordance with them."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    store.files.replace(entry.path, buffer.getvalue())
    digest = store.files.sha256(entry.path)
    new = replace(entry, num_bytes=len(buffer.getvalue()), sha256=digest)
    files = tuple(new if one == entry else one for one in commit.files)
    path = layout.commit_path(commit.name)
    store.files.replace(path, replace(commit, files=files).to_json())


def test_a_commit_with_two_units_of_a_video_is_found(store):
    name = store.files.list_names(layout.COMMITS)[0]
    plain = json.loads(store.files.read(layout.commit_path(name)))
    plain["units"].append(plain["units"][0])
    store.files.replace(layout.commit_path(name), json.dumps(plain).encode())
    assert "two units" in problem_of(open_store(store.uri))


def test_a_snapshot_that_tells_otherwise_than_the_commits_is_found(store):
    commits = [add_detections(store, {f"{n:02d}.mp4": (0, 1)}, n) for n in range(70)]
    (path,) = snapshot_paths(store)
    assert verify(store).is_sound
    changed = replace(commits[3], run="another")
    store.files.replace(layout.commit_path(changed.name), changed.to_json())
    assert "tells of another commit" in problem_of(store)
    store.files.replace(layout.commit_path(changed.name), commits[3].to_json())
    table = pq.read_table(io.BytesIO(store.files.read(path)))
    number = table.schema.get_field_index("live")
    dead = pa.array([[False] * len(one) for one in table["live"].to_pylist()], pa.list_(pa.bool_()))
    buffer = io.BytesIO()
    pq.write_table(
        table.set_column(number, table.schema.field(number), dead), buffer, write_page_checksum=True
    )
    store.files.replace(path, buffer.getvalue())
    assert "leads to other live work" in problem_of(store)


def test_a_shard_that_lacks_rows_is_found(store):
    commit = add_bank(store, {"x.mp4": (0, 3)}, 1)
    entry = next(one for one in commit.files if one.kind == "bank")
    path = f"{entry.path}/rows/c/0/0"
    data = store.files.read(path)
    layout_of_rows = rows_layout(store.files.read(f"{entry.path}/rows/zarr.json"))
    numbers = np.frombuffer(data[-layout_of_rows.index_bytes : -4], np.uint64).copy()
    numbers[:2] = 2**64 - 1
    crc = google_crc32c.value(numbers.tobytes()).to_bytes(4, "little")
    store.files.replace(path, data[: -layout_of_rows.index_bytes] + numbers.tobytes() + crc)
    names = store.files.walk(entry.path)
    digests = {name[len(entry.path) + 1 :]: store.files.sha256(name) for name in names}
    new = replace(entry, sha256=group_digest(digests))
    files = tuple(new if one == entry else one for one in commit.files)
    store.files.replace(layout.commit_path(commit.name), replace(commit, files=files).to_json())
    assert "does not hold all of its rows" in problem_of(open_store(store.uri))


def test_orphans_of_labels_are_listed(store):
    add_labels(store, ["one.mp4"], 1)
    path = layout.labels_path("ava@1", "labels", key="0", attempt="0")
    store.files.write_new(path, b"")
    assert verify(store).orphans == (path,)


def test_a_compacted_store_is_read_once_however_many_videos_a_file_holds(store, monkeypatch):
    for number in range(30):
        add_bank(store, {f"v{number:02d}.mp4": (0, 4)}, number)
    compact(store)
    opened = []
    by_video = verify_lines._by_video

    def counted(files, path, columns):
        opened.append(path)
        return by_video(files, path, columns)

    monkeypatch.setattr(verify_lines, "_by_video", counted)
    assert verify(store).is_sound
    assert len(opened) == len(set(opened))


def test_a_video_over_several_row_groups_is_judged_whole(store, monkeypatch):
    monkeypatch.setattr("reelbank.stores.care.merging.ROWS_PER_GROUP", 4)
    for number in range(4):
        add_bank(store, {f"v{number:02d}.mp4": (0, 7)}, number)
        add_detections(store, {f"v{number:02d}.mp4": (0, 7)}, number)
    compact(store)
    assert verify(store).is_sound
