import hashlib
import io
import tarfile

import numpy as np
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank.stores.exporters.exporter import export
from reelbank.stores.exporters.webdataset import WebDatasetExporter
from reelbank.stores.store import open_store
from tests.stores.builders import STRANGE_NAMES, commit_bank, commit_lines, detection_lines, unit
from tests.stores.exporters.stores import commit_set, label_line, whole_store

# webdataset leaves the tar files that it reads to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def read_back(folder):
    """Samples as webdataset decodes them."""
    shards = [str(path) for path in sorted(folder.glob("*.tar"))]
    return list(webdataset.WebDataset(shards, shardshuffle=False).decode())


def test_webdataset_reads_a_sample_for_each_video(tmp_path):
    store = whole_store(tmp_path / "store")
    counts = export(store, WebDatasetExporter(bank="person"), tmp_path / "out")
    assert counts == {"shards": 1, "samples": 2, "rows": 6}
    for sample, name in zip(read_back(tmp_path / "out"), ("one.mp4", "two's.mp4"), strict=True):
        assert sample["rows.npy"].dtype == np.float16
        np.testing.assert_array_equal(sample["rows.npy"], store.bank("person").rows(name))
        assert sample["times.npy"].tolist() == [0.0, 0.0, 2.0]
        assert sample["boxes.npy"].dtype == np.float32
        np.testing.assert_allclose(sample["boxes.npy"], [[0.1, 0.2, 0.5, 0.75]] * 3, rtol=1e-6)
        assert sample["video.json"] == {
            "video_id": name,
            "bank": "person",
            "start_seconds": 0.0,
            "end_seconds": None,
        }
        assert "labels.json" not in sample


def test_a_bank_of_whole_pictures_has_no_boxes(tmp_path):
    export(whole_store(tmp_path / "store"), WebDatasetExporter(bank="clip"), tmp_path / "out")
    assert all("boxes.npy" not in sample for sample in read_back(tmp_path / "out"))


