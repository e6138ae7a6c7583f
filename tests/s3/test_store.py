"""Everything that a store does, on S3 as on a path, and through troubles as without them."""

import json
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from reelbank.jobs.reports.page import write_report
from reelbank.jobs.show import run_status
from reelbank.stores.care.verify import verify
from reelbank.stores.labels import label_schema
from reelbank.stores.store import Store, open_store
from tests.s3.faults import Fault, FaultyProxy, Rule
from tests.s3.server import S3Server
from tests.shared_data import ROOT
from tests.stores.builders import (
    STRANGE_NAMES,
    commit_lines,
    detection_lines,
    filled_store,
    person_rows,
    unit,
)

QUERIES = (
    "SELECT * FROM detections ORDER BY ALL",
    "SELECT video_id, count(*) FROM tracked GROUP BY 1 ORDER BY 1",
    "SELECT * FROM shots JOIN tracks USING (video_id, shot_id) ORDER BY ALL",
    'SELECT bank, sum(num_rows) FROM "index" GROUP BY 1 ORDER BY 1',
    "SELECT run, state FROM runs",
)


@pytest.fixture(scope="module")
def remote(server: S3Server) -> Store:
    return filled_store(open_store(server.new_uri(), create=True))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled_store(open_store(tmp_path_factory.mktemp("local") / "store", create=True))


def plain(table: pa.Table) -> list[dict]:
    return table.to_pylist()


def test_it_is_made_and_opened_again_by_its_address(uri):
    made = open_store(uri, create=True)
    assert made.uri == uri
    assert open_store(uri).id == made.id
    assert open_store(uri, create=True).id == made.id
    assert open_store(uri + "/").id == made.id


def test_a_folder_that_holds_something_else_is_left_alone(uri):
    made = open_store(uri, create=True)
    made.files.write_new("folder/file", b"")
    with pytest.raises(ValueError, match="is not empty and is no store"):
        open_store(f"{uri}/folder", create=True)
    with pytest.raises(ValueError, match="is not a store"):
        open_store(f"{uri}/folder")


@pytest.mark.parametrize("query", QUERIES)
def test_sql_answers_as_on_a_path(query, remote, local):
    assert plain(remote.sql(query)) == plain(local.sql(query))


def test_lines_and_detections_are_those_of_a_path(remote, local):
    for name in local.live().videos():
        assert plain(remote.detections(name, 0.0, 2.0)) == plain(local.detections(name, 0.0, 2.0))
        for table in ("detections", "shots", "tracks", "links", "index"):
            assert plain(remote.table(table, name)) == plain(local.table(table, name))


def test_windows_and_batches_are_those_of_a_path(remote, local):
    for bank in ("person", "clip"):
        here, there = local.bank(bank), remote.bank(bank)
        assert there.metadata == here.metadata
        for name in here.videos():
            for support, causal, rows in ((2.0, False, None), (3.0, True, 1), (60.0, False, 2)):
                one = here.window(name, 1.0, support, causal, rows)
                other = there.window(name, 1.0, support, causal, rows)
                for part in ("rows", "times", "key_times", "counts"):
                    assert np.array_equal(getattr(one, part), getattr(other, part)), part
        keys = [(name, time) for name in here.videos() for time in (0.0, 1.0, 2.0, 7.0)]
        one, other = here.gather(keys, 2.0), there.gather(keys, 2.0)
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.mask, other.mask)


def test_features_of_a_query_are_those_of_a_path(remote, local):
    query = "SELECT video_id, time, rank FROM tracked WHERE track_id = 7 ORDER BY ALL"
    one, other = local.features(query, "person"), remote.features(query, "person")
    assert np.array_equal(one.rows, other.rows)
    assert plain(one.table) == plain(other.table)


def test_what_it_holds_and_whether_it_is_whole(remote, local):
    assert remote.fingerprint() == local.fingerprint()
    found, expected = remote.info(), local.info()
    for name in ("videos", "hours", "rows", "banks", "num_bytes", "runs"):
        assert found[name] == expected[name], name
    assert run_status(remote)["state"] == run_status(local)["state"]
    report = verify(remote)
    assert report.problems == ()
    assert report.orphans == ()


def test_verify_names_what_is_damaged_missing_and_left_over(filled, put):
    store = put(filled)
    damaged, missing = store.live().files("detections")[0], store.live().files("shots")[0]
    data = store.files.read(damaged.path)
    store.files.replace(damaged.path, data[:-1] + b"!")
    store.files.remove(missing.path)
    store.files.write_new("tables/shots/0.0.parquet", b"")
    report = verify(store)
    assert {problem.path for problem in report.problems} == {damaged.path, missing.path}
    assert report.orphans == ("tables/shots/0.0.parquet",)


def test_a_report_is_written_of_it(remote, tmp_path):
    write_report(remote, tmp_path / "report.html")
    assert remote.uri in (tmp_path / "report.html").read_text()


def test_strange_names_are_names(uri):
    store = open_store(uri, create=True)
    for name in STRANGE_NAMES:
        commit_lines(
            store,
            "detections",
            [unit(name, "detections", num_rows=1)],
            {"detections": detection_lines(name, {0.0: ["person"]})},
        )
    found = store.sql("SELECT DISTINCT video_id FROM detections")
    assert sorted(found["video_id"].to_pylist()) == sorted(STRANGE_NAMES)
    assert all(len(store.detections(name)) == 1 for name in STRANGE_NAMES)


