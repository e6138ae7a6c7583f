"""Looking after a store on S3: compaction, removal, collection, comparison, migration, export."""

import secrets
import time
from collections.abc import Callable

import pytest

from reelbank.jobs.export import ExportRequest, run_export
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.care.compare import compare
from reelbank.stores.care.migrate import migrate
from reelbank.stores.care.verify import verify
from reelbank.stores.files import Files
from reelbank.stores.store import Store, open_store
from tests.s3.faults import Fault, Rule
from tests.stores.builders import commit_lines, detection_lines, filled_store, unit

MANY = 4
QUERIES = (
    "SELECT * FROM detections ORDER BY ALL",
    "SELECT * FROM tracked ORDER BY ALL",
    'SELECT bank, video_id, time, num_rows FROM "index" ORDER BY ALL',
)


def worked_on(store: Store) -> Store:
    """Two videos of every table, and many small commits."""
    filled_store(store)
    for number in range(MANY):
        name = f"small {number}.mp4"
        lines = detection_lines(name, {0.0: ["person"]})
        units = [unit(name, "detections", num_rows=1)]
        commit_lines(store, "detections", units, {"detections": lines})
    return store


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    files = worked_on(open_store(f"memory://{secrets.token_hex(4)}", create=True)).files
    return {path: files.read(path) for path in files.walk("")}


@pytest.fixture
def store(made: dict[str, bytes], put: Callable[[dict[str, bytes]], Store]) -> Store:
    return put(made)


def answers(store: Store) -> list[list[dict]]:
    return [store.sql(query).to_pylist() for query in QUERIES]


def test_a_compaction_leaves_fewer_files_and_the_same_answers(store):
    before, num_files = answers(store), len(store.live().files("detections"))
    held = store.live()
    report = compact(store)
    assert report.problems == ()
    assert report.commits_after < report.commits_before
    assert answers(store) == before
    assert len(store.live().files("detections")) < num_files
    # Whoever reads what was there before finds it until it is collected.
    assert all(store.files.exists(entry.path) for entry in held.all_files())
    assert verify(store).problems == ()


@pytest.mark.slow
def test_a_compaction_goes_through_troubles(patient, store, proxy):
    through = open_store(store.uri)
    before = answers(through)
    proxy.set(
        Rule(Fault("answer", 503), every=5),
        Rule(Fault("cut"), method="GET", every=4),
        Rule(Fault("lost"), method="PUT", every=2),
    )
    assert compact(through).problems == ()
    assert proxy.num_faults > 3
    proxy.set()
    assert answers(through) == before
    assert verify(through).problems == ()


def test_a_removed_video_is_gone_from_the_bucket(store):
    name = "one.mp4"
    store.remove([name], run="removal")
    assert name not in store.live().videos()
    compact(store, banks=True)
    before = answers(store)
    # S3 tells times of writing to the second.
    time.sleep(1.1)
    collect(store, grace_seconds=0, superseded=True)
    assert answers(store) == before
    assert verify(store).problems == ()
    assert verify(store).orphans == ()
    files = Files(store.uri)
    for path in files.walk(""):
        assert name.encode() not in files.read(path), path


def test_a_collection_that_is_only_tried_takes_nothing(store):
    compact(store)
    before = store.files.walk("")
    time.sleep(1.1)
    told = collect(store, grace_seconds=0, dry_run=True)
    assert told.files
    assert store.files.walk("") == before
    assert collect(store, grace_seconds=0).files == told.files
    assert not set(store.files.walk("")) & set(told.files)


def test_what_is_young_is_not_collected(store):
    store.files.write_new("tables/shots/0.0.parquet", b"")
    collect(store)
    assert store.files.exists("tables/shots/0.0.parquet")


def test_a_store_on_s3_equals_its_like_on_a_path(store, tmp_path):
    local = worked_on(open_store(tmp_path / "store", create=True))
    assert compare(local, store).is_alike
    store.remove(["one.mp4"], run="removal")
    assert compare(local, store).only_a == ("one.mp4",)


def test_a_migration_leaves_what_is_newest(store):
    before = store.files.read("store.json")
    migrate(store.files)
    assert store.files.read("store.json") == before


@pytest.mark.slow
def test_an_export_writes_what_is_there(store, tmp_path):
    request = ExportRequest(output_format="parquet", store=store.uri, output=tmp_path / "out")
    assert run_export(request)
    assert list((tmp_path / "out").rglob("*.parquet"))
