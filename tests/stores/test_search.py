"""Similarity search against a search by hand."""

import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores import search as search_module
from reelbank.stores.search import Like, cosines, search, search_table
from reelbank.stores.tables import TableReader
from tests.stores.builders import STRANGE_NAMES, commit_bank, commit_lines, filled_store, unit

DIM = 5


@pytest.fixture
def store(tmp_path):
    return filled_store(open_store(str(tmp_path / "s"), create=True))


def ask(store, bank, like, top=20):
    reader = TableReader(store.files)
    return search_table(store.bank(bank), like, top=top, reader=reader, live=store.live())


def model(bank, like, top):
    """Every row with its cosine, by falling score, then video, time and place."""
    lines = []
    for video_id in bank.videos():
        rows = bank.rows(video_id).astype(np.float64)
        times = np.repeat(bank.times(video_id), bank.counts(video_id))
        places = np.concatenate([np.arange(n) for n in bank.counts(video_id)])
        for row, time, place in zip(rows, times, places, strict=True):
            lengths = np.linalg.norm(row) * np.linalg.norm(like)
            score = float(row @ like / lengths) if lengths > 0 else 0.0
            lines.append((video_id, float(time), int(place), score))
    return sorted(lines, key=lambda line: -line[3])[:top], {line[:3]: line[3] for line in lines}


@st.composite
def banks(draw):
    """Rows at random of a few videos, some of zeros and some twice."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    store = open_store(f"memory://search-{os.urandom(6).hex()}", create=True)
    for name in draw(st.lists(st.sampled_from(STRANGE_NAMES), min_size=1, unique=True)):
        held = {}
        for number in range(draw(st.integers(1, 6))):
            rows = rng.integers(-2, 3, (int(rng.integers(0, 4)), DIM))
            held[float(number)] = rows.astype(draw(st.sampled_from([np.float16, np.float32])))
        dtype = next(iter(held.values())).dtype
        held = {time: rows.astype(dtype) for time, rows in held.items()}
        commit_bank(store, "clip", [(unit(name, "bank:clip"), held)])
    return store.bank("clip")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(banks(), st.integers(1, 30), st.integers(0, 10**6))
def test_the_answer_is_that_of_comparing_every_row(bank, top, seed):
    like = np.random.default_rng(seed).standard_normal(DIM)
    found = search(bank, like, top=top)
    expected, scores = model(bank, like, top)
    assert found.num_compared == len(scores)
    assert len(found.scores) == min(top, len(scores))
    np.testing.assert_allclose(found.scores, [line[3] for line in expected], atol=1e-5)
    keys = list(zip(found.video_ids, found.times.tolist(), found.places.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
    np.testing.assert_allclose(found.scores, [scores[key] for key in keys], atol=1e-5)
    # Of equal scores the earlier row comes first.
    ranked = list(zip((-found.scores).tolist(), keys, strict=True))
    assert ranked == sorted(ranked)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(banks(), st.integers(1, 8))
def test_the_answer_is_the_same_to_the_last_bit_in_blocks_of_any_size(bank, rows_at_once):
    whole = search(bank, np.ones(DIM), top=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_BLOCK_BYTES", 4 * DIM * rows_at_once)
        blocked = search(bank, np.ones(DIM), top=7)
    assert blocked.video_ids == whole.video_ids
    for name in ("times", "places", "scores"):
        np.testing.assert_array_equal(getattr(blocked, name), getattr(whole, name))


def test_rows_of_zeros_and_rows_that_are_not_finite_score_nothing():
    rows = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [3, 4], [-3, -4]], np.float16)
    found = cosines(rows, np.array([0.6, 0.8], np.float32))
    np.testing.assert_allclose(found, [0, 0, 0, 1, -1], atol=1e-6)


def test_a_row_of_large_float16_numbers_does_not_overflow():
    rows = np.full((1, 4096), 60000, np.float16)
    target = np.full(4096, 1 / 64, np.float32)
    np.testing.assert_allclose(cosines(rows, target), [1], atol=1e-4)


@pytest.mark.parametrize(
    ("like", "top", "words"),
    [
        (np.ones(3), 1, r"shape \(3,\); a row of bank 'person' is \(4,\)"),
        (np.zeros(4), 1, "all zeros"),
        (np.array([1, 2, 3, math.nan]), 1, "not finite"),
        (np.ones(4), 0, "top=0 must be at least 1"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(store, like, top, words):
    with pytest.raises(ValueError, match=words):
        search(store.bank("person"), like, top=top)


def test_the_answer_names_detection_and_track_of_each_row(store):
    found = ask(store, "person", Like("two's.mp4", 0.2))
    assert found.column_names == ["video_id", "time", "place", "rank", "track_id", "score"]
    expected = {
        (line["video_id"], line["time"], line["rank"]): line["track_id"]
        for line in store.sql("select * from tracked where category = 'person'").to_pylist()
    }
    told = {
        (line["video_id"], line["time"], line["rank"]): line["track_id"]
        for line in found.to_pylist()
    }
    assert told == expected
    assert found["score"][0].as_py() == pytest.approx(1, abs=1e-6)


def test_a_track_means_its_row_at_its_nearest_key_time(store):
    # Track 7 holds the first person of 0 s and the one of 2 s.
    reader = TableReader(store.files)
    places = search_module._Places(store.bank("person"), reader, store.live())
    assert places.of(Like("one.mp4", 0.4, 7)) == (0.0, 0)
    assert places.of(Like("one.mp4", 1.6, 7)) == (2.0, 0)
    assert places.of(Like("one.mp4", 1.1)) == (2.0, 0)


@pytest.mark.parametrize(
    ("bank", "like", "words"),
    [
        ("person", Like("one.mp4", 0.0, 9), "no row of track 9 of 'one.mp4'; tracks near 0 s: 7"),
        ("person", Like("one.mp4", 0.0, 10**30), "tracks near 0 s: 7"),
        ("person", Like("on.mp4", 0.0), r"unknown video of bank 'person'.*'one\.mp4'"),
        ("clip", Like("one.mp4", 0.0, 7), "has no rows of tracks"),
    ],
)
def test_a_row_that_is_not_there_is_said_with_what_comes_close(store, bank, like, words):
    with pytest.raises(ValueError, match=words):
        ask(store, bank, like)


def test_rows_of_other_detections_than_those_that_count_get_no_rank(store):
    lines = {"detections": []}
    commit_lines(store, "detections", [unit("one.mp4", "detections", key="anew")], lines)
    found = ask(store, "person", Like("two's.mp4", 0.0))
    ranks = dict(zip(found["video_id"].to_pylist(), found["rank"].to_pylist(), strict=True))
    assert ranks["one.mp4"] is None
    assert ranks["two's.mp4"] is not None