def test_what_was_superseded_counts_again(uri):
    store = open_store(uri, create=True)

    def extracted(key: str) -> None:
        lines = detection_lines("a", {0.0: [key]})
        made = unit("a", "detections", key=key, num_rows=1)
        assert commit_lines(store, "detections", [made], {"detections": lines})

    extracted("one")
    first = store.commits()[0]
    extracted("two")
    assert store.revive(first.key) is not None
    assert store.detections("a")["category"].to_pylist() == ["one"]


def labels_of(names: list[str]) -> dict[str, pa.Table]:
    """One label for each of these videos, and their class."""
    tables = {}
    for table, lines in (
        ("labels", [{"video_id": name, "class_id": "1"} for name in names]),
        ("classes", [{"class_id": "1", "name": "walk"}]),
    ):
        schema = label_schema(table)
        fill = {field.name: None if field.nullable else _nothing(field.type) for field in schema}
        known = [fill | {key: line[key] for key in line if key in fill} for line in lines]
        tables[table] = pa.Table.from_pylist(known, schema=schema)
    return {"lines": tables["labels"], "classes": tables["classes"]}


def _nothing(kind: pa.DataType) -> object:
    return "" if pa.types.is_string(kind) else False if pa.types.is_boolean(kind) else 0


def test_labels_are_brought_in_once(filled, put):
    store = put(filled)
    given = labels_of(["one.mp4", "two's.mp4"])
    options = {"details": {"source": "by hand"}, "run": "import"}
    assert store.commit_labels("acts", "v1", **given, **options)
    assert store.commit_labels("acts", "v1", **given, **options) is None
    found = store.sql("SELECT label_set, version, video_id FROM labels ORDER BY video_id")
    assert found["video_id"].to_pylist() == ["one.mp4", "two's.mp4"]
    assert set(found["label_set"].to_pylist()) == {"acts"}
    assert verify(store).problems == ()


# Between two writers.


def test_a_commit_whose_answer_is_lost_is_still_ones_own(patient, proxy, uri):
    store = open_store(uri, create=True)
    proxy.set(Rule(Fault("lost"), method="PUT", path="/commits/", times=1))
    made = commit_lines(
        store,
        "detections",
        [unit("a", "detections", num_rows=1, details={"frames": 3, "rate": 0.1})],
        {"detections": detection_lines("a", {0.0: ["person"]})},
    )
    assert proxy.num_faults >= 1
    assert made is not None
    assert [commit.name for commit in store.commits()] == [made.name]


WRITER = """
import json, sys, time
from reelbank.stores.store import open_store
from tests.stores.builders import detection_lines, unit, write_lines

store, me, start = open_store(sys.argv[1]), sys.argv[2], float(sys.argv[3])
won = []
for number in range(12):
    name = f"{number}.mp4"
    units = [unit(name, "detections", num_rows=1)]
    attempt = store.new_attempt()
    lines = {"detections": detection_lines(name, {0.0: [me]})}
    files = write_lines(store, "detections", units, lines, attempt)
    # Asleep until shortly before, so that two of them have a core each for what counts.
    time.sleep(max(0.0, start + number * 0.1 - 0.002 - time.time()))
    while time.time() < start + number * 0.1:
        pass
    if store.commit("detections", units, files, run=me, attempt=attempt):
        won.append(name)
print(json.dumps(won))
"""


@pytest.mark.slow
def test_of_two_processes_that_commit_one_stage_exactly_one_wins(uri):
    store = open_store(uri, create=True)
    start = str(time.time() + 5)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, uri, me, start],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for me in "ab"
    ]
    wins = [json.loads(writer.communicate(timeout=100)[0]) for writer in writers]
    assert sorted(wins[0] + wins[1]) == sorted(f"{number}.mp4" for number in range(12))
    found = store.sql("SELECT video_id, category FROM detections").to_pylist()
    assert len(found) == 12
    for me, won in zip("ab", wins, strict=True):
        assert sorted(line["video_id"] for line in found if line["category"] == me) == sorted(won)


def test_another_process_reads_what_was_committed(remote):
    code = (
        "import sys; from reelbank.stores.store import open_store\n"
        "print(open_store(sys.argv[1]).bank('person').rows('one.mp4').tolist())"
    )
    # With warnings as errors, so that a connection left open at the end would be seen.
    words = [sys.executable, "-W", "error::ResourceWarning", "-c", code, remote.uri]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    rows = np.concatenate(list(person_rows(0.0).values()))
    assert done.stdout.strip() == str(rows.tolist())
    assert done.stderr == ""


# Troubles on the way.

TROUBLES = (
    Rule(Fault("freeze"), method="GET", skip=3, every=40),
    Rule(Fault("answer", 500), every=7),
    Rule(Fault("answer", 503), every=5, skip=1),
    Rule(Fault("cut"), method="GET", every=4),
    Rule(Fault("slow", seconds=0.05), method="GET", every=3),
    Rule(Fault("lost"), method="PUT", every=6),
)


def test_a_store_is_filled_and_read_through_troubles(patient, proxy: FaultyProxy, uri, local):
    proxy.set(*TROUBLES)
    store = filled_store(open_store(uri, create=True))
    assert store.fingerprint() == local.fingerprint()
    for query in QUERIES:
        assert plain(store.sql(query)) == plain(local.sql(query))
    for name in local.live().videos():
        assert np.array_equal(store.bank("person").rows(name), local.bank("person").rows(name))
    assert verify(store).problems == ()
    assert proxy.num_faults > 10
    assert {one.fault.kind for one in proxy.seen if one.fault} == {
        rule.fault.kind for rule in TROUBLES
    }
