"""`window`, `gather`, `blocks` and `rows_at` against a plain model, wherever the rows lie."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank.stores.films import Piece
from reelbank.stores.parts import OpenPart
from reelbank.stores.sources import MappedRows
from tests.stores.bank_films import BANK, DIM, KINDS_OF_STORE, built, films
from tests.stores.builders import unit

QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
VIDEOS = ("film.mp4", "it's\nanother.mp4")


@pytest.fixture(scope="module")
def folder():
    # In memory where that is possible: a store waits for the disk with each file.
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as name:
        yield Path(name)


@st.composite
def questions(draw):
    """Key time, half the support (both in key times), causal or not, limit."""
    return (
        draw(st.integers(-3, 40)),
        draw(st.integers(1, 8)),
        draw(st.booleans()),
        draw(st.none() | st.integers(1, 4)),
    )


def inside(centre, half, causal):
    """Numbers of the key times of a window, in whole numbers: no rounding."""
    if causal:
        return range(centre - 2 * half + 1, centre + 1)
    return range(centre - half, centre + half)


@pytest.mark.parametrize("kind", KINDS_OF_STORE)
@settings(max_examples=12, suppress_health_check=QUIET)
@given(films=films(), asked=st.lists(questions(), min_size=3, max_size=6))
def test_windows_equal_the_model(kind, folder, films, asked):
    with built(films, kind, folder) as (store, model):
        bank, step = store.bank(BANK), films.step
        for video_id in VIDEOS:
            numbers = list(model.rows[video_id])
            np.testing.assert_array_equal(bank.times(video_id), np.array(numbers) * step)
            whole = np.concatenate(list(model.rows[video_id].values()))
            np.testing.assert_array_equal(bank.rows(video_id), whole)
            for centre, half, causal, limit in asked:
                window = bank.window(
                    video_id, centre * step, 2 * half * step, causal, limit, boxes=films.is_roi
                )
                rows, boxes, numbers, counts = model.window(
                    video_id, inside(centre, half, causal), limit
                )
                np.testing.assert_array_equal(window.rows, rows)
                np.testing.assert_array_equal(window.key_times, np.array(numbers) * step)
                assert window.counts.tolist() == counts
                np.testing.assert_array_equal(window.times, np.repeat(window.key_times, counts))
                if films.is_roi:
                    np.testing.assert_array_equal(window.boxes, boxes)
                else:
                    assert window.boxes is None
                without = bank.window(video_id, centre * step, 2 * half * step, causal, limit)
                np.testing.assert_array_equal(without.rows, rows)
                assert without.counts.tolist() == counts


@pytest.mark.parametrize("kind", KINDS_OF_STORE)
@settings(max_examples=12, suppress_health_check=QUIET)
@given(films=films(), asked=questions(), data=st.data())
def test_a_gather_equals_the_windows_of_the_model_padded(kind, folder, films, asked, data):
    _, half, causal, limit = asked
    centres = data.draw(
        st.lists(st.tuples(st.sampled_from(VIDEOS), st.integers(-3, 40)), max_size=6)
    )
    with built(films, kind, folder) as (store, model):
        bank, step = store.bank(BANK), films.step
        keys = [(video_id, number * step) for video_id, number in centres]
        batch = bank.gather(keys, 2 * half * step, causal, limit, boxes=films.is_roi)
        expected = [
            model.window(video_id, inside(centre, half, causal), limit)
            for video_id, centre in centres
        ]
        longest = max((len(rows) for rows, *_ in expected), default=0)
        told = films.is_step_told and limit is not None
        assert batch.rows.shape == (len(keys), 2 * half * limit if told else longest, DIM)
        assert batch.mask.shape == batch.times.shape == batch.rows.shape[:2]
        for number, (rows, boxes, numbers, counts) in enumerate(expected):
            end = len(rows)
            np.testing.assert_array_equal(batch.rows[number, :end], rows)
            assert batch.mask[number].tolist() == [True] * end + [False] * (
                batch.mask.shape[1] - end
            )
            times = np.repeat(np.array(numbers) * step, counts)
            np.testing.assert_array_equal(batch.times[number, :end], times)
            assert np.isnan(batch.times[number, end:]).all()
            assert not batch.rows[number, end:].any()
            if films.is_roi:
                np.testing.assert_array_equal(batch.boxes[number, :end], boxes)
                assert not batch.boxes[number, end:].any()


@pytest.mark.parametrize("kind", KINDS_OF_STORE)
@settings(max_examples=6, suppress_health_check=QUIET)
@given(films=films(), max_rows=st.integers(1, 30), data=st.data())
def test_blocks_and_rows_at_key_times_cover_the_model(kind, folder, films, max_rows, data):
    with built(films, kind, folder) as (store, model):
        bank = store.bank(BANK)
        blocks = list(bank.blocks(max_rows))
        assert all(0 < len(block.rows) <= max_rows for block in blocks)
        found = [
            (block.video_id, time, place, tuple(row))
            for block in blocks
            for time, place, row in zip(
                block.times.tolist(), block.places.tolist(), block.rows.tolist(), strict=True
            )
        ]
        assert found == [
            (video_id, number * films.step, place, tuple(row))
            for video_id in VIDEOS
            for number, rows in model.rows[video_id].items()
            for place, row in enumerate(rows.tolist())
        ]
        numbers = data.draw(st.lists(st.sampled_from(list(model.rows[VIDEOS[1]])), max_size=8))
        at = store.bank(BANK).rows_at(VIDEOS[1], np.array(numbers, np.float64) * films.step)
        for number, rows in zip(numbers, at, strict=True):
            np.testing.assert_array_equal(rows, model.rows[VIDEOS[1]][number])


@settings(max_examples=200)
@given(
    numbers=st.lists(st.integers(0, 10_000), min_size=1, max_size=20, unique=True).map(sorted),
    step=st.floats(1e-3, 100),
    low=st.floats(-10, 1e6),
    length=st.floats(1e-6, 1e6),
    is_told=st.booleans(),
)
def test_times_are_found_as_a_binary_search_finds_them(numbers, step, low, length, is_told):
    filled = list(range(numbers[0], numbers[-1] + 1)) if len(numbers) % 2 else numbers
    times = np.array(filled) * step
    first = np.arange(len(times) + 1)
    rows = np.frombuffer(bytes(2 * len(times)), np.float16).reshape(-1, 1)
    part = OpenPart(MappedRows(None, [rows]), 1, rows.dtype, times, first, 1)
    piece = Piece(part, unit("v", "bank:b", num_times=len(times)), step if is_told else None, 0)
    bounds = [low, *(times - 1e-6), *times, *(times + 1e-6), -math.inf, math.inf]
    for start in bounds[:50]:
        expected = np.searchsorted(times, [start, start + length]).tolist()
        assert list(piece.between(start, start + length)) == expected
