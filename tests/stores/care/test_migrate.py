"""Format versions: the mechanism, with a migration made up for the test."""

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbank import open_store
from reelbank.stores import layout
from reelbank.stores.care.migrate import MIGRATIONS, migrate
from reelbank.stores.files import Files
from reelbank.stores.schemas import FORMAT_VERSION
from tests.stores.builders import filled_store


@pytest.fixture
def files(tmp_path):
    return filled_store(open_store(str(tmp_path / "s"), create=True)).files


def version_of(files):
    return json.loads(files.read(layout.STORE_FILE))["format_version"]


def add_a_column(files):
    """Shots get a column 'kind': new files, and commits in place of commits."""
    for name in files.list_names(layout.COMMITS):
        plain = json.loads(files.read(layout.commit_path(name)))
        for entry in plain["files"]:
            if entry["name"] != "shots" or entry["path"].endswith("x.parquet"):
                continue
            table = pq.read_table(io.BytesIO(files.read(entry["path"])))
            table = table.append_column("kind", pa.array(["cut"] * len(table)))
            buffer = io.BytesIO()
            pq.write_table(table, buffer)
            entry["path"] = entry["path"].replace(".parquet", "x.parquet")
            if not files.exists(entry["path"]):
                files.write_new(entry["path"], buffer.getvalue())
            entry["num_bytes"] = len(buffer.getvalue())
            entry["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        files.replace(layout.commit_path(name), json.dumps(plain).encode())


def kinds(files):
    (commit,) = (
        json.loads(files.read(layout.commit_path(name)))
        for name in files.list_names(layout.COMMITS)
        if b'"stage": "shots"' in files.read(layout.commit_path(name))
    )
    (entry,) = commit["files"]
    return pq.read_table(io.BytesIO(files.read(entry["path"])))["kind"].to_pylist()


def test_the_newest_format_has_nothing_to_do(files):
    before = {path: files.read(path) for path in files.walk("")}
    report = migrate(files)
    assert (report.before, report.after) == (FORMAT_VERSION, FORMAT_VERSION)
    assert {path: files.read(path) for path in files.walk("")} == before


def test_there_is_a_way_from_every_older_format():
    assert sorted(MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_migrations_are_done_in_order_and_the_version_comes_last(files):
    done = []

    def second(files):
        done.append(version_of(files))

    report = migrate(files, migrations={1: add_a_column, 2: second}, newest=3)
    assert (report.before, report.after) == (1, 3)
    assert done == [2]
    assert version_of(files) == 3
    assert kinds(files) == ["cut", "cut"]


def test_a_killed_migration_is_done_again(files, monkeypatch):
    for number in range(40):
        replace, count = files.replace, iter(range(1000))

        def killed(path, data, replace=replace, count=count, number=number):
            if next(count) == number:
                raise KeyboardInterrupt
            replace(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(files, "replace", killed)
            try:
                migrate(files, migrations={1: add_a_column}, newest=2)
                break
            except KeyboardInterrupt:
                assert version_of(files) == 1
    assert number > 3
    assert version_of(files) == 2
    assert kinds(files) == ["cut", "cut"]


def test_a_version_without_a_way_on_is_refused(files):
    with pytest.raises(ValueError, match="has format 1, and there is no way from there to 2"):
        migrate(files, migrations={}, newest=2)
    assert version_of(files) == 1


def test_a_newer_store_is_refused(files):
    record = json.loads(files.read(layout.STORE_FILE)) | {"format_version": 99}
    files.replace(layout.STORE_FILE, json.dumps(record).encode())
    with pytest.raises(ValueError, match="has format 99, this program reads up to"):
        migrate(files)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a store"):
        migrate(Files(str(tmp_path)))
