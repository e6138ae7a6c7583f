"""SQL: what it answers and what it must not reach."""

import gc
import hashlib
import math
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores.macros import MACROS
from reelbank.stores.queries import SqlEngine
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.views import ABOUT
from tests.stores.builders import (
    STRANGE_NAMES,
    commit_bank,
    commit_lines,
    detection_lines,
    filled_store,
    unit,
)


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
        (
            "select * from detection",
            r"Table with name detection.*tables: banks, classes, detections, ",
        ),
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
    nested = "with recursive a as (select 1 as x union all select x + 1 from a where x < 3) from a"
    assert len(store.sql(f"select * from (with b as ({nested}) from b union all from b)")) == 6
    assert len(store.sql('select \'with a as (delete from "type":"DELETE_QUERY_NODE")\'')) == 1
    assert len(store.sql(f"select {' + '.join(['1'] * 900)}")) == 1
    assert set(store.sql("show tables")["name"].to_pylist()) == set(ABOUT)
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
    "select * from enable_logging()",
    "select * from destroy_external_resource('read_text', '/etc/passwd')",
    "select * from destroy_external_resource("
    "'range(1); copy (select 1) to ''{live}'' (use_tmp_file false); --', 1)",
    "insert into banks select * from banks",
    "drop view rows",
    "drop macro iou",
    "delete from hidden.lines",
    # Statements that write as parts of a SELECT.
    "with x as (copy (select 1) to '{live}' (use_tmp_file false)) select * from x",
    "(with x as materialized (copy (select 1) to '{live}' (use_tmp_file false)) from x)",
    "explain analyze with x as (copy (select 1) to '{live}' (use_tmp_file false)) from x",
    "summarize with x as (copy (select 1) to '{live}' (use_tmp_file false)) select * from x",
    "with x as (delete from hidden.lines returning *) select * from x",
    "with x as (select 1), y as (delete from banks returning *) select * from x",
    "with x as (update banks set dim = 0 returning *) select 1",
    "with x as (insert into banks select * from banks returning *) select 1 union select 2",
    "with x as (truncate banks) values (1)",
    "select * from json_execute_serialized_sql(json_serialize_sql("
    "'with x as (delete from banks returning *) select * from x'))",
    "select * from json_execute_serialized_sql(json_serialize_sql("
    "'with x as (copy (select 1) to ''{live}'' (use_tmp_file false)) select * from x'))",
    "select * from query('with x as (delete from banks returning *) select * from x')",
    'from system.main."Query"(\'from json_execute_serialized_sql(json_serialize_sql('
    "''with x as (delete from banks returning *) from x''))')",
    "select * from arrow_scan(1, 2, 3)",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_sql_reaches_nothing_but_the_live_lines_and_changes_nothing(store, tmp_path, attack):
    live = store.files.absolute(store.live().files("detections")[0].path)
    out = tmp_path / "stolen"
    before = digests(store)
    banks = store.sql("select * from banks").to_pylist()
    query = attack.format(live=live.replace("'", "''"), out=out, store=store.uri)
    with pytest.raises(
        ValueError,
        match=r"only SELECT|disabled|does not exist|locked|failed|syntax|[Oo]ne sta|single SELECT",
    ):
        store.sql(query)
    assert store.sql("select * from banks").to_pylist() == banks
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


# One database for each live set


def spill_folders():
    return set(Path(tempfile.gettempdir()).glob("reelbank-sql-*"))


def count_of(engine, store, table="detections"):
    found = engine.query(store.live(), list, f"select count(*) as n from {table}")
    return found["n"][0].as_py()


def test_views_are_made_once_for_each_live_set(tmp_path, monkeypatch):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    made = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *a, **k: made.append(1) or connect(*a, **k))
    engine = SqlEngine(store.files)
    assert [count_of(engine, store) for _ in range(3)] == [10] * 3
    assert len(made) == 1
    lines = {"detections": detection_lines("new.mp4", {0.0: ["person"]})}
    commit_lines(store, "detections", [unit("new.mp4", "detections")], lines)
    assert count_of(engine, store) == 11
    assert len(made) == 2


