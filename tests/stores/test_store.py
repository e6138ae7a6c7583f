"""Creating, opening, writing, committing: what is visible, and to whom."""

import json
import math
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reelbank import open_store
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.snapshots import read_news, read_snapshot
from tests.stores.builders import (
    STRANGE_NAMES,
    commit_bank,
    commit_lines,
    detection_lines,
    filled_store,
    unit,
    write_lines,
)


@pytest.fixture(params=["local", "memory", "strange"])
def uri(request, tmp_path):
    if request.param == "memory":
        return f"memory://{tmp_path.name}-{os.urandom(4).hex()}"
    return str(tmp_path / ("store" if request.param == "local" else "it's [a] *store?\n é"))


def one_commit(store, video="a.mp4", num=1, **changes):
    lines = detection_lines(video, {float(second): ["person"] for second in range(num)})
    part = unit(video, "detections", num_rows=num, **changes)
    return commit_lines(store, "detections", [part], {"detections": lines})


def count(store):
    return store.sql("select count(*) as n from detections")["n"][0].as_py()


def test_what_one_handle_commits_another_sees(uri):
    writer, reader = open_store(uri, create=True), open_store(uri)
    assert writer.id == reader.id
    assert count(reader) == 0
    one_commit(writer, num=3)
    assert count(reader) == 3
    assert reader.live().unit("a.mp4", "detections", 0.0, math.inf).num_rows == 3


def test_strange_names_come_back_as_they_went_in(uri):
    store = open_store(uri, create=True)
    for number, name in enumerate(STRANGE_NAMES):
        one_commit(store, name, num=number + 1)
    found = store.sql("select video_id, count(*) as n from detections group by 1 order by n")
    assert tuple(found["video_id"].to_pylist()) == STRANGE_NAMES
    for number, name in enumerate(STRANGE_NAMES):
        assert len(store.detections(name)) == number + 1
    if "://" not in uri:
        for folder, _, names in os.walk(Path(uri).parent):
            inside = Path(folder).relative_to(Path(uri).parent).parts
            assert not names or inside[0] == Path(uri).name


def test_files_without_their_commit_are_invisible(uri):
    store = open_store(uri, create=True)
    part = unit("a.mp4", "detections", num_rows=1)
    lines = {"detections": detection_lines("a.mp4", {0.0: ["person"]})}
    files = write_lines(store, "detections", [part], lines, "dead")
    assert count(store) == 0
    assert not len(open_store(uri).live())
    # The writer died here; the work is done again, and only the second attempt shows.
    again = commit_lines(store, "detections", [part], lines)
    assert again is not None
    assert [entry.path for entry in store.live().files("detections")] != [files[0].path]
    assert count(store) == 1


def test_a_second_commit_of_the_same_work_loses_quietly(uri):
    first, second = open_store(uri, create=True), open_store(uri)
    assert one_commit(first) is not None
    assert one_commit(second) is None
    assert count(second) == 1


def test_new_settings_supersede_and_the_old_ones_can_come_back(uri):
    store = open_store(uri, create=True)
    a = one_commit(store, num=1, key="A")
    b = one_commit(store, num=2, key="B")
    assert b.replaces == (a.key,)
    assert count(store) == 2
    assert store.committed(a.key) == a
    back = store.revive(a.key)
    assert (back.generation, back.files, back.key) == (1, a.files, a.key)
    assert count(store) == 1
    # Computed anew instead of revived: the next generation, with files of its own.
    assert one_commit(store, num=2, key="B").generation == 1
    again = one_commit(store, num=1, key="A")
    assert again.generation == 2
    assert count(open_store(uri)) == 1


def test_revive_needs_the_files_and_a_key_that_was_committed(uri):
    store = open_store(uri, create=True)
    a = one_commit(store, num=1, key="A")
    one_commit(store, num=2, key="B")
    assert store.revive("0" * 32) is None
    store.files.remove(a.files[0].path)
    assert store.revive(a.key) is None
    assert count(store) == 2


