"""Tools that know nothing of the project read every table to the same values."""

import io
import math

import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.tables import encode_table
from tests.stores.builders import STRANGE_NAMES, filled_store

VALUES = {
    pa.string(): ["", *STRANGE_NAMES],
    pa.binary(): [bytes(48), bytes(range(48))],
    pa.bool_(): [True, False],
    pa.int32(): [0, -1, 2**31 - 1],
    # pandas holds integers beside nulls as float64, so none beyond 2**53.
    pa.int64(): [0, 2**53, -(2**40)],
    pa.float32(): [0.0, 0.5, 1.0],
    pa.float64(): [0.0, 1 / 3, 1e9 + 0.1],
}


def lines_of(table, num_lines):
    """Lines in which every column takes several values, null where that is allowed."""
    columns = {}
    for number, field in enumerate(SCHEMAS[table]):
        values = VALUES[field.type]
        cells = [values[(line + number) % len(values)] for line in range(num_lines)]
        if field.nullable and num_lines > 1:
            cells[number % num_lines] = None
        columns[field.name] = pa.array(cells, field.type)
    return pa.table(columns, schema=SCHEMAS[table])


def plain(value):
    """Missing is None, however a reader says it."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if value is pd.NA or value is pd.NaT else value


def cells_of(frame):
    return [[plain(value) for value in line] for line in frame.astype(object).to_numpy().tolist()]


@pytest.mark.parametrize("num_lines", [0, 1, 50])
@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_fastparquet_pandas_and_pyarrow_agree(tmp_path, table, num_lines):
    data = lines_of(table, num_lines)
    path = tmp_path / "table.parquet"
    path.write_bytes(encode_table(table, data))
    expected = [[plain(value) for value in line.values()] for line in data.to_pylist()]
    assert pq.read_table(path).equals(data)
    assert cells_of(pd.read_parquet(path, engine="pyarrow")) == expected
    theirs = fastparquet.ParquetFile(io.BytesIO(path.read_bytes()))
    assert theirs.columns == SCHEMAS[table].names
    assert cells_of(theirs.to_pandas()) == expected


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_encodings_are_those_that_every_reader_knows(table):
    metadata = pq.ParquetFile(pa.BufferReader(encode_table(table, lines_of(table, 50)))).metadata
    for number in range(metadata.num_columns):
        column = metadata.row_group(0).column(number)
        assert column.compression == "ZSTD"
        assert set(column.encodings) <= {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}
    assert all(kind != pa.float16() for kind in SCHEMAS[table].types)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False), st.floats() | st.none())))
def test_the_same_lines_give_the_same_bytes(lines):
    lines = [line for line in lines if line[0].isprintable()]
    columns = list(zip(*lines, strict=True)) or [(), (), ()]
    data = pa.table([list(column) for column in columns], schema=SCHEMAS["scores"])
    whole = encode_table("scores", data)
    pieces = pa.concat_tables([data.slice(0, 1), data.slice(1)])
    assert encode_table("scores", pieces) == whole


def test_duckdb_reads_what_pyarrow_reads(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    files = store.live().files("detections")
    ours = store.sql("select * from detections order by video_id, time, rank")
    theirs = pa.concat_tables(pq.read_table(f"{store.uri}/{entry.path}") for entry in files)
    order = [(name, "ascending") for name in ("video_id", "time", "rank")]
    assert ours.to_pylist() == theirs.sort_by(order).to_pylist()
