"""Windows and gathers against plain NumPy over random parts, gaps and empty key times."""

import math
import os
import pickle

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank import open_store
from tests.stores.builders import commit_bank, filled_store, unit

DIM = 3


@st.composite
def films(draw):
    """Step of the key times, and parts of (start, end, rows held at each number of a key time)."""
    step = draw(st.sampled_from([1.0, 0.1, 1 / 3, 0.5]))
    parts, number = [], 0
    for _ in range(draw(st.integers(1, 4))):
        length = draw(st.integers(1, 8))
        kept = draw(st.sets(st.integers(number, number + length - 1)))
        parts.append((number, number + length, {n: draw(st.integers(0, 3)) for n in sorted(kept)}))
        number += length + draw(st.integers(0, 3))
    return step, parts


def build(parts, step):
    """A store with one film in these parts, and the rows of each key time."""
    store = open_store(f"memory://bank-{os.urandom(6).hex()}", create=True)
    rows_at, value = {}, 0
    for part_number, (low, high, counts) in enumerate(parts):
        held = {}
        for number, count in counts.items():
            rows = np.arange(value, value + count * DIM, dtype=np.float32).reshape(count, DIM)
            value += count * DIM
            held[number * step] = rows_at[number] = rows
        part = unit(
            "film.mp4",
            "bank:person",
            start_seconds=low * step,
            end_seconds=high * step,
            key=f"part {part_number}",
        )
        padding = {} if held else {low * step: np.empty((0, DIM), np.float32)}
        if not held:
            rows_at[low] = np.empty((0, DIM), np.float32)
        commit_bank(store, "person", [(part, held | padding)])
    return store, dict(sorted(rows_at.items()))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(films(), st.data())
def test_windows_equal_a_plain_model(film, data):
    step, parts = film
    store, rows_at = build(parts, step)
    bank = store.bank("person")
    numbers = list(rows_at)
    np.testing.assert_allclose(bank.times("film.mp4"), np.array(numbers) * step)
    np.testing.assert_array_equal(bank.rows("film.mp4"), np.concatenate(list(rows_at.values())))
    for _ in range(4):
        centre = data.draw(st.integers(-2, max(numbers) + 2), label="centre")
        half = data.draw(st.integers(1, 6), label="half")
        causal = data.draw(st.booleans(), label="causal")
        limit = data.draw(st.none() | st.integers(1, 3), label="limit")
        # In whole numbers of key times, so that the model knows no rounding.
        low, high = (
            (centre - 2 * half + 1, centre + 1) if causal else (centre - half, centre + half)
        )
        inside = [number for number in numbers if low <= number < high]
        window = bank.window("film.mp4", centre * step, 2 * half * step, causal, limit)
        expected = [rows_at[number][:limit] for number in inside]
        np.testing.assert_array_equal(
            window.rows, np.concatenate([np.empty((0, DIM), np.float32), *expected])
        )
        np.testing.assert_allclose(window.key_times, np.array(inside) * step, atol=1e-9)
        assert window.counts.tolist() == [len(rows) for rows in expected]
        np.testing.assert_array_equal(window.times, np.repeat(window.key_times, window.counts))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(films(), st.data())
def test_rows_at_key_times_come_in_the_order_asked_for(film, data):
    step, parts = film
    store, rows_at = build(parts, step)
    asked = data.draw(st.lists(st.sampled_from(list(rows_at)), max_size=8))
    found = store.bank("person").rows_at("film.mp4", np.array(asked) * step)
    assert len(found) == len(asked)
    for number, rows in zip(asked, found, strict=True):
        np.testing.assert_array_equal(rows, rows_at[number])