def test_one_video_of_a_shared_file_is_superseded_and_revived_alone(uri):
    store = open_store(uri, create=True)
    videos = ["a.mp4", "b's.mp4"]
    units = [unit(name, "detections", key=f"old {name}", num_rows=1) for name in videos]
    lines = [line for name in videos for line in detection_lines(name, {0.0: ["person"]})]
    old = commit_lines(store, "detections", units, {"detections": lines})
    one_commit(store, "b's.mp4", num=5)
    counts = "select video_id, count(*) as n from detections group by 1 order by 1"
    assert store.sql(counts)["n"].to_pylist() == [1, 5]
    assert store.info()["rows"]["detections"] == 6
    one_commit(store, "a.mp4", num=7)
    assert store.sql(counts)["n"].to_pylist() == [7, 5]
    assert len(store.live().files("detections")) == 2
    store.revive(old.key, video_ids=["a.mp4"])
    assert store.sql(counts)["n"].to_pylist() == [1, 5]
    assert len(store.detections("b's.mp4")) == 5


def test_new_content_of_a_video_hides_all_that_was_made_from_the_old(uri):
    store = open_store(uri, create=True)
    one_commit(store, num=2)
    commit_lines(store, "scores", [unit("a.mp4", "scores", digest="d1")], {"scores": []})
    assert count(store) == 0
    assert store.live().units("a.mp4", "detections") == []


def test_a_live_set_in_hand_does_not_change(uri):
    store = open_store(uri, create=True)
    one_commit(store, "a.mp4")
    before = store.live()
    one_commit(store, "b.mp4")
    assert before.videos() == ["a.mp4"]
    assert store.live().videos() == ["a.mp4", "b.mp4"]


def test_a_commit_must_fit_its_stage(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    lines = {"detections": detection_lines("a.mp4", {0.0: ["person"]})}
    part = unit("a.mp4", "detections")
    files = write_lines(store, "detections", [part], lines, "x")
    for stage, units, entries, words in (
        ("scores", [part], [], "all of that stage"),
        ("detections", [], [], "needs units"),
        ("detections", [part, part], files, "two units"),
        ("detections", [part], files * 2, "two files"),
        ("scores", [unit("a.mp4", "scores")], files, "does not write"),
        ("dreams", [unit("a.mp4", "dreams")], [], "unknown stage"),
    ):
        with pytest.raises(ValueError, match=words):
            store.commit(stage, units, entries, run="r", attempt="x")
    assert not len(store.live())


def test_a_table_must_fit_its_schema(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    good = detection_lines("a.mp4", {0.0: ["person"]})[0]
    for line, words in (
        ({name: value for name, value in good.items() if name != "rank"}, "missing.*rank"),
        (good | {"colour": 1}, "extra.*colour"),
        (good | {"category": None}, "category.*null"),
        (good | {"score": "high"}, "does not fit"),
    ):
        with pytest.raises(ValueError, match=words):
            store.write_table("detections", key="k", attempt="a", data=pa.Table.from_pylist([line]))
    with pytest.raises(ValueError, match="unknown table"):
        store.write_table("dreams", key="k", attempt="a", data=pa.table({}))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "1bank", "a b"])
def test_a_bank_name_must_be_fit_for_a_folder(tmp_path, name):
    store = open_store(str(tmp_path / "s"), create=True)
    with pytest.raises(ValueError, match="bank name"):
        commit_bank(store, name, [(unit("a", f"bank:{name}"), {0.0: np.ones((1, 2), np.float16)})])


def test_exactly_one_of_many_threads_commits(tmp_path):
    uri = str(tmp_path / "s")
    open_store(uri, create=True)
    barrier = threading.Barrier(8)

    def work(number):
        store = open_store(uri)
        part = unit("a.mp4", "detections")
        lines = {"detections": detection_lines("a.mp4", {0.0: ["person"]})}
        attempt = f"t{number}"
        files = write_lines(store, "detections", [part], lines, attempt)
        barrier.wait()
        return store.commit("detections", [part], files, run="r", attempt=attempt)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    winners = [result for result in results if result is not None]
    assert len(winners) == 1
    assert open_store(uri).commits() == winners


