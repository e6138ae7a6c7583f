"""Compaction: fewer files, the same answers, at every moment."""

import threading
import uuid

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings

import reelbank.stores.care.compact
from reelbank import open_store
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact, compact_if_due
from reelbank.stores.care.verify import verify
from tests.stores.builders import commit_bank, commit_lines, detection_lines, filled_store, unit
from tests.stores.care.builders import add_bank, add_detections, add_labels, apply, contents, steps


def memory_store():
    return open_store(f"memory://{uuid.uuid4().hex}", create=True)


def many_parts(store, count=20, start=0):
    for number in range(start, start + count):
        add_detections(store, {f"v{number:03d}.mp4": (0, 3)}, number)
        add_bank(store, {f"v{number:03d}.mp4": (0, 3)}, number)
    return store


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "s"), create=True)


@given(steps())
@settings(max_examples=20, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_readers_see_the_same_before_and_after_whatever_happened_to_the_store(history):
    store = memory_store()
    for salt, step in enumerate(history):
        apply(store, step, salt)
    before = contents(store)
    for banks in (False, True):
        assert compact(store, banks=banks).problems == ()
        assert contents(store) == before
        assert contents(open_store(store.uri)) == before
    assert verify(store).problems == ()


def test_many_small_files_become_one(store):
    before = contents(many_parts(store))
    report = compact(store)
    assert (report.commits_before, report.commits_after) == (40, 2)
    assert contents(store) == before
    assert len(store.live().files("detections")) == len(store.live().files("failures")) == 1
    assert len(store.live().files("index")) == 1
    assert verify(store).is_sound


def test_rows_stay_where_they_are_unless_banks_are_asked_for(store):
    many_parts(store)
    groups = {one.path for one in store.live().all_files() if one.kind == "bank"}
    compact(store)
    assert {one.path for one in store.live().all_files() if one.kind == "bank"} == groups
    before = contents(store)
    compact(store, banks=True)
    assert len([one for one in store.live().all_files() if one.kind == "bank"]) == 1
    assert contents(store) == before
    assert verify(store).is_sound


@pytest.mark.parametrize("banks", [False, True])
def test_a_second_compaction_finds_nothing_to_do(store, banks):
    many_parts(store)
    for video in range(5):
        for number in (1, 2):
            add_detections(store, {f"v{video:03d}.mp4": (number, 3)}, 100 + video)
    compact(store, banks=banks)
    again = compact(store, banks=banks)
    assert (again.commits_before, again.commits_after, again.num_bytes) == (0, 0, 0)


def test_the_parts_of_one_film_stay_apart_because_nothing_would_be_won(store):
    for number in range(3):
        add_detections(store, {"a.mp4": (number, 3)}, number)
    assert compact(store).commits_after == 0


def test_films_of_several_parts_go_in_layers(store):
    for number in range(30):
        add_detections(store, {f"{number % 10}.mp4": (number // 10, 3)}, number)
    before = contents(store)
    assert compact(store).commits_after == 3
    assert contents(store) == before


def test_by_itself_it_waits_until_many_files_have_gathered(store):
    many_parts(store, 15)
    assert compact_if_due(store).commits_before == 0
    many_parts(store, 1, start=15)
    assert compact_if_due(store).commits_before == 32
    many_parts(store, 15, start=16)
    # The merged file is of another level or joins the next merge; fifteen alone do not start one.
    assert len(store.live().files("detections")) == 16


def test_each_line_is_rewritten_seldom_however_many_runs_there_are(store, monkeypatch):
    monkeypatch.setattr(reelbank.stores.care.compact, "_LEVEL_BYTES", 1 << 14)
    written = 0
    for run in range(8):
        for number in range(16):
            video = f"{run:02d}-{number:02d}.mp4"
            lines = detection_lines(video, {float(n): ["person"] for n in range(20)})
            units = [unit(video, "detections", num_rows=20)]
            commit_lines(store, "detections", units, {"detections": lines})
        written += compact_if_due(store).commits_before
    assert written <= 2 * 8 * 16
    assert len(store.live().files("detections")) < 2 * 16


def test_lines_lie_by_video_in_small_row_groups(store, monkeypatch):
    monkeypatch.setattr(reelbank.stores.care.merging, "ROWS_PER_GROUP", 8)
    many_parts(store)
    compact(store)
    (entry,) = store.live().files("detections")
    metadata = pq.read_metadata(store.files.absolute(entry.path))
    videos = pq.read_table(store.files.absolute(entry.path))["video_id"].to_pylist()
    assert videos == sorted(videos)
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [8] * 7 + [4]
    assert groups[1].column(0).statistics.min == "v002.mp4"
    assert store.table("detections", "v007.mp4")["time"].to_pylist() == [0.0, 1.0, 2.0]


def test_large_files_stay(store, monkeypatch):
    monkeypatch.setattr(reelbank.stores.care.compact, "SMALL_BYTES", 1)
    many_parts(store)
    assert compact(store).commits_before == 0


def test_output_is_cut_at_the_target_size_and_at_the_number_of_units(store, monkeypatch):
    many_parts(store)
    sizes = [entry.num_bytes for entry in store.live().files("detections")]
    monkeypatch.setattr(reelbank.stores.care.compact, "TARGET_BYTES", sum(sizes))
    monkeypatch.setattr(reelbank.stores.care.compact, "MAX_UNITS", 50)
    before = contents(store)
    compact(store)
    assert 2 <= len(store.live().files("detections")) <= 4
    monkeypatch.setattr(reelbank.stores.care.compact, "MAX_UNITS", 5)
    assert contents(store) == before


@pytest.mark.parametrize("banks", [False, True])
def test_files_that_hold_a_removed_video_are_rewritten_without_it(store, banks):
    add_detections(store, {"a.mp4": (0, 3), "b.mp4": (0, 2)}, 1)
    add_bank(store, {"a.mp4": (0, 3), "b.mp4": (0, 4)}, 1)
    add_labels(store, ["a.mp4", "b.mp4"], 1)
    store.remove(["a.mp4"], run="remove")
    before = contents(store)
    assert compact(store, banks=banks).commits_after == 3
    assert contents(store) == before
    assert all(one.only is None for one in store.live().visible("detections"))
    for entry in store.live().all_files():
        paths = [entry.path] if entry.kind == "table" else store.files.walk(entry.path)
        assert not any(b"a.mp4" in store.files.read(path) for path in paths)
    assert compact(store).commits_after == 0


def test_a_label_set_tells_whence_it_came_though_its_first_video_was_removed(store):
    details = {"time_offset": 1.5, "files": [{"name": "ava_train.csv", "sha256": "00"}]}
    add_labels(store, ["a.mp4", "b.mp4", "c.mp4"], 1, details=details)
    for removed in ("a.mp4", "b.mp4"):
        store.remove([removed], run="remove")
        compact(store)
        collect(store, grace_seconds=0)
    (unit,) = store.live().units(stage="labels:ava@1")
    assert (unit.video_id, unit.details) == ("c.mp4", details)


def test_a_removed_video_that_was_extracted_again_leaves_its_old_rows(store):
    work = {"a.mp4": (0, 3), "b.mp4": (0, 4)}
    add_bank(store, work, 1)
    store.remove(["a.mp4"], run="remove")
    add_bank(store, {"a.mp4": (0, 3)}, 1)
    before = contents(store)
    compact(store)
    groups = [entry.num_rows for entry in store.live().all_files() if entry.kind == "bank"]
    assert sorted(groups) == [3, 3]
    assert contents(store) == before


def test_rows_of_a_revived_part_of_a_group_are_rewritten_when_their_neighbour_is_removed(store):
    first = add_bank(store, {"a.mp4": (0, 3), "b.mp4": (0, 4)}, 1)
    add_bank(store, {"a.mp4": (0, 3), "b.mp4": (0, 4)}, 2)
    store.revive(first.key, video_ids=["b.mp4"])
    store.remove(["a.mp4"], run="remove")
    before = contents(store)
    compact(store)
    assert contents(store) == before
    assert not any(
        b"a.mp4" in store.files.read(path)
        for entry in store.live().all_files()
        if entry.kind == "bank"
        for path in store.files.walk(entry.path)
    )


def test_rows_of_two_types_are_not_put_into_one_group(store):
    for number in range(6):
        rows = {0.0: np.full((2, 3 + number % 2), number, np.float32)}
        details = {"bank": {"kind": "clip"}}
        commit_bank(store, "clip", [(unit(f"{number}.mp4", "bank:clip", details=details), rows)])
    assert compact(store, banks=True).problems == ()
    assert verify(store).is_sound


def test_work_committed_between_look_and_commit_wins(store, monkeypatch):
    many_parts(store)
    move = store.move

    def late(*args, **more):
        monkeypatch.undo()
        add_detections(store, {"v003.mp4": (0, 4)}, 900)
        store.remove(["v004.mp4"], run="remove")
        return move(*args, **more)

    monkeypatch.setattr(store, "move", late)
    compact(store)
    live = store.live()
    assert live.units("v003.mp4", "detections")[0].key == "900v003.mp40"
    assert live.select("v004.mp4") == []
    assert store.sql("select count(*) from detections").to_pylist() == [{"count_star()": 58}]
    compact(store)
    assert verify(store).is_sound


def test_a_damaged_file_is_told_and_left_as_it_is(store):
    many_parts(store, 4)
    entry = store.live().files("detections")[0]
    data = bytearray(store.files.read(entry.path))
    data[len(data) // 2] ^= 1
    store.files.replace(entry.path, bytes(data))
    report = compact(store)
    (problem,) = report.problems
    assert entry.path in problem
    assert len(store.live().files("detections")) == 4
    assert len(store.live().files("index")) == 1


def test_a_killed_compaction_leaves_the_store_as_it_was(store, monkeypatch):
    before = contents(many_parts(store))
    write_new, count = store.files.write_new, iter(range(100))

    def killed(path, data):
        if next(count) == 2:
            raise KeyboardInterrupt
        write_new(path, data)

    monkeypatch.setattr(store.files, "write_new", killed)
    with pytest.raises(KeyboardInterrupt):
        compact(store)
    monkeypatch.undo()
    assert contents(store) == before
    assert verify(store).is_sound
    compact(store)
    assert contents(store) == before


def test_a_reader_never_sees_a_gap_or_a_line_twice(tmp_path):
    store = many_parts(open_store(str(tmp_path / "s"), create=True), 30)
    done, seen = threading.Event(), []

    def read():
        reader = open_store(store.uri)
        while not done.is_set():
            lines = reader.sql("select video_id, count(*) as n from detections group by 1")
            bank = reader.bank("clip")
            found = dict(zip(*lines.to_pydict().values(), strict=True))
            seen.append((found, {video: len(bank.rows(video)) for video in bank.videos()[:5]}))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for turn in range(3):
            compact(store, banks=turn == 2)
            # A writer of new videos and one that computes anew what there was.
            many_parts(store, 5, start=100 + turn * 5)
            add_detections(store, {"v001.mp4": (0, 3)}, 500 + turn)
    finally:
        done.set()
        thread.join()
    assert seen
    for found, rows in seen:
        assert {found[f"v{number:03d}.mp4"] for number in range(30)} == {3}
        assert set(found.values()) == {3}
        assert set(rows.values()) == {3}


def test_the_filled_store_of_all_stages_stays_the_same(store):
    filled_store(store)
    add_labels(store, ["one.mp4"], 1)
    before = contents(store)
    compact(store, banks=True)
    assert contents(store) == before
    assert verify(store).is_sound