def test_batch_and_causal_windows_hold_the_same_number_of_key_times(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    step = 0.1
    held = {number * step: np.full((1, 2), number, np.float16) for number in range(200)}
    commit_bank(store, "clip", [(unit("a.mp4", "bank:clip"), held)])
    bank = store.bank("clip")
    for number in range(60, 160):
        batch = bank.window("a.mp4", number * step, 6.0)
        causal = bank.window("a.mp4", number * step, 6.0, causal=True)
        assert len(batch.key_times) == len(causal.key_times) == 60
        assert batch.rows[[0, -1], 0].tolist() == [number - 30, number + 29]
        assert causal.rows[[0, -1], 0].tolist() == [number - 59, number]


def test_a_part_made_anew_takes_the_place_of_the_old(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    for key, value in (("old", 1.0), ("new", 2.0)):
        for start in (0.0, 2.0):
            part = unit(
                "a.mp4",
                "bank:clip",
                start_seconds=start,
                end_seconds=start + 2 if start == 0.0 else math.inf,
                key=f"{key}{start}",
            )
            held = {start + n: np.full((1, 2), value, np.float32) for n in range(2)}
            if key == "old" or start == 0.0:
                commit_bank(store, "clip", [(part, held)])
    assert store.bank("clip").rows("a.mp4")[:, 0].tolist() == [2.0, 2.0, 1.0, 1.0]


def test_features_of_detections_are_the_rows_of_their_category():
    store = filled_store(open_store(f"memory://f-{os.urandom(4).hex()}", create=True))
    persons = "from detections where category = 'person' order by video_id desc, time desc, rank"
    found = store.features(f"select video_id, time, rank, score {persons}", "person")
    assert found.rows[:, 0].tolist() == [12.0, 10.0, 11.0, 2.0, 0.0, 1.0]
    assert found.table["rank"].to_pylist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(ValueError, match="is no 'person'"):
        store.features("select * from detections", "person")


def test_features_of_key_times_repeat_the_line_for_each_row():
    store = filled_store(open_store(f"memory://f-{os.urandom(4).hex()}", create=True))
    query = 'select distinct video_id, time from "index" order by video_id, time'
    found = store.features(query, "person")
    assert found.rows[:, 0].tolist() == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert found.table["time"].to_pylist() == [0.0, 0.0, 2.0] * 2
    # A bank of whole clips has no rows of detections: the rank is of no account.
    found = store.features("select * from detections where time = 2 and rank = 1", "clip")
    assert found.rows[:, 0].tolist() == [2.0, 3.0]
    empty = store.features("select video_id, time from detections where false", "clip")
    assert empty.rows.shape == (0, 3)
    assert len(empty.table) == 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select video_id from detections", "lacks"),
        ("select video_id, 1.5 as time from detections", "no key time 1.5"),
        ("select 'no.mp4' as video_id, 1.0 as time", "unknown video"),
        ("select 'one.mp4' as video_id, null as time", "no time in 1 of 1"),
        ("select 'one.mp4' as video_id, 0.0 as time, null as rank", "no rank"),
        ("select null as video_id, 0.0 as time", "no video_id in 1 of 1"),
        ("select 'one.mp4' as video_id, 'noon' as time", "time is string, not seconds"),
        ("select 'one.mp4' as video_id, date '2026-01-01' as time", "time is date.*not seconds"),
    ],
)
def test_a_query_without_features_is_told_why(query, words):
    store = filled_store(open_store(f"memory://f-{os.urandom(4).hex()}", create=True))
    with pytest.raises(ValueError, match=words):
        store.features(query, "person")


