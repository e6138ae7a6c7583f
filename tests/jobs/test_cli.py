"""The command as a person meets it: what it prints, in which format, with which exit status."""

import csv
import io
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

import reelbank as package
from reelbank.jobs.recipe import load_recipe
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.store import Store, open_store
from tests.jobs.broken_films import RATE, damaged, good
from tests.jobs.commands import Answer, reelbank, refused
from tests.jobs.extraction import command
from tests.shared_data import shared_data

INLINE = ("--engine", "inline", "--set", "resources.threads=1")
LONG, SHORT, BROKEN = "long.mp4", "very long name of a short film " * 3 + ".mp4", "broken.mp4"


@dataclass(frozen=True)
class Done:
    """One extraction of three films with the default recipe."""

    films: Path
    answer: Answer
    store: Store


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("cli")
    good(root / "films" / LONG, 100)
    good(root / "films" / SHORT, 30)
    damaged(root / "films" / BROKEN, first=20, last=24)
    answer = reelbank("extract", root / "films", "--store", root / "store", *INLINE, "--json")
    return Done(root / "films", answer, open_store(root / "store"))


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with detections in it."""
    clip = shared_data() / "videos" / "mmt_mot17_04_first8.mp4"
    uri = tmp_path_factory.mktemp("walkers") / "store"
    arguments = ("--set", "detector.longest_side=960")
    assert reelbank("extract", clip, "--store", uri, *INLINE, *arguments).status == 0
    return open_store(uri)


def query(store: Store, sql: str, output: str) -> Answer:
    return reelbank("query", "--store", store.uri, "--format", output, sql)


# extract


def test_the_json_summary_tells_what_was_done(done):
    told = done.answer.json
    assert done.answer.status == 3
    assert told["videos"] == {"in": 3, "ok": 2, "partial": 1, "failed": 0}
    assert told["hours"] == pytest.approx((100 + 30 + 50) / RATE / 3600)
    assert told["times_real_time"] > 0
    assert 150 < told["frames_used"] <= told["frames_decoded"] <= 180
    data = sum(path.stat().st_size for path in Path(done.store.uri).rglob("*") if path.is_file())
    assert 0 < told["num_bytes"] <= data
    assert told["status"] == {LONG: "ok", SHORT: "ok", BROKEN: "partial"}
    assert set(told["errors"]) == {BROKEN}


def test_progress_is_plain_lines_where_the_output_is_no_terminal(done):
    stages = ("scores", "detections", "bank:person", "bank:clip")
    lines = done.answer.err.splitlines()
    for stage in stages:
        assert any(line.startswith(f"{stage}: ") and "min of film" in line for line in lines)
    assert "\x1b" not in done.answer.err


def test_without_json_the_end_is_a_table_and_a_line_for_what_is_not_whole(done, tmp_path):
    arguments = (*INLINE, "--recipe", "shots")
    answer = reelbank("extract", done.films, "--store", tmp_path / "s", *arguments)
    assert answer.status == 3
    for words in ("3 in: 2 ok, 1 partial, 0 failed", "x real time", "decoded", "MB"):
        assert words in answer.out
    assert f"partial: {BROKEN!r}: " in answer.out


def test_the_settings_as_resolved_are_kept_with_the_run(done):
    [run] = done.store.runs()
    wanted = load_recipe("default", ["resources.threads=1"]).resolved()
    assert run["settings"]["backbones"]["main"]["stride"] == wanted.backbones["main"].stride
    assert run["settings"]["resources"]["threads"] == 1
    assert run["state"] == "done"


def test_limit_takes_the_first_videos_in_the_order_of_their_names(done, tmp_path):
    arguments = (*INLINE, "--recipe", "shots", "--limit", "1", "--json")
    answer = reelbank("extract", done.films, "--store", tmp_path / "s", *arguments)
    assert list(answer.json["status"]) == [BROKEN]


def test_a_dry_run_tells_every_stage_and_touches_nothing(done):
    before = sorted(Path(done.store.uri).rglob("*"))
    changed = ("--set", "detector.min_score=0.9")
    words = ("extract", done.films, "--store", done.store.uri, *INLINE, "--dry-run")
    told = reelbank(*words, *changed, "--json").json
    due = {one["stage"] for one in told["stages"] if one["action"] == "compute"}
    assert due == {"detections", "tracks", "bank:person"}
    assert len(told["stages"]) == 3 * 7
    assert all(one["reason"] for one in told["stages"])
    text = reelbank(*words, *changed)
    assert text.status == 0
    assert "changed: detector.min_score" in text.out
    assert repr(SHORT) in text.out
    assert "12 stages reused, 9 computed" in text.out
    assert "part_minutes: 10.0" in text.out
    assert sorted(Path(done.store.uri).rglob("*")) == before


def test_a_dry_run_without_a_store_makes_none(done, tmp_path):
    words = ("extract", done.films, "--store", tmp_path / "s", *INLINE, "--dry-run")
    answer = reelbank(*words)
    assert answer.status == 0
    assert answer.out.count("new video") == 3 * 7
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["extract", "--store", "s"],
        ["extract", "film.mp4"],
        ["extract", "film.mp4", "--store", "s", "--limit", "0"],
        ["extract", "film.mp4", "--store", "s", "--engine", "spark"],
        ["query", "--store", "s"],
        ["unknown"],
        ["info", "--store", "s", "--jsn"],
    ],
)
def test_wrong_usage_is_status_2_without_a_traceback(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = reelbank(*words)
    assert answer.status == 2
    assert answer.err
    assert "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []


# query


def test_the_query_of_the_readme_answers(walkers):
    answer = query(walkers, "select video_id, count(*) from detections group by 1", "table")
    assert answer.status == 0
    head, line = answer.out.splitlines()
    assert head.split() == ["video_id", "count_star()"]
    assert line.split()[0] == "mmt_mot17_04_first8.mp4"
    assert int(line.split()[1]) > 0


def test_a_table_is_never_cut_where_the_output_is_no_terminal(done):
    answer = query(done.store, "SELECT * FROM videos ORDER BY video_id", "table")
    head, *lines = answer.out.splitlines()
    assert head.split() == done.store.sql("SELECT * FROM videos").column_names
    assert len(lines) == 3
    assert "…" not in answer.out
    assert SHORT in answer.out
    assert str(done.films / LONG) in answer.out


TYPES = """
SELECT 1::INTEGER AS whole, -7::HUGEINT AS huge, 0.1::FLOAT AS single, 'NaN'::DOUBLE AS nothing,
       NULL::DOUBLE AS missing, '' AS blank, 'a "b", c' || chr(10) || 'd' AS text, true AS truth,
       [1, 2, NULL] AS list, {'x': 1, 'y': 'z'} AS struct, '\\x00\\xFF'::BLOB AS bytes,
       TIMESTAMP '2026-01-02 03:04:05' AS moment, DATE '2026-01-02' AS day,
       INTERVAL 3 DAY AS span, 1.50::DECIMAL(6, 2) AS price, 'Москва' AS city, MAP {'k': 2} AS map