def test_the_folder_for_what_does_not_fit_into_memory_goes_with_its_views(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    before = spill_folders()
    engine = SqlEngine(store.files)
    count_of(engine, store)
    ours = spill_folders() - before
    assert len(ours) >= 1
    commit_lines(store, "detections", [unit("x", "detections")], {"detections": []})
    count_of(engine, store)
    gc.collect()
    assert not all(path.exists() for path in ours)
    del engine
    gc.collect()


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise KeyError('x')"])
def test_nothing_is_left_when_the_process_ends(tmp_path, end):
    filled_store(open_store(str(tmp_path / "s"), create=True))
    code = f"""
import reelbank
store = reelbank.open_store({str(tmp_path / "s")!r})
print(store.sql("select count(*) as n from runs")["n"][0])
{end}
"""
    folder = tmp_path / "tmp"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert done.stdout == "1\n"
    assert "leaked" not in done.stderr
    assert list(folder.iterdir()) == []


def test_a_forked_child_makes_views_of_its_own_and_leaves_the_parents_alone(tmp_path):
    code = f"""
import os, warnings
warnings.simplefilter("ignore")
import reelbank
from reelbank.stores.queries import SqlEngine
store = reelbank.open_store({str(tmp_path / "s")!r})
engine = SqlEngine(store.files)
ask = lambda: engine.query(store.live(), list, "select count(*) as n from detections")["n"][0]
assert ask().as_py() == 10
child = os.fork()
if child == 0:
    # As multiprocessing ends its forked children.
    os._exit(0 if ask().as_py() == 10 else 1)
assert os.waitpid(child, 0)[1] == 0
assert ask().as_py() == 10
"""
    filled_store(open_store(str(tmp_path / "s"), create=True))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_threads_share_one_engine_while_the_store_grows(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    engine, faults = SqlEngine(store.files), []

    def ask():
        seen = 0
        for _ in range(15):
            found = count_of(engine, store)
            if found < seen:
                faults.append((seen, found))
            seen = found

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(5):
        name = f"{number}.mp4"
        lines = {"detections": detection_lines(name, {0.0: ["person"]})}
        commit_lines(store, "detections", [unit(name, "detections")], lines)
    for thread in threads:
        thread.join()
    assert not faults
    assert count_of(engine, store) == 15


def test_a_fault_of_one_query_leaves_the_next_alone(store):
    engine = SqlEngine(store.files)
    for query in ("select nope from detections", "select 1 / 0 + 'x'", "copy runs to 'x'"):
        with pytest.raises(ValueError):  # noqa: PT011
            engine.query(store.live(), list, query)
    assert count_of(engine, store) == 10


def test_runs_are_read_only_where_the_query_reads_them(store):
    engine, reads = SqlEngine(store.files), []

    def load():
        reads.append(1)
        return store.runs()

    live = store.live()
    for query in ("select 1", "show tables", "describe runs", "select 'runs'"):
        engine.query(live, load, query)
    assert not reads
    assert engine.query(live, load, "select run from runs")["run"].to_pylist() == ["r1"]
    hidden = "select count(*) as n from query_table('ru' || 'ns')"
    assert engine.query(live, load, hidden)["n"].to_pylist() == [1]
    assert len(reads) == 2


def test_a_run_that_cannot_be_read_is_one_sentence(store):
    def load():
        raise ValueError("runs/r1.json is damaged")

    with pytest.raises(ValueError, match=r"runs/r1\.json is damaged") as caught:
        SqlEngine(store.files).query(store.live(), load, "select * from runs")
    assert "\n" not in str(caught.value)


# Lines that do not count


@pytest.mark.parametrize("table", ["detections", "rows", "tracked", '"index"'])
def test_lines_of_a_video_that_was_made_anew_do_not_show(tmp_path, table):
    store = open_store(str(tmp_path / "s"), create=True)
    names = [*STRANGE_NAMES]
    lines = [line for name in names for line in detection_lines(name, {0.0: ["person"] * 2})]
    units = [unit(name, "detections") for name in names]
    commit_lines(store, "detections", units, {"detections": lines})
    rows = {0.0: np.ones((2, 3), np.float16)}
    details = {"bank": {"kind": "person", "category": "person"}}
    pieces = [(unit(name, "bank:person", details=details), rows) for name in names]
    commit_bank(store, "person", pieces)
    anew = names[1]
    commit_lines(
        store,
        "detections",
        [unit(anew, "detections", key="anew")],
        {"detections": detection_lines(anew, {5.0: ["person"]})},
    )
    commit_bank(
        store,
        "person",
        [(unit(anew, "bank:person", key="anew", details=details), {5.0: rows[0.0][:1]})],
    )
    for name in names:
        found = store.sql(f"select time from {table} where video_id = ?", [name])
        expected = [5.0] if name == anew else [0.0]
        assert sorted(set(found["time"].to_pylist())) == expected
    assert "lines" not in store.sql("show tables")["name"].to_pylist()


# Views and functions


def test_each_view_and_function_is_described():
    store = open_store(f"memory://about-{os.urandom(4).hex()}", create=True)
    assert set(store.sql("show tables")["name"].to_pylist()) == set(ABOUT)
    for macro in MACROS:
        assert macro.about
        given = ", ".join(["NULL"] * len(macro.parameters))
        assert store.sql(f"select {macro.name}({given}) as x")["x"].to_pylist() == [None]


def test_banks_are_listed_with_their_settings(store):
    found = {line["bank"]: line for line in store.sql("select * from banks").to_pylist()}
    assert set(found) == {"person", "clip"}
    assert found["person"]["category"] == "person"
    assert found["person"]["has_boxes"]
    assert not found["clip"]["has_boxes"]
    assert found["clip"]["num_rows"] == found["clip"]["key_times"] == 6
    text = "select metadata::json ->> 'untrained' as u from banks where bank = 'person'"
    assert store.sql(text)["u"].to_pylist() == ["true"]


UNIT_INTERVAL = st.floats(0, 1, width=32)
BOXES = st.tuples(*[UNIT_INTERVAL] * 4).map(
    lambda box: (min(box[::2]), min(box[1::2]), max(box[::2]), max(box[1::2]))
)
SPANS = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted)
EMPTY = SqlEngine(open_store("memory://macros", create=True).files)
EMPTY_LIVE = open_store("memory://macros").live()


def value_of(text, params):
    return EMPTY.query(EMPTY_LIVE, list, f"select {text} as x", params)["x"][0].as_py()


@given(BOXES, BOXES)
def test_iou_is_that_of_numpy(one, other):
    a, b = np.array(one, np.float64), np.array(other, np.float64)
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    expected = shared / union if union > 0 else 0.0
    found = value_of("iou(?, ?, ?, ?, ?, ?, ?, ?)", [*one, *other])
    assert found == pytest.approx(expected, abs=1e-9)


@given(SPANS, SPANS)
def test_overlap_is_that_of_the_spans(one, other):
    expected = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    assert value_of("overlap_seconds(?, ?, ?, ?)", [*one, *other]) == expected


def test_an_unknown_end_has_an_unknown_overlap():
    assert value_of("overlap_seconds(0, NULL, 1, 2)", []) is None
    assert value_of("overlap_seconds(0, ?, 1, 2)", [math.inf]) == 1.0


def test_shot_and_track_are_found_of_a_constant_and_of_every_line(store):
    text = """
    select video_id, time, rank, shot_at(video_id, time) as shot,
        track_at(video_id, time, rank) as track
    from detections
    """
    lines = store.sql(text).to_pylist()
    tracked = {
        (line["video_id"], line["time"], line["rank"]): line["track_id"]
        for line in store.sql("select * from tracked").to_pylist()
    }
    assert all(line["shot"] == 0 for line in lines)
    assert {(line["video_id"], line["time"], line["rank"]): line["track"] for line in lines} == (
        tracked
    )
    one = store.sql(
        "select shot_at($v, 2.9) as a, shot_at($v, 3.0) as b, track_at($v, 0, 1) as c",
        {"v": "two's.mp4"},
    )
    assert one.to_pylist() == [{"a": 0, "b": None, "c": 7}]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_any_video_name_is_only_a_name_in_every_view_and_function(tmp_path, name):
    evil = f"{name}'); drop view detections; --"
    store = open_store(str(tmp_path / "s"), create=True)
    for one in (name, evil):
        lines = detection_lines(one, {0.0: ["person"]})
        commit_lines(store, "detections", [unit(one, "detections")], {"detections": lines})
        links = [{"video_id": one, "track_id": 4, "time": 0.0, "rank": 0}]
        commit_lines(store, "tracks", [unit(one, "tracks")], {"tracks": [], "links": links})
        details = {"bank": {"kind": "person", "category": "person", "model": evil}}
        rows = {0.0: np.ones((1, 3), np.float16)}
        commit_bank(store, "person", [(unit(one, "bank:person", details=details), rows)])
    for one in (name, evil):
        for view in ("detections", "tracked", "rows", "links", '"index"'):
            found = store.sql(f"select video_id from {view} where video_id = ?", [one])
            assert found["video_id"].to_pylist() == [one]
        found = store.sql("select track_at(?, 0, 0) as t, shot_at(?, 0) as s", [one, one])
        assert found.to_pylist() == [{"t": 4, "s": None}]
        assert len(store.detections(one)) == 1
    assert store.sql("select model from banks")["model"].to_pylist() == [evil]
