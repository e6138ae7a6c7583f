"""Garbage collection: what counts stays as it is, at every moment; what was removed is gone."""

import datetime
import io
import json
import math
import os
import uuid
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings

import reelbank.stores.care.collect
from reelbank import open_store
from reelbank.stores import layout
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.care.verify import verify
from tests.stores.builders import commit_bank, detection_lines, filled_store, unit, write_lines
from tests.stores.care.builders import (
    add_bank,
    add_detections,
    add_labels,
    apply,
    contents,
    snapshot_paths,
    snapshot_sizes,
    steps,
)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "s"), create=True)


def live_names(store):
    return {(item.unit.span, item.commit.name) for item in store.live().items}


def aged(store, seconds):
    """Make everything in the store that much older; snapshots know better and go."""
    store.files.remove_many(snapshot_paths(store))
    for name in store.files.list_names(layout.COMMITS):
        path = layout.commit_path(name)
        plain = json.loads(store.files.read(path))
        created = datetime.datetime.fromisoformat(plain["created"])
        plain["created"] = (created - datetime.timedelta(seconds=seconds)).isoformat()
        store.files.replace(path, json.dumps(plain).encode())
    for path in store.files.walk(""):
        where = store.files.absolute(path)
        os.utime(where, (os.stat(where).st_mtime - seconds,) * 2)
    return open_store(store.uri)


@given(steps())
@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_the_live_set_is_the_same_whatever_happened_to_the_store(history):
    store = open_store(f"memory://{uuid.uuid4().hex}", create=True)
    for salt, step in enumerate(history):
        apply(store, step, salt)
    before, live = contents(store), live_names(store)
    for superseded in (False, True):
        planned = collect(store, grace_seconds=0, dry_run=True, superseded=superseded)
        done = collect(store, grace_seconds=0, superseded=superseded)
        assert replace(planned, is_dry_run=False) == done
        assert live_names(open_store(store.uri)) == live
        assert contents(store) == before
        again = collect(store, grace_seconds=0, superseded=superseded)
        assert (again.commits, again.files) == ((), ())
    report = verify(store)
    assert report.problems == report.orphans == ()


@given(steps())
@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_killed_at_any_deletion_it_leaves_a_sound_store_and_the_next_one_ends_the_job(history):
    store = open_store(f"memory://{uuid.uuid4().hex}", create=True)
    for salt, step in enumerate(history):
        apply(store, step, salt)
    live = live_names(store)
    remove = store.files.remove

    def removes_once(path):
        remove(path)
        raise Killed

    store.files.remove = removes_once
    for _ in range(500):
        try:
            collect(store, grace_seconds=0, superseded=True)
            break
        except Killed:
            reader = open_store(store.uri)
            assert live_names(reader) == live
    else:
        pytest.fail("it never came to an end")
    assert verify(open_store(store.uri)).problems == ()
    assert verify(open_store(store.uri)).orphans == ()


def test_killed_in_the_middle_of_a_job_of_all_kinds_the_store_is_sound_each_time(store):
    filled_store(store)
    for salt in range(2):
        add_detections(store, {"one.mp4": (0, 3), "b.mp4": (0, 2)}, salt)
        add_bank(store, {"one.mp4": (0, 3), "b.mp4": (0, 2)}, salt)
    store.remove(["b.mp4"], run="remove")
    compact(store, banks=True)
    before, remove = contents(store), store.files.remove

    def removes_once(path):
        remove(path)
        raise Killed

    store.files.remove = removes_once
    kills = 0
    while True:
        try:
            collect(store, grace_seconds=0)
            break
        except Killed:
            kills += 1
            reader = open_store(store.uri)
            assert contents(reader) == before
            assert kills % 8 or verify(reader).problems == ()
    assert kills > 20
    assert b"b.mp4" not in all_bytes(open_store(store.uri))


def test_what_is_young_stays(store):
    lines = {"detections": detection_lines("x.mp4", {0.0: ["person"]})}
    (orphan,) = write_lines(store, "detections", [unit("x.mp4", "detections")], lines, "dead")
    add_detections(store, {"a.mp4": (0, 1)}, 1)
    add_detections(store, {"b.mp4": (0, 1)}, 2)
    compact(store)
    report = collect(store)
    assert (report.commits, report.files) == ((), ())
    store = aged(store, 23 * 3600)
    assert collect(store).commits == ()
    store = aged(store, 2 * 3600)
    report = collect(store)
    assert len(report.commits) == 2
    assert orphan.path in report.files
    assert verify(store).orphans == ()