UNION ALL SELECT * REPLACE (2 AS whole) FROM (SELECT NULL::INTEGER AS whole, NULL::HUGEINT AS huge,
       NULL::FLOAT AS single, NULL::DOUBLE AS nothing, NULL::DOUBLE AS missing, NULL AS blank,
       NULL AS text, NULL AS truth, NULL AS list, NULL AS struct, NULL AS bytes, NULL AS moment,
       NULL AS day, NULL AS span, NULL AS price, NULL AS city, NULL AS map)
"""


def test_json_is_one_strict_object_a_line_for_every_type(done):
    def strict(_: str) -> None:
        raise AssertionError("not JSON")

    answer = query(done.store, TYPES, "json")
    assert answer.status == 0, answer.err
    first, second = (json.loads(one, parse_constant=strict) for one in answer.out.splitlines())
    assert first["single"] == pytest.approx(0.1, abs=1e-6)
    del first["single"], first["span"]
    assert first == {
        "whole": 1,
        "huge": -7,
        "nothing": None,
        "missing": None,
        "blank": "",
        "text": 'a "b", c\nd',
        "truth": True,
        "list": [1, 2, None],
        "struct": {"x": 1, "y": "z"},
        "bytes": "AP8=",
        "moment": "2026-01-02T03:04:05",
        "day": "2026-01-02",
        "price": 1.5,
        "city": "Москва",
        "map": first["map"],
    }
    assert "k" in json.dumps(first["map"])
    assert second.pop("whole") == 2
    assert set(second.values()) == {None}


def test_csv_is_read_back_for_every_type(done):
    answer = query(done.store, TYPES, "csv")
    assert answer.status == 0, answer.err
    first, second = csv.DictReader(io.StringIO(answer.out, newline=""))
    assert float(first["single"]) == pytest.approx(0.1, abs=1e-6)
    assert math.isnan(float(first["nothing"]))
    assert (first["whole"], first["huge"], first["missing"]) == ("1", "-7", "")
    assert first["text"] == 'a "b", c\nd'
    assert json.loads(first["list"]) == [1, 2, None]
    assert json.loads(first["struct"]) == {"x": 1, "y": "z"}
    assert (first["bytes"], first["price"], first["city"]) == ("AP8=", "1.50", "Москва")
    assert first["day"] == "2026-01-02"
    assert (second["whole"], second["list"], second["bytes"]) == ("2", "", "")


def test_parquet_is_read_back_for_every_type(done):
    answer = query(done.store, TYPES, "parquet")
    assert answer.status == 0, answer.err
    first, second = pq.read_table(io.BytesIO(answer.raw)).to_pylist()
    assert (first["whole"], first["text"], first["list"]) == (1, 'a "b", c\nd', [1, 2, None])
    assert (first["bytes"], first["struct"]) == (b"\x00\xff", {"x": 1, "y": "z"})
    assert math.isnan(first["nothing"])
    assert first["missing"] is None
    assert second["whole"] == 2


def test_a_table_shows_every_type_on_one_line(done):
    answer = query(done.store, TYPES, "table")
    head, first, second = answer.out.splitlines()
    assert head.split()[:3] == ["whole", "huge", "single"]
    for words in ("0.1 ", "nan", "NULL", r'a "b", c\nd', "[1, 2, null]", "Москва", "2026-01-02"):
        assert words in first
    assert second.split().count("NULL") == 16


def test_two_columns_of_one_name_are_both_there(done):
    sql = "SELECT 1 AS a, 2 AS a"
    assert list(json.loads(query(done.store, sql, "json").out).values()) == [1, 2]
    assert query(done.store, sql, "csv").out.splitlines()[1] == "1,2"
    assert query(done.store, sql, "table").out.splitlines()[1].split() == ["1", "2"]
    assert pq.read_table(io.BytesIO(query(done.store, sql, "parquet").raw)).num_columns == 2


@pytest.mark.parametrize("output", ["table", "csv", "json", "parquet"])
def test_an_answer_without_lines_is_an_answer(done, output):
    answer = query(done.store, "SELECT * FROM predictions", output)
    assert (answer.status, answer.err) == (0, "")


@pytest.mark.parametrize("output", ["table", "csv", "json", "parquet"])
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("EXPLAIN SELECT * FROM shots WHERE end_seconds > 1", "READ_PARQUET"),
        ("DESCRIBE shots", "start_seconds"),
        ("SUMMARIZE shots", "start_seconds"),
    ],
)
def test_explain_and_describe_are_answered_in_every_format(done, sql, words, output):
    answer = query(done.store, sql, output)
    assert answer.status == 0
    text = (
        str(pq.read_table(io.BytesIO(answer.raw)).to_pylist())
        if output == "parquet"
        else answer.out
    )
    assert words in text


def test_many_lines_are_shown_in_part_and_the_rest_is_counted(done):
    answer = query(done.store, "SELECT * FROM range(1234)", "table")
    assert answer.out.splitlines()[-1] == "... 234 more lines; use --format csv for all of them"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM shot", "shots"),
        ("SELEC 1", "syntax error"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("DROP VIEW shots", "read-only"),
        ("COPY (SELECT 1) TO 'x.csv'", "read-only"),
        ("SELECT * FROM read_csv('/etc/passwd')", "/etc/passwd"),
        ("SELECT wrong FROM shots", "wrong"),
    ],
)
def test_a_wrong_query_is_one_sentence(done, sql, words):
    assert words in refused("query", "--store", done.store.uri, sql)


def test_an_unknown_format_is_refused_with_the_known_ones(done):
    said = refused("query", "--store", done.store.uri, "--format", "xml", "SELECT 1")
    assert "csv, json, parquet, table" in said


def test_the_reader_of_a_long_answer_may_leave(done):
    code = "from reelbank.jobs.cli import main; main()"
    words = ["query", "--store", done.store.uri, "--format", "csv", "SELECT * FROM range(1000000)"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


# info, status, verify


def test_info_counts_what_is_there_and_names_the_weights_of_banks(done):
    told = reelbank("info", "--store", done.store.uri, "--json").json
    assert told["videos"] == {"ok": 2, "partial": 1}
    assert told["banks"]["clip"]["untrained"] is False
    text = reelbank("info", "--store", done.store.uri).out
    [clip] = [line for line in text.splitlines() if line.startswith("clip ")]
    assert told["banks"]["clip"]["weights_digest"][:12] in clip.split()
    assert str(told["banks"]["clip"]["rows"]) in clip.split()
    assert "2 ok" in text
    assert "1 partial" in text


def test_status_after_a_run_tells_what_was_committed_and_what_is_not_whole(done):
    told = reelbank("status", "--store", done.store.uri, "--json").json
    assert told["state"] == "done"
    stages = ("scores", "detections", "bank:clip", "bank:person", "video", "shots", "tracks")
    assert told["stages"] == {stage: {"planned": 3, "committed": 3} for stage in sorted(stages)}
    text = reelbank("status", "--store", done.store.uri)
    assert text.status == 0
    assert "finished" in text.out
    assert f"partial: {BROKEN!r}: " in text.out


def test_status_still_tells_of_a_run_whose_commits_were_merged_and_collected(done, tmp_path):
    shutil.copytree(done.store.uri, tmp_path / "s")
    store = open_store(tmp_path / "s")
    store.remove([BROKEN], run="remove")
    compact(store, banks=True)
    collect(store, grace_seconds=0)
    told = reelbank("status", "--store", store.uri, "--json").json
    assert told["stages"]["scores"] == {"planned": 3, "committed": 3}


@pytest.mark.parametrize(
    ("pid", "host", "state", "words"),
    [
        (os.getpid(), platform.node(), "running", "still running"),
        (max(psutil.pids()) + 100_000, platform.node(), "cut off", "goes on where it stopped"),
        (1, "another machine", "unknown", "another machine"),
    ],
    ids=["its driver lives", "its driver is gone", "its driver is elsewhere"],
)
def test_status_of_a_run_without_an_end_asks_for_its_driver(
    done, tmp_path, pid, host, state, words
):
    shutil.copytree(done.store.uri, tmp_path / "s")
    store = open_store(tmp_path / "s")
    [record] = store.runs()
    started = "2099-01-01T00:00:00+00:00"
    machine = {"host": host, "pid": pid}
    changes = {"run": "z", "started": started, "ended": None, "state": "running"}
    store.write_run("z", record | changes | {"machine": machine})
    told = reelbank("status", "--store", store.uri, "--json").json
    assert (told["run"], told["state"]) == ("z", state)
    assert told["stages"]["scores"] == {"planned": 3, "committed": 0}
    assert words in reelbank("status", "--store", store.uri).out


def test_status_of_an_empty_store_says_how_to_begin(tmp_path):
    open_store(tmp_path / "s", create=True)
    assert "no run yet" in reelbank("status", "--store", tmp_path / "s").out
    assert reelbank("info", "--store", tmp_path / "s").status == 0


@pytest.mark.parametrize("pattern", ["tables/scores/*.parquet", "banks/clip/*.zarr/rows/c/0/0"])
def test_verify_finds_a_flipped_bit_and_names_the_file(done, tmp_path, pattern):
    shutil.copytree(done.store.uri, tmp_path / "s")
    assert reelbank("verify", "--store", tmp_path / "s").status == 0
    [path] = (tmp_path / "s").glob(pattern)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    answer = reelbank("verify", "--store", tmp_path / "s")
    assert answer.status == 3
    named = str(path.relative_to(tmp_path / "s")).split("/rows/")[0]
    assert f"{named}: its bytes are not those that were committed" in answer.out
    assert "1 faults" in answer.out
    [problem] = reelbank("verify", "--store", tmp_path / "s", "--json").json["problems"]
    assert problem["path"] == named


def test_verify_tells_leftovers_but_does_not_blame_them(done, tmp_path):
    shutil.copytree(done.store.uri, tmp_path / "s")
    (tmp_path / "s" / "tables" / "scores" / "k.a.parquet").write_bytes(b"half a file")
    answer = reelbank("verify", "--store", tmp_path / "s")
    assert answer.status == 0
    assert "k.a.parquet" in answer.out
    assert "1 leftovers" in answer.out


# the rest


def test_doctor_names_what_is_here(done):
    told = reelbank("doctor", "--json").json
    assert told["libraries"]["torch"]
    assert told["detectors"]["hog"] is True
    assert "slowonly_tiny" in told["backbones"]
    text = reelbank("doctor")
    assert text.status == 0
    assert "slowonly_tiny" in text.out


def test_every_command_explains_itself():
    for name in ("extract", "query", "info", "status", "verify", "recipes", "doctor", "demo"):
        answer = reelbank(name, "--help")
        assert answer.status == 0
        assert "Usage" in answer.out


def test_the_command_runs_in_a_process_of_its_own(done):
    made = command("query", "--store", done.store.uri, "select count(*) as n from videos")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.split() == ["n", "3"]


def test_the_python_interface_reads_the_store_as_the_readme_does(walkers):
    film = "mmt_mot17_04_first8.mp4"
    store = package.open_store(walkers.uri)
    tracks = store.sql("select * from tracks where end_seconds - start_seconds >= $s", {"s": 0})
    people = store.detections(film, 0.0, 2.0)
    bank = store.bank("person")
    window = bank.window(film, 1.0, 2.0)
    past = bank.window(film, 1.0, 2.0, causal=True)
    found = store.features("select video_id, time, rank from tracked", bank="person")
    assert tracks.num_rows > 0
    assert people.num_rows > 0
    assert {"x1", "y1", "x2", "y2", "score", "track_id"} <= set(people.column_names)
    assert window.key_times.tolist() == [0.0, 1.0]
    assert past.key_times.tolist() == [0.0, 1.0]
    assert window.rows.shape == (people.num_rows, bank.dim)
    assert np.isfinite(found.rows).all()
    assert len(found.rows) == store.sql("select * from detections").num_rows
