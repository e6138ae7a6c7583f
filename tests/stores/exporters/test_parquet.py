import duckdb
import fastparquet
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from reelbank.stores.exporters import lines as export_lines
from reelbank.stores.exporters import parquet
from reelbank.stores.exporters.exporter import export
from reelbank.stores.exporters.parquet import VIEWS, ParquetExporter
from reelbank.stores.store import open_store
from tests.stores.builders import STRANGE_NAMES, commit_bank, unit
from tests.stores.exporters.stores import (
    commit_set,
    commit_videos,
    label_line,
    tracked_video,
    whole_store,
)


def labelled_store(folder):
    store = whole_store(folder)
    lines = [
        label_line("one.mp4", 1, time=0.0, label="sit", label_id=1, x1=0.0, y1=0.0, x2=1.0, y2=0.1),
        label_line("two's.mp4", 2, start_seconds=0.0, end_seconds=1.0, label="cut", label_id=2),
    ]
    commit_set(store, "made@1", lines, {1: "sit", 2: "cut", 3: "never"})
    return store


def in_order(table):
    """Lines as a list that does not depend on their order."""
    return sorted(table.to_pylist(), key=repr)


@pytest.mark.parametrize("lines_at_once", [4, 262_144])
def test_every_view_is_a_file_of_the_same_lines(lines_at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(export_lines, "LINES_AT_ONCE", lines_at_once)
    store = labelled_store(tmp_path / "store")
    counts = export(store, ParquetExporter(), tmp_path / "out")
    for view in VIEWS:
        expected = store.sql(f'SELECT * FROM "{view}"')
        found = pq.read_table(tmp_path / "out" / "tables" / f"{view}.parquet")
        assert found.schema.equals(expected.schema), view
        assert in_order(found) == in_order(expected), view
        assert counts[f"tables/{view}"] == len(expected)
    assert counts["tables/tracked"] == 10
    assert counts["tables/classes"] == 3


def test_pandas_fastparquet_and_duckdb_read_every_table_to_the_same_values(tmp_path):
    export(labelled_store(tmp_path / "store"), ParquetExporter(), tmp_path / "out")
    for view in VIEWS:
        path = str(tmp_path / "out" / "tables" / f"{view}.parquet")
        lines = [list(line.values()) for line in pq.read_table(path).to_pylist()]
        by_duckdb = duckdb.sql("SELECT * FROM read_parquet($path)", params={"path": path})
        assert [list(line) for line in by_duckdb.fetchall()] == lines, view
        for reader in (pd.read_parquet, read_with_fastparquet):
            frame = reader(path)
            assert len(frame) == len(lines)
            for name, column in zip(frame.columns, zip(*lines, strict=True), strict=bool(lines)):
                assert plain(frame[name]) == list(column), (view, name)


def read_with_fastparquet(path):
    # It leaves a file that it opened itself to the garbage collector.
    with open(path, "rb") as stream:
        return fastparquet.ParquetFile(stream).to_pandas()


def plain(column):
    """Values of a pandas column: None for what is missing, bytes as bytes."""
    return [None if not isinstance(one, bytes) and pd.isna(one) else one for one in column]


def test_rows_of_a_bank_are_lists_of_floats_with_their_places(tmp_path):
    store = labelled_store(tmp_path / "store")
    export(store, ParquetExporter(), tmp_path / "out")
    path = str(tmp_path / "out" / "banks" / "person.parquet")
    found = duckdb.sql(
        "SELECT video_id, time, place, features FROM read_parquet($path)", params={"path": path}
    ).fetchall()
    expected = [
        (name, time, place, [base + number, 0.0, 0.0, 0.0])
        for name, base in (("one.mp4", 0.0), ("two's.mp4", 10.0))
        for number, (time, place) in enumerate([(0.0, 0), (0.0, 1), (2.0, 0)])
    ]
    assert found == expected
    frame = pd.read_parquet(path)
    np.testing.assert_array_equal(np.stack(frame["features"]), [row for *_, row in expected])
    assert pq.read_schema(path).field("features").type.value_type == "float"


@pytest.mark.parametrize("rows_at_once", [7, 4096])
def test_rows_of_many_videos_come_in_bounded_groups(rows_at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", rows_at_once)
    store = open_store(tmp_path / "store", create=True)
    random = np.random.default_rng(0)
    for name in STRANGE_NAMES:
        rows = {
            float(time): random.random((int(random.integers(0, 4)), 3)).astype(np.float16)
            for time in range(5)
        }
        commit_bank(store, "clip", [(unit(name, "bank:clip"), rows)])
    export(store, ParquetExporter(), tmp_path / "out")
    path = tmp_path / "out" / "banks" / "clip.parquet"
    found, bank = pq.read_table(path), store.bank("clip")
    names = sorted(STRANGE_NAMES)
    expected = np.concatenate([bank.rows(name) for name in names])
    np.testing.assert_array_equal(found["features"].to_pylist(), expected)
    times = [np.repeat(bank.times(name), bank.counts(name)) for name in names]
    assert found["time"].to_pylist() == np.concatenate(times).tolist()
    assert found["video_id"].unique().to_pylist() == names
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert max(sizes) < 2 * rows_at_once


def test_no_encoding_or_type_is_used_that_a_reader_lacks(tmp_path):
    export(labelled_store(tmp_path / "store"), ParquetExporter(), tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.parquet"):
        metadata = pq.ParquetFile(path).metadata
        assert "halffloat" not in str(pq.read_schema(path))
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                encodings = set(metadata.row_group(group).column(column).encodings)
                assert encodings <= {"PLAIN", "RLE", "RLE_DICTIONARY"}, path


def test_chosen_videos_are_there_alone(tmp_path):
    store = labelled_store(tmp_path / "store")
    export(store, ParquetExporter(), tmp_path / "out", videos=["two's.mp4"])
    for path in (tmp_path / "out").rglob("*.parquet"):
        table = pq.read_table(path)
        if "video_id" in table.column_names:
            assert set(table["video_id"].to_pylist()) <= {"two's.mp4"}, path
    assert len(pq.read_table(tmp_path / "out" / "banks" / "person.parquet")) == 3


def test_a_name_that_is_sql_stays_a_name(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    names = ["a'; DROP TABLE runs; --", "a' OR '1'='1", "$videos", "a"]
    for number, name in enumerate(names):
        tracked_video(store, name, times=[0.0], step=1.0, tracks=number + 1)
    commit_videos(store, names)
    export(store, ParquetExporter(), tmp_path / "out", videos=names[:2])
    found = pq.read_table(tmp_path / "out" / "tables" / "detections.parquet")
    assert sorted(set(found["video_id"].to_pylist())) == sorted(names[:2])
    assert len(found) == 5