def test_boxes_are_those_of_the_rows_detections(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    lines = detection_lines("a", {0.0: ["car", "person"], 1.0: ["person", "car", "person"]})
    for number, line in enumerate(lines):
        line["x1"] = number / 32
    commit_lines(store, "detections", [unit("a", "detections")], {"detections": lines})
    details = {"bank": {"kind": "person", "category": "person"}}
    rows = {0.0: np.zeros((1, 2), np.float16), 1.0: np.ones((2, 2), np.float16)}
    commit_bank(store, "person", [(unit("a", "bank:person", details=details), rows)])
    export(store, WebDatasetExporter(bank="person"), tmp_path / "out")
    (sample,) = read_back(tmp_path / "out")
    assert (sample["boxes.npy"][:, 0] * 32).tolist() == [1.0, 2.0, 4.0]


def test_rows_without_their_detections_are_an_error(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    lines = detection_lines("a", {0.0: ["person"]})
    commit_lines(store, "detections", [unit("a", "detections")], {"detections": lines})
    details = {"bank": {"kind": "person", "category": "person"}}
    rows = {0.0: np.zeros((2, 2), np.float16)}
    commit_bank(store, "person", [(unit("a", "bank:person", details=details), rows)])
    with pytest.raises(ValueError, match=r"has 2 rows at 0\.0 s of 'a' and the table detections 1"):
        export(store, WebDatasetExporter(bank="person"), tmp_path / "out")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    seconds=st.sampled_from([None, 0.001, 0.25, 1.0, 1.75, 100.0, 1e18]),
    shard_bytes=st.sampled_from([1, 20_480, 40_960, 10**9]),
)
def test_stretches_hold_every_row_once_and_shards_their_size(
    counts, seconds, shard_bytes, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("drawn")
    store = open_store(folder / "store", create=True)
    names = ["a", *STRANGE_NAMES]
    step = 0.5
    for number, name in enumerate(names):
        rows = {
            place * step: np.full((count, 300), number * 100 + place, np.float32)
            for place, count in enumerate(counts)
        }
        commit_bank(store, "clip", [(unit(name, "bank:clip"), rows)])
    exporter = WebDatasetExporter(bank="clip", seconds=seconds, shard_bytes=shard_bytes)
    found = export(store, exporter, folder / "out")
    samples = read_back(folder / "out")
    assert len(samples) == found["samples"]
    for name in names:
        own = [sample for sample in samples if sample["video.json"]["video_id"] == name]
        bank = store.bank("clip")
        np.testing.assert_array_equal(
            np.concatenate([sample["rows.npy"] for sample in own]), bank.rows(name)
        )
        for sample in own:
            start, end = (sample["video.json"][key] for key in ("start_seconds", "end_seconds"))
            assert np.all(sample["times.npy"] >= start - 1e-6)
            assert end is None or np.all(sample["times.npy"] < end)
    for path in (folder / "out").iterdir():
        with tarfile.open(path) as tar:
            stems = {name.split(".")[0] for name in tar.getnames()}
        assert path.stat().st_size <= shard_bytes or len(stems) == 1


def test_the_same_store_gives_the_same_bytes(tmp_path):
    store = whole_store(tmp_path / "store")
    for name in ("first", "second"):
        export(store, WebDatasetExporter(bank="person", seconds=1.0), tmp_path / name)
    digests = [
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]
        for folder in (tmp_path / "first", tmp_path / "second")
    ]
    assert digests[0] == digests[1]


def test_labels_go_with_the_stretch_that_they_touch(tmp_path):
    store = whole_store(tmp_path / "store")
    lines = [
        label_line("one.mp4", 1, time=0.0, label="sit", label_id=1),
        label_line("one.mp4", 2, time=1.0, label="stand", label_id=2),
        label_line("one.mp4", 3, start_seconds=0.5, end_seconds=1.0, label="cut", label_id=3),
        label_line("one.mp4", 4, start_seconds=0.5, end_seconds=2.5, label="wash", label_id=4),
        label_line("one.mp4", 5, task="views", value=12.5),
    ]
    commit_set(store, "made@1", lines, {})
    exporter = WebDatasetExporter(bank="clip", labels="made@1", seconds=1.0)
    export(store, exporter, tmp_path / "out")
    found = {
        (sample["video.json"]["video_id"], sample["video.json"]["start_seconds"]): sample
        for sample in read_back(tmp_path / "out")
    }
    numbers = {
        place: sorted(line["source_line"] for line in sample["labels.json"])
        for place, sample in found.items()
    }
    assert numbers["one.mp4", 0.0] == [1, 3, 4, 5]
    assert numbers["one.mp4", 1.0] == [2, 4, 5]
    assert numbers["one.mp4", 2.0] == [4, 5]
    assert numbers["two's.mp4", 0.0] == []
    views = [line for line in found["one.mp4", 2.0]["labels.json"] if line["task"] == "views"]
    assert views == [{"task": "views", "value": 12.5, "source_name": "name", "source_line": 5}]


def test_nothing_in_a_shard_is_pickled(tmp_path):
    export(whole_store(tmp_path / "store"), WebDatasetExporter(bank="person"), tmp_path / "out")
    (path,) = (tmp_path / "out").iterdir()
    with tarfile.open(path) as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            if member.name.endswith(".npy"):
                np.load(io.BytesIO(tar.extractfile(member).read()), allow_pickle=False)
            else:
                assert member.name.endswith(".json")


def test_wrong_requests_are_refused(tmp_path):
    store = whole_store(tmp_path / "store")
    with pytest.raises(ValueError, match="unknown bank 'persons'; the closest of 2: 'person'"):
        export(store, WebDatasetExporter(bank="persons"), tmp_path / "out")
    with pytest.raises(ValueError, match=r"unknown label set 'ava@2\.2'"):
        export(store, WebDatasetExporter(bank="person", labels="ava@2.2"), tmp_path / "out")
    with pytest.raises(ValueError, match=r"--seconds 0 must be 0\.001 or more"):
        WebDatasetExporter(bank="person", seconds=0)
    with pytest.raises(ValueError, match="--shard-mb must be more than 0, not 0"):
        WebDatasetExporter(bank="person", shard_bytes=0)