def test_what_was_superseded_lately_stays_however_old_it_is(store):
    add_detections(store, {"a.mp4": (0, 1)}, 1)
    add_detections(store, {"b.mp4": (0, 1)}, 2)
    store = aged(store, 48 * 3600)
    compact(store)
    assert collect(store).commits == ()
    assert len(aged(store, 48 * 3600).live()) == 2
    assert len(collect(open_store(store.uri)).commits) == 2


def test_leftovers_of_interrupted_writes_go(store):
    filled_store(store)
    for folder in ("", "/commits", "/tables/detections", "/labels", "/banks/clip"):
        os.makedirs(f"{store.uri}{folder}", exist_ok=True)
        with open(f"{store.uri}{folder}/.writing-0123", "wb") as stream:
            stream.write(b"half")
    report = collect(store, grace_seconds=0)
    assert len(report.files) == 5
    assert report.num_bytes == 20
    assert not any(".writing" in path for path in store.files.walk(""))


def test_files_of_strangers_stay(store):
    filled_store(store)
    store.files.write_new("tables/detections/notes.txt", b"mine")
    collect(store, grace_seconds=0, superseded=True)
    assert store.files.read("tables/detections/notes.txt") == b"mine"


def test_superseded_work_can_count_again_until_it_is_collected(store):
    first = add_detections(store, {"a.mp4": (0, 1)}, 1)
    add_detections(store, {"a.mp4": (0, 1)}, 2)
    assert collect(store, grace_seconds=0).commits == ()
    assert store.revive(first.key) is not None
    assert len(collect(store, grace_seconds=0, superseded=True).commits) == 2
    assert len(store.commits()) == 1


def test_what_hides_older_work_stays_as_long_as_that_does(store):
    # The second hides the first; the third only the second.
    shared = {"a.mp4": (0, 1), "b.mp4": (0, 1)}
    add_detections(store, shared, 1)
    long = unit("a.mp4", "detections", key="long", end_seconds=20.0)
    files = write_lines(
        store, "detections", [long], {"detections": detection_lines("a.mp4", {0.0: ["x"]})}, "l"
    )
    store.commit("detections", [long], files, run="r", attempt="l")
    add_detections(store, {"a.mp4": (1, 1)}, 3)
    live = live_names(store)
    # The first is live for b.mp4, so the second must go on hiding it for a.mp4.
    assert collect(store, grace_seconds=0, superseded=True).commits == ()
    assert live_names(store) == live
    compact(store)
    live = live_names(store)
    assert len(collect(store, grace_seconds=0, superseded=True).commits) >= 2
    assert live_names(store) == live


def test_snapshots_tell_of_nothing_that_is_gone(store):
    for number in range(70):
        add_detections(store, {f"{number:02d}.mp4": (0, 1)}, number)
    assert snapshot_sizes(store)
    store.remove(["07.mp4"], run="remove")
    compact(store)
    before = contents(store)
    collect(store, grace_seconds=0)
    (size,) = snapshot_sizes(store)
    assert size == len(store.commits()) == 1
    assert contents(open_store(store.uri)) == before
    assert verify(store).is_sound
    assert b"07.mp4" not in all_bytes(store)


def test_a_snapshot_left_by_a_killed_collection_is_renewed_by_the_next(store, monkeypatch):
    for number in range(70):
        add_detections(store, {f"{number:02d}.mp4": (0, 1)}, number)
    compact(store)
    with monkeypatch.context() as patch:
        patch.setattr(reelbank.stores.care.collect, "renew_snapshots", lambda *_: None)
        collect(store, grace_seconds=0)
    assert max(snapshot_sizes(store)) > len(store.commits())
    collect(store, grace_seconds=0)
    assert snapshot_sizes(store) == [len(store.commits())]


