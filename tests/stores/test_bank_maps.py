"""What a bank does with its files: views, maps, fallbacks, damage, processes."""

import errno
import json
import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr

from reelbank import open_store
from reelbank.stores.parts import open_parts
from reelbank.stores.shards import chunk_ranges, is_contiguous, rows_layout
from reelbank.stores.sources import MappedRows, ZarrRows
from tests.stores.bank_films import encoded, group_paths, rewrite_by_zarr
from tests.stores.builders import commit_bank, filled_store, unit

DIM = 8


def store_of(path, rows, step=1.0, videos=("a.mp4",), kind="clip"):
    """One part for each video, each with these rows, one at each key time."""
    store = open_store(str(path), create=True)
    for video_id in videos:
        held = {number * step: rows[number : number + 1] for number in range(len(rows))}
        details = {"bank": {"kind": kind, "key_step_seconds": step}}
        commit_bank(store, "person", [(unit(video_id, "bank:person", details=details), held)])
    return store


def random_rows(count):
    return np.random.default_rng(count).normal(size=(count, DIM)).astype(np.float16)


def is_view_of_a_file(array):
    """Whether the array lies in a mapping of a file, read-only."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, *rest = line.split(maxsplit=5)
        low, high = (int(number, 16) for number in span.split("-"))
        if low <= address < high:
            return not array.flags.writeable and rest[-1].startswith("/")
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")


@needs_proc
def test_windows_of_local_uncompressed_parts_are_views(tmp_path, monkeypatch):
    monkeypatch.setattr("reelbank.stores.groups.SHARD_BYTES", 64 * DIM * 2 * 2)
    rows = random_rows(300)
    bank = store_of(tmp_path / "s", rows).bank("person")
    inside = bank.window("a.mp4", 60.0, 40.0)
    assert is_view_of_a_file(inside.rows)
    # A limit that cuts nothing copies nothing; one that lies in two shards must.
    assert is_view_of_a_file(bank.window("a.mp4", 60.0, 40.0, rows_per_time=2).rows)
    across = bank.window("a.mp4", 128.0, 40.0)
    assert not is_view_of_a_file(across.rows)
    np.testing.assert_array_equal(across.rows, rows[108:148])
    with pytest.raises(ValueError, match="read-only"):
        inside.rows[0] = 0


@needs_proc
def test_windows_that_are_in_the_cache_are_views(tmp_path):
    name = f"memory://v-{os.urandom(4).hex()}"
    rows = random_rows(300)
    held = {float(number): rows[number : number + 1] for number in range(300)}
    store = open_store(name, create=True)
    commit_bank(store, "person", [(unit("a.mp4", "bank:person"), held)])
    bank = store.bank("person")
    window = bank.window("a.mp4", 100.0, 60.0)
    np.testing.assert_array_equal(window.rows, rows[70:130])
    assert is_view_of_a_file(window.rows)


def test_maps_and_files_held_open_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("reelbank.stores.opening.MAX_WEIGHT", 12)
    rows = random_rows(5)
    videos = [f"{number}.mp4" for number in range(20)]
    bank = store_of(tmp_path / "s", rows, videos=videos).bank("person")
    before = open_files()
    for _ in range(2):
        for video_id in videos:
            np.testing.assert_array_equal(bank.window(video_id, 2.0, 4.0).rows, rows[:4])
            assert mapped_below(tmp_path) <= 12
    assert open_files() == before
    del bank
    assert mapped_below(tmp_path) == 0


def test_where_the_system_has_no_room_for_maps_the_old_ones_go(tmp_path, monkeypatch):
    rows = random_rows(5)
    bank = store_of(tmp_path / "s", rows, videos=["a.mp4", "b.mp4"]).bank("person")
    bank.window("a.mp4", 2.0, 4.0)
    answers = iter([OSError(errno.ENOMEM, "Cannot allocate memory")])

    def full_once(*arguments):
        for error in answers:
            assert mapped_below(tmp_path)
            raise error
        assert not mapped_below(tmp_path)
        return open_parts(*arguments)

    monkeypatch.setattr("reelbank.stores.opening.open_parts", full_once)
    np.testing.assert_array_equal(bank.window("b.mp4", 2.0, 4.0).rows, rows[:4])


def test_threads_share_a_bank(tmp_path, monkeypatch):
    monkeypatch.setattr("reelbank.stores.opening.MAX_WEIGHT", 12)
    rows = random_rows(90)
    videos = [f"{number}.mp4" for number in range(8)]
    bank = store_of(tmp_path / "s", rows, videos=videos).bank("person")

    def ask(seed):
        for video_id in np.random.default_rng(seed).choice(videos, 200).tolist():
            window = bank.window(video_id, 40.0, 60.0)
            np.testing.assert_array_equal(window.rows, rows[10:70])
            assert window.counts.tolist() == [1] * 60
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))


def open_files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def mapped_below(folder):
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return sum(str(folder) in line for line in lines)


def test_shards_as_zarr_writes_them_lie_in_one_stretch():
    for count in (1, 63, 64, 65, 1000):
        files = encoded(random_rows(count))
        layout = rows_layout(files["rows/zarr.json"])
        shards = sorted(name for name in files if name.startswith("rows/c/"))
        assert layout.num_shards == len(shards)
        for number, name in enumerate(shards):
            ranges = chunk_ranges(layout, number, files[name][-layout.index_bytes :])
            assert is_contiguous(layout, ranges)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_damaged_index_is_told(compression):
    files = encoded(random_rows(200), compression)
    layout = rows_layout(files["rows/zarr.json"])
    index = bytearray(files["rows/c/0/0"][-layout.index_bytes :])
    index[3] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        chunk_ranges(layout, 0, bytes(index))
    with pytest.raises(ValueError, match="bytes instead of"):
        chunk_ranges(layout, 0, bytes(index[1:]))


@pytest.mark.parametrize(
    "name", ["rows/c/0/0", "time/c/0", "first/c/0", "rows/zarr.json", "time/zarr.json"]
)
@pytest.mark.parametrize("kept", [slice(0), slice(100, None), slice(100)], ids=str)
def test_a_file_that_was_cut_is_told(tmp_path, name, kept):
    store = store_of(tmp_path / "s", random_rows(200))
    (path,) = (tmp_path / "s").glob(f"banks/person/*/{name}")
    path.write_bytes(path.read_bytes()[kept])
    with pytest.raises(ValueError, match=r"banks/person/.* is damaged: .*; run reelbank verify"):
        store.bank("person").window("a.mp4", 60.0, 40.0)


def test_offsets_that_are_not_those_of_the_rows_are_told(tmp_path):
    store = store_of(tmp_path / "s", random_rows(200))
    (path,) = (tmp_path / "s").glob("banks/person/*/first/c/0")
    path.write_bytes(b"\x07" * path.stat().st_size)
    with pytest.raises(ValueError, match=r"does not rise from 0 to the number of rows; run reel"):
        store.bank("person").window("a.mp4", 60.0, 40.0)


@pytest.mark.parametrize(
    "change",
    [
        {"zarr_format": 2},
        {"data_type": "float64"},
        {"fill_value": 1.0},
        {"shape": [10]},
        {"codecs": []},
        {"chunk_grid": {"name": "rectilinear"}},
        {"chunk_key_encoding": {"name": "v2"}},
        {"storage_transformers": [{"name": "other"}]},
    ],
)
def test_other_layouts_are_left_to_zarr(change):
    plain = json.loads(encoded(random_rows(10))["rows/zarr.json"])
    assert rows_layout(json.dumps(plain).encode()) is not None
    assert rows_layout(json.dumps(plain | change).encode()) is None
    assert rows_layout(b"{") is None
    assert rows_layout(b"[]") is None


def test_shards_in_another_order_are_read_by_zarr_to_the_same_numbers(tmp_path):
    rows = random_rows(200)
    store = store_of(tmp_path / "s", rows)
    (path,) = group_paths(store)
    assert isinstance(store.bank("person")._films.film("a.mp4").only.part.source, MappedRows)
    swap_two_chunks(Path(store.uri, path), rows)
    bank = store.bank("person")
    assert isinstance(bank._films.film("a.mp4").only.part.source, ZarrRows)
    np.testing.assert_array_equal(bank.rows("a.mp4"), rows)
    np.testing.assert_array_equal(bank.gather([("a.mp4", 70.0)], 20.0).rows[0], rows[60:80])


def swap_two_chunks(group, rows):
    """Let inner chunks 0 and 1 change places in the shard, and its index say so."""
    import google_crc32c

    shard = group / "rows/c/0/0"
    data, size = shard.read_bytes(), 64 * DIM * 2
    layout = rows_layout((group / "rows/zarr.json").read_bytes())
    index = np.frombuffer(data[-layout.index_bytes : -4], "<u8").reshape(-1, 2).copy()
    index[[0, 1]] = index[[1, 0]]
    chunks = data[size : 2 * size] + data[:size] + data[2 * size : -layout.index_bytes]
    crc = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    shard.write_bytes(chunks + index.tobytes() + crc)


@pytest.mark.parametrize("kind", ["local", "remote"])
@pytest.mark.parametrize("compressed", [True, False])
def test_chunks_of_zeros_that_another_program_left_out_are_zeros(tmp_path, kind, compressed):
    rows = random_rows(64 * 9)
    rows[64 : 64 * 3] = 0
    rows[64 * 6 :] = 0
    store = store_of(tmp_path / "s", rows)
    (path,) = group_paths(store)
    where = Path(store.uri, path, "rows")
    shutil.rmtree(where)
    array = zarr.create_array(
        str(where),
        shape=rows.shape,
        dtype=rows.dtype,
        chunks=(64, DIM),
        shards=(64 * 9, DIM),
        compressors=zarr.codecs.ZstdCodec() if compressed else None,
        config={"write_empty_chunks": False},
    )
    array[...] = rows
    if kind == "remote":
        uri = f"memory://zeros-{os.urandom(4).hex()}"
        fsspec.filesystem("memory").put(
            f"{store.uri}/", uri.removeprefix("memory:/"), recursive=True
        )
        store = open_store(uri)
    bank = store.bank("person")
    np.testing.assert_array_equal(bank.window("a.mp4", 150.0, 20.0).rows, rows[140:160])
    np.testing.assert_array_equal(bank.rows("a.mp4"), rows)


def test_a_part_rewritten_by_another_program_gives_the_same_numbers(tmp_path):
    rows = random_rows(70)
    store = store_of(tmp_path / "s", rows)
    rewrite_by_zarr(store)
    np.testing.assert_array_equal(store.bank("person").rows("a.mp4"), rows)


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_part_that_was_collected_meanwhile_is_told(tmp_path, kind):
    uri = str(tmp_path / "s") if kind == "local" else f"memory://gone-{os.urandom(4).hex()}"
    store = open_store(uri, create=True)
    filled_store(store)
    bank = store.bank("clip")
    for path in group_paths_of(store, "clip"):
        store.files.fs.rm(store.files.absolute(path), recursive=True)
    with pytest.raises(ValueError, match=r"no longer in the store.*open the bank again"):
        bank.window("one.mp4", 1.0, 2.0)
    with pytest.raises(ValueError, match=r"no longer in the store.*open the bank again"):
        store.bank("clip")


def group_paths_of(store, bank):
    items = store.live().select(stage=f"bank:{bank}")
    return [item.file("bank", bank).path for item in items]


def test_parts_of_two_types_come_in_the_newest_and_of_two_lengths_not_at_all(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    for number, (dtype, dim) in enumerate([(np.float32, 2), (np.float16, 2)]):
        part = unit(
            "a.mp4",
            "bank:person",
            start_seconds=number,
            end_seconds=number + 1.0,
            key=f"part {number}",
        )
        commit_bank(store, "person", [(part, {float(number): np.ones((1, dim), dtype)})])
    window = store.bank("person").window("a.mp4", 1.0, 4.0)
    assert window.rows.dtype == np.float16
    assert window.rows.shape == (2, 2)
    part = unit("a.mp4", "bank:person", start_seconds=2.0, end_seconds=3.0, key="wide")
    commit_bank(store, "person", [(part, {2.0: np.ones((1, 3), np.float16)})])
    with pytest.raises(ValueError, match="settings changed"):
        store.bank("person").rows("a.mp4")


def test_a_number_too_large_for_the_type_of_the_newest_part_is_told(tmp_path):
    store = open_store(str(tmp_path / "s"), create=True)
    for video_id, dtype in (("old.mp4", np.float32), ("new.mp4", np.float16)):
        held = {0.0: np.full((1, 2), 60_000, dtype), 1.0: np.full((1, 2), 70_000, np.float32)}
        if dtype == np.float16:
            del held[1.0]
        commit_bank(store, "person", [(unit(video_id, "bank:person"), held)])
    bank = store.bank("person")
    assert bank.window("old.mp4", 0.0, 1.0).rows.tolist() == [[60_000, 60_000]]
    with pytest.raises(ValueError, match=r"of float32 .* float16, which is too small for 70000"):
        bank.rows("old.mp4")


def test_boxes_of_banks_without_boxes_are_refused(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    with pytest.raises(ValueError, match="'clip', whose rows have no boxes"):
        store.bank("clip").window("one.mp4", 1.0, 2.0, boxes=True)
    with pytest.raises(ValueError, match="'clip', whose rows have no boxes"):
        store.bank("clip").gather([], 2.0, boxes=True)
    window = store.bank("person").window("one.mp4", 1.0, 4.0, boxes=True)
    np.testing.assert_allclose(window.boxes, [[0.1, 0.2, 0.5, 0.75]] * 3)


def test_rows_that_are_not_those_of_the_detections_get_no_boxes(tmp_path):
    store = filled_store(open_store(str(tmp_path / "s"), create=True))
    details = {"bank": {"kind": "person", "category": "car"}}
    held = {0.0: np.ones((2, 4), np.float16)}
    commit_bank(store, "cars", [(unit("one.mp4", "bank:cars", details=details), held)])
    with pytest.raises(ValueError, match=r"2 rows at 0.0 s of 'one.mp4' .* detections 1"):
        store.bank("cars").window("one.mp4", 0.0, 2.0, boxes=True)


# Processes.


def rows_in_a_child(bank, queue):
    queue.put((bank.rows("a.mp4"), bank.window("a.mp4", 100.0, 60.0).rows.copy(), bank.videos()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_bank_answers_in_other_processes_as_it_was_when_opened(tmp_path, method):
    rows = random_rows(200)
    store = store_of(tmp_path / "s", rows)
    bank = store.bank("person")
    bank.window("a.mp4", 3.0, 4.0)
    # A later commit, which the bank does not know.
    store_of(tmp_path / "s", rows, videos=["b.mp4"])
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=rows_in_a_child, args=(bank, queue))
    process.start()
    whole, window, videos = queue.get(timeout=120)
    process.join()
    np.testing.assert_array_equal(whole, rows)
    np.testing.assert_array_equal(window, rows[70:130])
    assert videos == ["a.mp4"]
    assert pickle.loads(pickle.dumps(bank)).videos() == ["a.mp4"]


# Writers.


def write_part_of_a_shard(where, begin, end, value, barrier):
    array = zarr.open_array(where, mode="r+")
    barrier.wait(60)
    array[begin:end] = value


def test_two_writers_of_one_zarr_shard_lose_rows_and_two_of_one_bank_lose_none(tmp_path):
    context = multiprocessing.get_context("spawn")
    lost = 0
    for attempt in range(5):
        where = str(tmp_path / f"plain-{attempt}.zarr")
        zarr.create_array(
            where, shape=(128, DIM), dtype="f4", chunks=(1, DIM), shards=(128, DIM), fill_value=0
        )
        barrier = context.Barrier(2)
        halves = [(0, 64, 1.0), (64, 128, 2.0)]
        run([(write_part_of_a_shard, (where, *half, barrier)) for half in halves], context)
        lost += int((zarr.open_array(where, mode="r")[:, 0] == 0).sum())
        if lost:
            break
    # zarr-python#3682: each reads the shard, changes its half and writes the whole.
    assert lost

    open_store(str(tmp_path / "s"), create=True)
    barrier = context.Barrier(2)
    writers = [
        (write_bank_part, (str(tmp_path / "s"), start, value, barrier))
        for start, value in ((0.0, 1.0), (64.0, 2.0))
    ]
    run(writers, context)
    rows = open_store(str(tmp_path / "s")).bank("person").rows("a.mp4")
    assert rows[:, 0].tolist() == [1.0] * 64 + [2.0] * 64


def write_bank_part(uri, start, value, barrier):
    part = unit(
        "a.mp4",
        "bank:person",
        start_seconds=start,
        end_seconds=start + 64.0,
        key=f"part {start}",
    )
    held = {start + n: np.full((1, DIM), value, np.float16) for n in range(64)}
    store = open_store(uri)
    barrier.wait(60)
    commit_bank(store, "person", [(part, held)])


def run(jobs, context):
    processes = [context.Process(target=target, args=args) for target, args in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


def test_a_store_that_was_moved_reads_as_before(tmp_path):
    rows = random_rows(10)
    store_of(tmp_path / "s", rows)
    shutil.move(tmp_path / "s", tmp_path / "moved::elsewhere")
    found = open_store(str(tmp_path / "moved::elsewhere")).bank("person").rows("a.mp4")
    np.testing.assert_array_equal(found, rows)
