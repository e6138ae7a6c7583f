"""Banks on an S3 server on loopback."""

import gc
import multiprocessing
import os

import numpy as np
import pytest

from reelbank import open_store
from reelbank.stores.files import Files
from tests.s3.server import s3_server
from tests.stores.builders import commit_bank, commit_lines, detection_lines, unit

DIM = 32
ROWS = np.random.default_rng(0).normal(size=(3600, DIM)).astype(np.float16)


@pytest.fixture(scope="module")
def store():
    with s3_server() as server:
        store = open_store(server.new_uri(), create=True)
        held = {float(number): ROWS[number : number + 1] for number in range(len(ROWS))}
        for compression in ("none", "zstd"):
            commit_bank(
                store,
                f"clip-{compression}",
                [(unit("a.mp4", f"bank:clip-{compression}"), held)],
                compression=compression,
            )
        yield store


@pytest.fixture
def cold(tmp_path, monkeypatch):
    """Makes the cache empty."""
    number = iter(range(1000))

    def empty():
        monkeypatch.setenv("REELBANK_CACHE_DIR", str(tmp_path / f"{next(number)}"))

    empty()
    return empty


@pytest.fixture
def requests(monkeypatch):
    """(files asked for, bytes that came) of each call that reads ranges."""
    found, read_ranges = [], Files.read_ranges

    def noted(files, paths, starts, ends):
        data = read_ranges(files, paths, starts, ends)
        found.append((len(paths), sum(map(len, data))))
        return data

    monkeypatch.setattr(Files, "read_ranges", noted)
    return found


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_rows_come_from_s3_and_then_from_the_cache(store, cold, requests, compression):
    bank = store.bank(f"clip-{compression}")
    np.testing.assert_array_equal(bank.window("a.mp4", 1000.0, 60.0).rows, ROWS[970:1030])
    so_far = len(requests)
    np.testing.assert_array_equal(bank.window("a.mp4", 1000.0, 60.0).rows, ROWS[970:1030])
    assert len(requests) == so_far
    np.testing.assert_array_equal(bank.rows("a.mp4"), ROWS)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_gather_asks_a_fifth_of_what_single_windows_ask_at_most(
    store, cold, requests, compression
):
    times = np.random.default_rng(1).integers(30, 3570, 64).astype(float).tolist()
    bank = store.bank(f"clip-{compression}")
    for t in times:
        cold()
        bank = store.bank(bank.name)
        bank.window("a.mp4", t, 60.0)
    single = list(requests)
    requests.clear()
    cold()
    batch = store.bank(bank.name).gather([("a.mp4", t) for t in times], 60.0)
    for number, t in enumerate(times):
        np.testing.assert_array_equal(batch.rows[number], ROWS[int(t) - 30 : int(t) + 30])
    # One after the other, then in files asked for, then in bytes.
    assert 5 * len(requests) <= len(single)
    assert 5 * sum(count for count, _ in requests) <= sum(count for count, _ in single)
    assert 5 * sum(size for _, size in requests) <= sum(size for _, size in single)


def in_a_child(bank, queue):
    # What other tests left is not thrown away here: in a fork, some libraries' finalizers crash.
    gc.freeze()
    queue.put(bank.gather([("a.mp4", 500.0), ("a.mp4", 3000.0)], 60.0).rows)


# Python says of every fork beside threads that it may hang; that ours does not is the test.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_forked_and_spawned_processes_read_from_s3(store, cold, method):
    bank = store.bank("clip-zstd")
    bank.window("a.mp4", 100.0, 60.0)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=in_a_child, args=(bank, queue))
    process.start()
    found = queue.get(timeout=120)
    process.join(60)
    np.testing.assert_array_equal(found, [ROWS[470:530], ROWS[2970:3030]])
    assert os.getpid() != process.pid


def test_boxes_come_from_s3(store, cold):
    held = {0.0: ["person"], 1.0: ["person", "person"]}
    units = [unit("b.mp4", "detections", num_rows=3)]
    commit_lines(store, "detections", units, {"detections": detection_lines("b.mp4", held)})
    details = {"bank": {"kind": "person", "category": "person"}}
    rows = {time: np.ones((len(some), 4), np.float16) for time, some in held.items()}
    commit_bank(store, "person", [(unit("b.mp4", "bank:person", details=details), rows)])
    batch = store.bank("person").gather([("b.mp4", 1.0)], 4.0, boxes=True)
    np.testing.assert_allclose(batch.boxes[0], [[0.1, 0.2, 0.5, 0.75]] * 3)