def test_a_removed_video_is_gone_from_every_byte(store):
    removed, other = "secret film.mp4", "other.mp4"
    filled_store(store)
    work = {removed: (0, 4), other: (0, 4)}
    add_detections(store, work, 3)
    add_bank(store, work, 77)
    # Superseded work, a revived part of it, and labels.
    old = add_detections(store, work, 5)
    add_detections(store, work, 6)
    store.revive(old.key, video_ids=[other])
    add_labels(store, [removed, other], 1)
    add_labels(store, [removed, other], 2)
    for _ in range(2):
        for name in (removed, other):
            add_detections(store, {name: (1, 2)}, 9)
    store.write_run(
        "r2",
        {
            "started": "2026-01-01",
            "inputs": [f"/films/{removed}", "/films"],
            "totals": {
                "status": {removed: "ok", other: "ok"},
                "errors": {other: f"as {removed!r}"},
            },
        },
    )
    store.describe_banks()
    assert removed.encode() in all_bytes(store)
    store.remove([removed], run="remove")
    assert compact(store).problems == ()
    before = contents(store)
    report = collect(store, grace_seconds=0)
    assert report.runs == ("r2",)
    found = all_bytes(open_store(store.uri))
    assert removed.encode() not in found
    assert other.encode() in found
    assert contents(store) == before
    assert verify(store).problems == verify(store).orphans == ()
    assert store.runs()[1]["totals"]["status"] == {other: "ok"}
    # And it can come back.
    add_detections(store, work, 6)
    assert store.table("detections", removed)["time"].to_pylist() == [0.0, 1.0, 2.0, 3.0]


def test_rows_and_digest_of_a_removed_video_are_gone(store):
    digest = "cafe" * 16
    pieces = [
        (unit(name, "bank:clip", digest=content, details={"bank": {"kind": "clip"}}), {0.0: rows})
        for name, content, rows in (
            ("gone.mp4", digest, np.full((3, 4), 1.2345, np.float32)),
            ("kept.mp4", "d1", np.full((3, 4), 5.4321, np.float32)),
        )
    ]
    commit_bank(store, "clip", pieces)
    store.remove(["gone.mp4"], run="remove")
    compact(store)
    collect(store, grace_seconds=0)
    found = all_bytes(store)
    assert np.float32(1.2345).tobytes() not in found
    assert np.float32(5.4321).tobytes() in found
    assert digest.encode() not in found


def test_removal_without_compaction_keeps_what_is_needed_to_end_it_later(store):
    first = add_bank(store, {"a.mp4": (0, 3), "b.mp4": (0, 4)}, 1)
    add_bank(store, {"a.mp4": (0, 3), "b.mp4": (0, 4)}, 2)
    store.revive(first.key, video_ids=["b.mp4"])
    store.remove(["a.mp4"], run="remove")
    collect(store, grace_seconds=0)
    compact(store)
    collect(store, grace_seconds=0)
    assert b"a.mp4" not in all_bytes(store)
    assert len(store.bank("clip").rows("b.mp4")) == 3


def test_of_a_bank_without_a_commit_nothing_is_left(store):
    add_bank(store, {"a.mp4": (0, 3)}, 1)
    store.describe_banks()
    store.remove(["a.mp4"], run="remove")
    collect(store, grace_seconds=0)
    assert store.files.walk("") == [
        "snapshots/epoch-0000000002",
        "snapshots/snapshot-0000000001.parquet",
        "store.json",
    ]
    assert os.listdir(f"{store.uri}/banks/clip") == []


def test_a_removed_video_comes_back_under_the_same_key_as_a_new_generation(store):
    first = add_detections(store, {"a.mp4": (0, 3)}, 1)
    store.remove(["a.mp4"], run="remove")
    again = add_detections(store, {"a.mp4": (0, 3)}, 1)
    assert (again.key, again.generation) == (first.key, 1)
    before = contents(store)
    # The first generation, and the removal, which then has nothing to hide any more.
    assert len(collect(store, grace_seconds=0).commits) == 2
    assert [commit.name for commit in store.commits()] == [again.name]
    assert contents(open_store(store.uri)) == before
    store.remove(["a.mp4"], run="remove")
    collect(store, grace_seconds=0)
    assert add_detections(store, {"a.mp4": (0, 3)}, 1).name not in (first.name, again.name)


def test_a_grace_time_below_zero_is_refused(store):
    with pytest.raises(ValueError, match="grace_seconds=-1"):
        collect(store, grace_seconds=-1)


def all_bytes(store):
    """Every file of the store, and what is inside of Parquet files, in all spellings."""
    found = []
    for path in store.files.walk(""):
        data = store.files.read(path)
        found.append(path.encode())
        found.append(data)
        if path.endswith(".parquet"):
            found.append(repr(pq.read_table(io.BytesIO(data)).to_pylist()).encode())
        elif path.endswith(".json"):
            found.append(repr(json.loads(data)).encode())
    return b"\n".join(found)


@pytest.mark.parametrize("grace", [-1.0, math.inf, math.nan])
def test_a_grace_time_that_is_no_time_is_refused(tmp_path, grace):
    with pytest.raises(ValueError, match=r"grace_seconds=.* is not possible; use 0 to"):
        collect(open_store(str(tmp_path / "s"), create=True), grace_seconds=grace)
