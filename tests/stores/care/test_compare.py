"""Two stores side by side."""

import json

import numpy as np
import pytest

from reelbank import open_store
from reelbank.stores.care.compact import compact
from reelbank.stores.care.compare import compare, differences
from reelbank.stores.care.compare_banks import cosine
from tests.stores.builders import commit_bank, filled_store, unit
from tests.stores.care.builders import add_detections, add_labels


@pytest.fixture
def pair(tmp_path):
    return tuple(filled_store(open_store(str(tmp_path / name), create=True)) for name in "ab")


def one_bank(tmp_path, name, held, **details):
    """A store with one video in one bank."""
    store = open_store(str(tmp_path / name), create=True)
    about = {"bank": {"kind": "clip"} | details}
    commit_bank(store, "clip", [(unit("v.mp4", "bank:clip", details=about), held)])
    return store


def test_a_store_and_its_like_are_alike_however_their_files_lie(pair):
    a, b = pair
    for number in range(3):
        for store in pair:
            add_detections(store, {"it's b.mp4": (number, 2)}, number)
    compact(b, banks=True)
    found = compare(a, b)
    assert found.is_alike
    assert found.coverage == found.settings == ()
    assert found.num_common == 3
    assert all(bank.num_identical == bank.num_pairs for bank in found.banks)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["alike"] is True


def test_videos_and_spans_that_one_lacks_are_listed(pair):
    a, b = pair
    add_detections(a, {"x.mp4": (0, 1), "y.mp4": (0, 1)}, 1)
    add_detections(b, {"y.mp4": (0, 1), "z.mp4": (0, 1)}, 1)
    add_detections(b, {"y.mp4": (1, 1)}, 1)
    found = compare(a, b)
    assert (found.only_a, found.only_b) == (("x.mp4",), ("z.mp4",))
    (coverage,) = found.coverage
    assert (coverage.video_id, coverage.stage) == ("y.mp4", "detections")
    assert (coverage.a, coverage.b) == (((0.0, 10.0),), ((0.0, 20.0),))
    assert found.lines["detections"] == (12, 13)
    assert not found.is_alike


def test_a_film_in_other_parts_covers_the_same(pair):
    a, b = pair
    for number in range(3):
        add_detections(a, {"y.mp4": (number, 2)}, 1)
    from tests.stores.builders import commit_lines, detection_lines

    times = {start + n: ["person"] for start in (0.0, 10.0, 20.0) for n in range(2)}
    lines = {"detections": detection_lines("y.mp4", times), "failures": []}
    commit_lines(b, "detections", [unit("y.mp4", "detections")], lines)
    assert compare(a, b).coverage == ()


def test_other_content_and_labels_are_told(pair):
    a, b = pair
    add_labels(a, ["one.mp4"], 1)
    b.remove(["one.mp4"], run="r")
    commit_bank(
        b,
        "clip",
        [(unit("one.mp4", "bank:clip", digest="d9"), {0.0: np.ones((1, 3), np.float32)})],
    )
    found = compare(a, b)
    assert found.other_content == ("one.mp4",)
    assert found.lines["labels:ava@1"] == (1, 0)


def test_cosines_are_of_rows_at_equal_time_and_place(tmp_path):
    rows = np.array([[1, 0], [0, 2], [3, 4]], np.float32)
    a = one_bank(tmp_path, "a", {0.0: rows, 1.0: rows[:1], 2.0: rows[:0], 3.0: rows})
    b = one_bank(tmp_path, "b", {0.0: rows * 2, 1.0: -rows[:1], 2.0: rows[:2]})
    (bank,) = compare(a, b).banks
    # Three of cosine 1 and one of -1; three of A at 3 s and two of B at 2 s are alone.
    assert (bank.num_pairs, bank.only_a, bank.only_b, bank.num_identical) == (4, 3, 2, 0)
    assert bank.mean_cosine == pytest.approx(0.5)
    assert bank.min_cosine == pytest.approx(-1.0)
    assert bank.worst == ("v.mp4", 1.0, 0)


def test_rows_count_as_alike_from_the_promised_cosine_on(tmp_path):
    near, far = np.array([[1, 0.01]], np.float32), np.array([[1, 0.02]], np.float32)
    a = one_bank(tmp_path, "a", {0.0: np.array([[1, 0]], np.float32)})
    assert compare(a, one_bank(tmp_path, "b", {0.0: near})).is_alike
    assert not compare(a, one_bank(tmp_path, "c", {0.0: far})).is_alike


def test_rows_of_other_length_are_not_compared_but_told(tmp_path):
    a = one_bank(tmp_path, "a", {0.0: np.ones((1, 2), np.float32)})
    b = one_bank(tmp_path, "b", {0.0: np.ones((1, 3), np.float16)})
    found = compare(a, b)
    (bank,) = found.banks
    assert (bank.dims, bank.dtypes) == ((2, 3), ("float32", "float16"))
    assert bank.mean_cosine is None
    assert not found.is_alike


def test_blocks_of_key_times_give_the_same_as_all_at_once(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    held = [
        {float(t): generator.normal(size=(t % 3, 5)).astype(np.float32) for t in range(1, 20)}
        for _ in range(2)
    ]
    a, b = (one_bank(tmp_path, name, some) for name, some in zip("ab", held, strict=True))
    (whole,) = compare(a, b).banks
    monkeypatch.setattr("reelbank.stores.care.compare_banks._TIMES_AT_ONCE", 3)
    (pieces,) = compare(a, b).banks
    assert pieces.min_cosine == pytest.approx(whole.min_cosine)
    assert pieces.mean_cosine == pytest.approx(whole.mean_cosine)
    assert pieces.worst == whole.worst
    x, y = (np.concatenate(list(one.values())).astype(np.float64) for one in held)
    expected = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert whole.min_cosine == pytest.approx(expected.min())
    assert whole.mean_cosine == pytest.approx(expected.mean())


def test_settings_that_differ_are_named_by_their_path_and_do_not_decide(tmp_path):
    rows = {0.0: np.ones((1, 2), np.float32)}
    a = one_bank(tmp_path, "a", rows, clip={"frames": 32, "stride": 2})
    b = one_bank(tmp_path, "b", rows, clip={"frames": 8, "stride": 2}, crop=224)
    a.write_run("r", {"started": "2026", "settings": {"part_seconds": 600}})
    b.write_run("r", {"started": "2026", "settings": {"part_seconds": 300}})
    found = compare(a, b)
    assert [(one.path, one.a, one.b) for one in found.settings] == [
        ("settings.part_seconds", 600, 300),
        ("bank:clip.clip.frames", 32, 8),
        ("bank:clip.crop", None, 224),
    ]
    assert found.is_alike


def test_differences_of_plain_values():
    assert differences({"a": [1]}, {"a": [1]}, "x") == []
    assert differences({"a": 1}, [1], "x")[0].path == "x"


def test_rows_of_zeros():
    a = np.array([[0, 0], [0, 0], [1, 0]], np.float16)
    b = np.array([[0, 0], [1, 0], [1, 0]], np.float16)
    assert cosine(a, b).tolist() == [1.0, 0.0, 1.0]
