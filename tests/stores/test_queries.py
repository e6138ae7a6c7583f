"""SQL: what it answers and what it must not reach."""

import hashlib
import os
from pathlib import Path

import pytest

from reelbank import open_store
from reelbank.stores.schemas import SCHEMAS
from tests.stores.builders import commit_lines, filled_store, unit


@pytest.fixture(scope="module", params=["plain", "[odd] *name"])
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("queries") / request.param
    return filled_store(open_store(str(folder), create=True))


def digests(store):
    return {path: store.files.sha256(path) for path in store.files.walk("")}


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_every_table_is_a_view_with_its_columns_even_when_it_is_empty(tmp_path, table):
    store = open_store(str(tmp_path / "s"), create=True)
    found = store.sql(f'select * from "{table}"')
    if table == "failures":
        found = found.drop_columns("attempt")
    assert len(found) == 0
    assert found.schema.names == SCHEMAS[table].names
    assert found.schema.types == SCHEMAS[table].types


def test_a_failure_tells_the_attempt_that_met_it(store):
    failure = {
        "video_id": "one.mp4",
        "stage": "decode",
        "start_seconds": 0.0,
        "end_seconds": 1.0,
        "error": "a hole",
    }
    videos = [unit("one.mp4", "video"), unit("gone.mp4", "video")]
    lines = {"failures": [failure, failure | {"video_id": "gone.mp4"}]}
    first = commit_lines(store, "video", videos, lines)
    found = store.sql("select * from failures order by video_id").to_pylist()
    assert [line["attempt"] for line in found] == [first.attempt] * 2
    # A file of which some lines are dead is read in another way.
    second = commit_lines(
        store, "video", [unit("gone.mp4", "video", key="again")], {"failures": []}
    )
    found = store.sql("select video_id, attempt from failures").to_pylist()
    assert found == [{"video_id": "one.mp4", "attempt": first.attempt}]
    assert second.attempt != first.attempt


def test_views_runs_index_and_tracked_answer(store):
    counts = {
        name: store.sql(f'select count(*) as n from "{name}"')["n"][0].as_py()
        for name in ("detections", "tracked", "links", "index", "runs", "scores")
    }
    assert counts == {
        "detections": 10,
        "tracked": 10,
        "links": 4,
        "index": 12,
        "runs": 1,
        "scores": 0,
    }
    found = store.sql("select * from tracked where track_id is not null order by video_id, time")
    assert found["category"].to_pylist() == ["person"] * 4
    assert found["shot_id"].to_pylist() == [0] * 4


def test_parameters_are_bound_by_position_and_by_name(store):
    by_name = store.sql(
        "select count(*) as n from detections where video_id = $v and score > $s",
        {"v": "two's.mp4", "s": 0.95},
    )
    by_position = store.sql(
        "select count(*) as n from detections where video_id = ? and score > ?", ["two's.mp4", 0.95]
    )
    assert by_name["n"].to_pylist() == by_position["n"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from detection", r"Table with name detection.*tables: classes, detections, "),
        ("select nope from detections", 'column "nope" not found'),
        ("selec 1", "syntax error"),
        ("", "one statement, this has 0"),
        ("select 1; select 2", "one statement, this has 2"),
        ("select * from detections where video_id = ?", "."),
    ],
)
def test_a_wrong_query_gets_one_sentence(store, query, words):
    with pytest.raises(ValueError, match=words) as caught:
        store.sql(query)
    assert "\n" not in str(caught.value)


def test_reading_statements_are_answered(store):
    assert len(store.sql("describe detections")) == len(SCHEMAS["detections"])
    assert len(store.sql("explain select * from detections")) >= 1
    assert len(store.sql("-- why\nexplain /* this */ analyze select * from detections")) >= 1
    assert len(store.sql("explain (format json) select 1")) >= 1
    assert store.sql("with a as (select 1 as x) select * from a;")["x"].to_pylist() == [1]
    assert len(store.sql("show tables")) == len(SCHEMAS) + 2
    assert len(store.sql("summarize detections")) == len(SCHEMAS["detections"])


ATTACKS = (
    "copy detections to '{out}'",
    "copy (select 1) to '{live}' (format parquet)",
    "explain analyze copy (select 1) to '{live}' (format parquet, use_tmp_file false)",
    "/* x */ explain -- y\n analyze copy (select 1) to '{live}' (use_tmp_file false)",
    "explain (analyze) copy (select 1) to '{live}' (use_tmp_file false)",
    "explain (analyze, format json) copy (select 1) to '{live}' (use_tmp_file false)",
    "explain analyze explain analyze copy (select 1) to '{live}' (use_tmp_file false)",
    "export database '{out}'",
    "attach '{out}' as other",
    "create table x as select 1",
    "drop view detections",
    "insert into runs select * from runs",
    "delete from runs",
    "set lock_configuration = false",
    "set enable_external_access = true",
    "pragma enable_profiling",
    "install httpfs",
    "load httpfs",
    "call enable_logging()",
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('/etc/passwd')",
    "select * from read_blob('{store}/store.json')",
    "select * from read_parquet('{store}/tables/*/*.parquet')",
    "select * from glob('/etc/*')",
    "select * from '/etc/passwd'",
    "select * from 'https://example.com/x.parquet'",
    "select * from sniff_csv('/etc/passwd')",
    "select getenv('HOME')",
    "explain analyze select * from read_text('/etc/passwd')",
    "select * from query('copy (select 1) to ''{out}''')",
    "select * from store",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_sql_reaches_nothing_but_the_live_lines_and_changes_nothing(store, tmp_path, attack):
    live = store.files.absolute(store.live().files("detections")[0].path)
    out = tmp_path / "stolen"
    before = digests(store)
    query = attack.format(live=live.replace("'", "''"), out=out, store=store.uri)
    with pytest.raises(
        ValueError,
        match=r"only SELECT|disabled|does not exist|locked|syntax|[Oo]ne sta|single SELECT",
    ):
        store.sql(query)
    assert digests(store) == before
    assert not out.exists()


def test_a_query_leaves_nothing_in_the_current_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.sql("select count(*) from detections a, detections b order by random()")
    assert os.listdir(tmp_path) == []


def test_a_store_below_a_folder_that_looks_like_a_partition_has_no_extra_columns(tmp_path):
    store = filled_store(open_store(str(tmp_path / "year=2024"), create=True))
    assert store.sql("select * from detections").schema.names == SCHEMAS["detections"].names


def test_a_neighbour_that_a_pattern_would_match_is_not_read(tmp_path):
    right = filled_store(open_store(str(tmp_path / "s[1]"), create=True))
    other = Path(tmp_path / "s1")
    for entry in right.live().files("detections"):
        copy = other / entry.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"not a table")
    assert right.sql("select count(*) as n from detections")["n"].to_pylist() == [10]
    assert hashlib.sha256(b"not a table").hexdigest() != right.live().files("detections")[0].sha256