def test_unknown_banks_and_videos_are_answered_with_close_names(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    with pytest.raises(ValueError, match=r"unknown bank 'persons'.*'person'"):
        store.bank("persons")
    bank = store.bank("person")
    with pytest.raises(ValueError, match=r"'one\.mp3'.*'one\.mp4'"):
        bank.window("one.mp3", 0.0, 2.0)
    with pytest.raises(ValueError, match="support"):
        bank.window("one.mp4", 0.0, 0.0)
    with pytest.raises(ValueError, match="rows_per_time"):
        bank.window("one.mp4", 0.0, 1.0, rows_per_time=0)


def test_a_bank_travels_to_a_worker(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    bank = store.bank("person")
    other = pickle.loads(pickle.dumps(bank))
    np.testing.assert_array_equal(other.rows("one.mp4"), bank.rows("one.mp4"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_zarr_alone_reads_a_bank_of_several_shards(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("reelbank.stores.groups.SHARD_BYTES", 64 * 8 * 4 * 2)
    store = open_store(str(tmp_path / "s"), create=True)
    rows = np.random.default_rng(0).normal(size=(1000, 8)).astype(dtype)
    rows[100:400] = 0
    held = {float(number): rows[number * 2 : number * 2 + 2] for number in range(500)}
    commit = commit_bank(store, "person", [(unit("é\n.mp4", "bank:person"), held)])
    path = next(entry.path for entry in commit.files if entry.kind == "bank")
    group = zarr.open_group(f"{store.uri}/{path}", mode="r")
    np.testing.assert_array_equal(group["rows"][:], rows)
    assert group["rows"].dtype == dtype
    assert group["rows"].chunks == (64, 8)
    assert group["rows"].compressors == ()
    np.testing.assert_array_equal(group["time"][:], np.arange(500.0))
    np.testing.assert_array_equal(group["first"][:], np.arange(0, 1001, 2))
    assert group.attrs["videos"][0]["video_id"] == "é\n.mp4"
    assert group.attrs["videos"][0]["end_seconds"] is None
    shards = store.files.walk(f"{path}/rows/c")
    assert len(shards) == -(-1000 // group["rows"].shards[0]) > 2
    np.testing.assert_array_equal(store.bank("person").rows("é\n.mp4"), rows)


def test_a_bank_without_rows_is_a_bank(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    held = {0.0: np.empty((0, 5), np.float16), 1.0: np.empty((0, 5), np.float16)}
    commit_bank(store, "person", [(unit("a.mp4", "bank:person"), held)])
    bank = store.bank("person")
    assert (bank.dim, bank.dtype) == (5, np.float16)
    window = bank.window("a.mp4", 1.0, 4.0)
    assert window.rows.shape == (0, 5)
    assert window.key_times.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("rows", "first", "words"),
    [
        (np.ones((2, 2), np.float64), [0, 2], "float16 or float32"),
        (np.ones(2, np.float32), [0, 2], "float16 or float32"),
        (np.ones((2, 2), np.float32), [0, 1], "`first`|first must rise"),
        (np.ones((2, 2), np.float32), [0, 1, 2], "first must be"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, rows, first, words):
    store = open_store(str(tmp_path / "s"), create=True)
    with pytest.raises(ValueError, match=words):
        store.write_bank(
            "clip",
            key="k",
            attempt="a",
            rows=rows,
            times=np.zeros(1),
            first=np.array(first),
            units=[],
        )


@pytest.fixture
def bank_of_two_films(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    for video_id, times in (("a.mp4", range(20)), ("gaps.mp4", range(0, 20, 3))):
        details = {"bank": {"key_step_seconds": 1.0}}
        held = {float(time): np.ones((1, DIM), np.float16) for time in times}
        commit_bank(store, "person", [(unit(video_id, "bank:person", details=details), held)])
    return store.bank("person")


@pytest.mark.parametrize("video_id", ["a.mp4", "gaps.mp4"])
def test_a_key_without_a_time_is_refused(bank_of_two_films, video_id):
    with pytest.raises(ValueError, match="t=nan is no time"):
        bank_of_two_films.window(video_id, math.nan, 60.0)
    with pytest.raises(ValueError, match="t=nan is no time"):
        bank_of_two_films.gather([("a.mp4", 1.0), (video_id, math.nan)], 60.0)


@pytest.mark.parametrize("support", [1e5, 1e308, math.inf])
def test_a_support_longer_than_any_film_gives_all_of_each_at_the_length_of_the_longest(
    bank_of_two_films, support
):
    bank = bank_of_two_films
    for keys in ([("gaps.mp4", 1.0)], [("a.mp4", 1.0), ("gaps.mp4", 7.0)]):
        batch = bank.gather(keys, support, rows_per_time=2)
        assert batch.rows.shape == (len(keys), 2 * 20, DIM)
        assert batch.mask.sum(1).tolist() == [len(bank.rows(video_id)) for video_id, _ in keys]
