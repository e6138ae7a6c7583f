"""Results as files: the same values come back, and a wrong name writes nothing."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from reelbank import open_store
from reelbank.jobs.query import checked_features_path, file_writer, vocabulary, write_features
from reelbank.stores.macros import MACROS
from tests.stores.builders import filled_store


@pytest.fixture
def store(tmp_path):
    return filled_store(open_store(str(tmp_path / "s"), create=True))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".json"])
def test_a_file_holds_what_the_query_gave(store, tmp_path, suffix):
    result = store.sql("select video_id, time, rank, track_id from tracked order by all")
    path = tmp_path / f"out{suffix}"
    file_writer(path)(result)
    if suffix == ".parquet":
        assert pq.read_table(path).equals(result)
    elif suffix == ".arrow":
        assert pa.ipc.open_file(path).read_all().equals(result)
    elif suffix == ".csv":
        assert pa.csv.read_csv(path)["video_id"].to_pylist() == result["video_id"].to_pylist()
    else:
        assert [json.loads(line) for line in path.read_text().splitlines()] == result.to_pylist()
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["out", "out.xlsx", "out.table"])
def test_another_suffix_is_refused_with_those_there_are(tmp_path, name):
    with pytest.raises(ValueError, match=r"must be one of \.arrow, \.csv, \.json, \.parquet"):
        file_writer(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/x.csv", "there is no folder .*none; make it first"),
        ("folder.csv", "is a folder; name a file"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_before_the_query(tmp_path, name, words):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv" / "kept").write_text("kept")
    with pytest.raises(ValueError, match=words):
        file_writer(tmp_path / name)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match=words.replace("csv", "npz")):
        checked_features_path((tmp_path / name).with_suffix(".npz"))


def test_a_file_that_cannot_be_written_is_told_by_its_own_name(store, tmp_path):
    (tmp_path / "folder").mkdir()
    write = file_writer(tmp_path / "folder" / "x.csv")
    (tmp_path / "folder").rmdir()
    with pytest.raises(ValueError, match=r"--output .*/x\.csv cannot be written: No such file"):
        write(store.sql("select 1 as a"))


def test_features_are_one_file_of_rows_and_columns_without_pickle(store, tmp_path):
    found = store.features("select video_id, time, rank, track_id from tracked", bank="clip")
    path = checked_features_path(tmp_path / "x.npz")
    write_features(found, path)
    with np.load(path, allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["rows"], found.rows)
        assert loaded["video_id"].tolist() == found.table["video_id"].to_pylist()
        np.testing.assert_array_equal(loaded["time"], found.table["time"].to_numpy())
        assert np.isnan(loaded["track_id"]).sum() == found.table["track_id"].null_count


@pytest.mark.parametrize("path", [None, Path("x.parquet")])
def test_features_need_a_file_that_can_hold_them(path):
    with pytest.raises(ValueError, match=r"--features needs --output FILE\.npz"):
        checked_features_path(path)


def test_the_help_tells_of_each_table_and_function(store):
    told = vocabulary()
    for name in [*store.sql("show tables")["name"].to_pylist(), *(one.name for one in MACROS)]:
        assert name in told
