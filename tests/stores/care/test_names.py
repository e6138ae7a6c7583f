"""Names of commits that a collection deleted are not used again."""

from reelbank import open_store
from reelbank.stores import layout
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.care.verify import verify
from reelbank.stores.history import History
from tests.stores.builders import commit_lines, detection_lines, unit


def commit_film(store, name="a.mp4"):
    lines = {"detections": detection_lines(name, {0.0: ["car"], 1.0: ["person"]})}
    return commit_lines(store, "detections", [unit(name, "detections", num_rows=2)], lines)


def test_work_that_comes_again_after_a_collection_has_a_name_of_its_own(tmp_path):
    store = open_store(tmp_path / "s", create=True)
    first = commit_film(store)
    commit_film(store, "b.mp4")
    # A snapshot that outlives the collection, as one that another process writes meanwhile.
    History(store.files).refresh()
    History(store.files).write_snapshot()
    old = history_with_all(store)
    store.remove(["a.mp4"], run="remove")
    collect(store, grace_seconds=0)
    old.write_snapshot()
    again = commit_film(open_store(tmp_path / "s"))
    assert again.name != first.name
    fresh = open_store(tmp_path / "s")
    assert fresh.live().select("a.mp4")[0].commit == again
    assert len(fresh.sql("select * from detections where video_id = 'a.mp4'")) == 2
    collect(fresh, grace_seconds=0)
    assert verify(fresh).is_sound
    assert fresh.files.exists(again.files[0].path)


def history_with_all(store):
    """What a process knows that has looked before, and does not look again."""
    history = History(store.files)
    history.refresh()
    return history


def test_reviving_work_that_compaction_moved_does_not_need_the_old_files(tmp_path):
    store = open_store(tmp_path / "s", create=True)
    firsts = [commit_film(store, f"{number:02d}.mp4") for number in range(40)]
    assert compact(store).commits_after < 40
    other = unit("00.mp4", "detections", key="other", num_rows=1)
    commit_lines(store, "detections", [other], {"detections": detection_lines("00.mp4", {0.0: []})})
    assert len(store.detections("00.mp4")) == 0
    for entry in firsts[0].files:
        store.files.remove(entry.path)
    assert store.revive(firsts[0].key) is not None
    assert len(store.detections("00.mp4")) == 2
    assert len(store.sql("select distinct video_id from detections")) == 40


def test_the_work_of_a_removed_video_is_not_revived(tmp_path):
    store = open_store(tmp_path / "s", create=True)
    first = commit_film(store)
    store.remove(["a.mp4"], run="remove")
    assert store.revive(first.key) is None
    assert layout.parse_commit_name(first.name) is not None


def test_a_frozen_store_stays_so_where_it_travels(tmp_path):
    import pickle

    store = open_store(tmp_path / "s", create=True)
    commit_film(store)
    travelled = pickle.loads(pickle.dumps(store.frozen()))
    commit_film(store, "b.mp4")
    assert travelled.live().videos() == ["a.mp4"]
    assert len(travelled.sql("select * from detections")) == 2
    assert pickle.loads(pickle.dumps(store)).live().videos() == ["a.mp4", "b.mp4"]