def _commit_many(uri, worker, ready):
    store = open_store(uri)
    ready.wait()
    won = 0
    for number in range(12):
        lines = {"detections": detection_lines(f"{number}.mp4", {0.0: ["person"]})}
        part = unit(f"{number}.mp4", "detections")
        attempt = f"w{worker}n{number}"
        files = write_lines(store, "detections", [part], lines, attempt)
        won += store.commit("detections", [part], files, run="r", attempt=attempt) is not None
    os._exit(won)


def test_processes_that_race_commit_each_work_once(tmp_path):
    uri = str(tmp_path / "s")
    open_store(uri, create=True)
    context = multiprocessing.get_context("forkserver")
    ready = context.Barrier(3)
    workers = [context.Process(target=_commit_many, args=(uri, n, ready)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(worker.exitcode for worker in workers) == 12
    assert count(open_store(uri)) == 12
    assert [name for name in os.listdir(f"{uri}/commits") if name.startswith(".")] == []


def test_a_snapshot_gives_the_same_live_set_as_the_commits(uri, monkeypatch):
    monkeypatch.setattr("reelbank.stores.history.COMMITS_PER_SNAPSHOT", 8)
    store = open_store(uri, create=True)
    for number in range(30):
        one_commit(store, f"{number % 7}.mp4", num=1 + number % 3, key=f"k{number}")
    paths = read_news(store.files).paths
    assert [len(read_snapshot(store.files, path).columns) for path in paths] == [24, 16]
    expected = store.live().items
    # It is read: opening fetches no commit that it covers.
    opened = open_store(uri)
    fetched = []
    read_existing = opened.files.read_existing
    monkeypatch.setattr(
        opened.files, "read_existing", lambda paths: fetched.extend(paths) or read_existing(paths)
    )
    assert opened.live().items == expected
    assert len(fetched) == 6
    for path in paths:
        for damage in (b"", b"PAR1 nonsense", b"x" * 4000):
            store.files.replace(path, damage)
            assert open_store(uri).live().items == expected
    store.files.remove_many(paths)
    assert open_store(uri).live().items == expected


def test_a_flipped_byte_in_a_snapshot_never_changes_the_live_set(tmp_path, monkeypatch):
    monkeypatch.setattr("reelbank.stores.history.COMMITS_PER_SNAPSHOT", 4)
    uri = str(tmp_path / "s")
    store = open_store(uri, create=True)
    for number in range(4):
        one_commit(store, f"{number}.mp4")
    expected = store.live().items
    (path,) = read_news(store.files).paths
    data = store.files.read(path)
    for place in range(0, len(data), 37):
        store.files.replace(path, data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        assert open_store(uri).live().items == expected, place


def test_the_same_data_give_the_same_bytes(tmp_path):
    prints = []
    for name in ("s1", "s2"):
        store = filled_store(open_store(str(tmp_path / name), create=True))
        prints.append(store.fingerprint())
    assert prints[0] == prints[1]
    assert len(prints[0]) == 10


def test_a_store_travels_between_processes_by_its_uri(uri):
    store = open_store(uri, create=True)
    one_commit(store)
    other = pickle.loads(pickle.dumps(store))
    assert other.fingerprint() == store.fingerprint()
    assert pickle.loads(pickle.dumps(store.live().items)) == store.live().items


def test_runs_are_written_and_written_again(uri):
    store = open_store(uri, create=True)
    store.write_run("r-1", {"state": "running", "started": "now"})
    store.write_run("r-1", {"state": "done", "started": "now", "note": "it's"})
    assert store.runs() == [{"run": "r-1", "state": "done", "started": "now", "note": "it's"}]
    assert store.sql("select state from runs where run = 'r-1'")["state"].to_pylist() == ["done"]
    with pytest.raises(ValueError, match="run id"):
        store.write_run("../x", {})


def test_detections_come_with_their_tracks(uri):
    store = filled_store(open_store(uri, create=True))
    found = store.detections("two's.mp4", 0.0, 2.0)
    assert found["time"].to_pylist() == [0.0] * 3
    assert found["rank"].to_pylist() == [0, 1, 2]
    assert found["track_id"].to_pylist() == [None, 7, None]
    assert found.schema.field("track_id").type == pa.int32()
    assert found.drop_columns("track_id").schema.names == SCHEMAS["detections"].names
    assert len(store.detections("two's.mp4")) == 5
    with pytest.raises(ValueError, match=r"closest of 2: .two's\.mp4"):
        store.detections("twos.mp4")


def test_spans_of_a_long_video_are_read_as_one_and_cut_where_asked(uri):
    store = open_store(uri, create=True)
    for start in (0.0, 10.0, 20.0):
        times = {start + second: ["person"] for second in range(10)}
        part = unit(
            "long.mp4",
            "detections",
            start_seconds=start,
            end_seconds=math.inf if start == 20.0 else start + 10.0,
            key=f"k{start}",
        )
        lines = {"detections": detection_lines("long.mp4", times)}
        commit_lines(store, "detections", [part], lines)
    found = store.table("detections", "long.mp4", 8.0, 22.0)
    assert found["time"].to_pylist() == [float(second) for second in range(8, 22)]
    assert [part.start_seconds for part in store.live().units("long.mp4")] == [0.0, 10.0, 20.0]


def test_info_counts_what_is_there(uri):
    store = filled_store(open_store(uri, create=True))
    info = store.info()
    json.dumps(info, allow_nan=False)
    assert info["videos"] == {"unfinished": 2}
    assert info["rows"]["detections"] == 10
    assert info["banks"]["person"]["rows"] == 6
    assert info["banks"]["person"]["untrained"] is True
    assert info["runs"] == 1
    store.describe_banks()
    text = store.files.read("banks/person/bank.json")
    assert json.loads(text) == info["banks"]["person"]


def test_opening_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="there is no store at"):
        open_store(str(tmp_path / "none"))
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ValueError, match="is not a store"):
        open_store(str(folder))
    (folder / "film.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="not empty"):
        open_store(str(folder), create=True)
    with pytest.raises(ValueError, match="is a file"):
        open_store(str(folder / "film.mp4"), create=True)
    with pytest.raises(ValueError, match="cannot be created"):
        open_store(str(folder / "film.mp4" / "store"), create=True)
    with pytest.raises(ValueError, match="cannot be created or written"):
        open_store("/proc/reelbank/store", create=True)
    with pytest.raises(ValueError, match="no such kind of address"):
        open_store("dreams://store")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": "reelbank", "format_version": 2, "id": "x"}', "install a newer"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"format": "other", "format_version": 1, "id": "x"}', "damaged"),
        ('{"format": "reelbank", "format_version": "1", "id": "x"}', "damaged"),
    ],
)
def test_a_store_file_of_a_newer_format_or_damaged_is_refused(tmp_path, text, words):
    (tmp_path / "store.json").write_text(text)
    for create in (False, True):
        with pytest.raises(ValueError, match=words):
            open_store(str(tmp_path), create=create)


def test_a_damaged_commit_is_named_with_the_remedy(tmp_path):
    uri = str(tmp_path / "s")
    commit = one_commit(open_store(uri, create=True))
    path = Path(uri, "commits", commit.name)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=rf"commits/{commit.name} is damaged.*delete that file"):
        open_store(uri).live()
    path.unlink()
    assert not len(open_store(uri).live())


def test_a_store_without_permission_to_write_says_so(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    uri = str(tmp_path / "s")
    one_commit(open_store(uri, create=True))
    os.chmod(f"{uri}/commits", 0o555)
    try:
        with pytest.raises(ValueError, match="cannot be written"):
            open_store(uri, create=True)
        assert count(open_store(uri)) == 1
    finally:
        os.chmod(f"{uri}/commits", 0o755)


def test_a_handle_notices_that_a_commit_was_removed(tmp_path):
    uri = str(tmp_path / "s")
    store = open_store(uri, create=True)
    first, _ = one_commit(store, "a.mp4"), one_commit(store, "b.mp4")
    os.unlink(f"{uri}/commits/{first.name}")
    assert store.live().videos() == ["b.mp4"]
