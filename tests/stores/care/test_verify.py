"""Damage of every kind is found and named."""

import os

import numpy as np
import pytest

from reelbank import open_store
from reelbank.stores.care.verify import verify
from tests.stores.builders import (
    commit_bank,
    detection_lines,
    filled_store,
    person_unit,
    unit,
    write_lines,
)


@pytest.fixture
def store(tmp_path):
    return filled_store(open_store(str(tmp_path / "s"), create=True))


def path_of(store, ending):
    return next(path for path in store.files.walk("") if path.endswith(ending))


def test_a_sound_store_has_no_problems(store):
    report = verify(store)
    assert report.is_sound
    assert report.orphans == ()
    assert report.num_files == len(store.live().all_files())


@pytest.mark.parametrize("ending", [".parquet", "rows/c/0/0", "time/c/0", "first/c/0", "zarr.json"])
def test_a_flipped_bit_is_found_in_any_file(store, ending):
    path = path_of(store, ending)
    data = bytearray(store.files.read(path))
    data[len(data) // 2] ^= 1
    store.files.replace(path, bytes(data))
    problems = verify(store).problems
    assert [path.startswith(problem.path) for problem in problems] == [True]
    assert "SHA-256" in problems[0].error


@pytest.mark.parametrize("ending", [".parquet", "rows/c/0/0"])
def test_a_cut_off_file_is_found(store, ending):
    path = path_of(store, ending)
    store.files.replace(path, store.files.read(path)[:-1])
    (problem,) = verify(store).problems
    assert "bytes, the commit says" in problem.error


def test_a_missing_file_is_found_and_queries_name_it(store):
    path = store.live().files("detections")[0].path
    store.files.remove(path)
    (problem,) = verify(store).problems
    assert problem.path == path
    assert "not there" in problem.error
    with pytest.raises(ValueError, match=os.path.basename(path)):
        store.sql("select * from detections")


def test_a_damaged_commit_is_found(store):
    path = next(path for path in store.files.walk("commits"))
    store.files.replace(path, b"{")
    problems = verify(store).problems
    assert path in [problem.path for problem in problems]


def test_what_no_commit_names_is_an_orphan_and_no_problem(store):
    lines = {"detections": detection_lines("x.mp4", {0.0: ["person"]})}
    files = write_lines(store, "detections", [unit("x.mp4", "detections")], lines, "dead")
    report = verify(store)
    assert report.is_sound
    assert report.orphans == (files[0].path,)


def test_rows_that_are_no_numbers_are_found(store):
    rows = np.array([[1, np.nan], [1, 2]], np.float32)
    commit_bank(store, "clip", [(unit("z.mp4", "bank:clip"), {0.0: rows})])
    (problem,) = verify(store).problems
    assert "NaN" in problem.error


def test_an_index_that_tells_of_other_rows_is_found(store, monkeypatch):
    held = {0.0: np.ones((2, 4), np.float16), 1.0: np.ones((1, 4), np.float16)}
    write_table = store.write_table

    def shifted(table, *, data, **names):
        if table == "index":
            number = data.schema.get_field_index("first_row")
            data = data.set_column(number, data.schema.field(number), [np.array([0, 1], np.int64)])
        return write_table(table, data=data, **names)

    monkeypatch.setattr(store, "write_table", shifted)
    commit_bank(store, "person", [(person_unit("z.mp4"), held)])
    (problem,) = verify(store).problems
    assert "does not describe" in problem.error
