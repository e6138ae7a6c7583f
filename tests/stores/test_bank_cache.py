"""The cache on disk: fetched once, fetched again where damaged, and bounded."""

import multiprocessing
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reelbank import open_store
from reelbank.stores.cache import Cache, cache_from_environment
from reelbank.stores.files import Files
from tests.stores.builders import commit_bank, unit

DIM = 64
ROWS = np.random.default_rng(0).normal(size=(640, DIM)).astype(np.float16)
CHUNK = 64 * DIM * 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REELBANK_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """(path, start, end) of what is read below rows/c."""
    found, read_ranges = [], Files.read_ranges

    def noted(files, paths, starts, ends):
        spans = zip(paths, starts, ends, strict=True)
        found.extend(span for span in spans if "/rows/c/" in span[0] and span[1] >= 0)
        return read_ranges(files, paths, starts, ends)

    monkeypatch.setattr(Files, "read_ranges", noted)
    return found


def remote_store(videos=("a.mp4",), uri=None):
    store = open_store(uri or f"memory://cache-{os.urandom(6).hex()}", create=True)
    for number, video_id in enumerate(videos):
        held = {float(n): ROWS[n : n + 1] + number for n in range(len(ROWS))}
        commit_bank(store, "clip", [(unit(video_id, "bank:clip"), held)])
    return store


def cached_files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix == ".chunks")


def bytes_held(folder):
    return sum(path.stat().st_blocks * 512 for path in cached_files(folder))


def test_what_was_fetched_once_is_not_fetched_again(folder, reads):
    store = remote_store()
    np.testing.assert_array_equal(
        store.bank("clip").window("a.mp4", 100.0, 60.0).rows, ROWS[70:130]
    )
    (once,) = reads
    assert once[1:] == (CHUNK, 3 * CHUNK)
    for _ in range(2):
        np.testing.assert_array_equal(
            store.bank("clip").window("a.mp4", 100.0, 60.0).rows, ROWS[70:130]
        )
    assert reads == [once]
    np.testing.assert_array_equal(store.bank("clip").rows("a.mp4"), ROWS)
    assert sum(end - start for _, start, end in reads[1:]) <= 10 * CHUNK


def test_a_gather_joins_neighbouring_ranges(folder, reads):
    bank = remote_store(("a.mp4", "b.mp4")).bank("clip")
    keys = [(video_id, float(t)) for t in range(30, 600, 20) for video_id in ("a.mp4", "b.mp4")]
    batch = bank.gather(keys, 60.0)
    assert len(reads) == 2
    for number, (video_id, t) in enumerate(keys):
        expected = ROWS[int(t) - 30 : int(t) + 30] + (video_id == "b.mp4")
        np.testing.assert_array_equal(batch.rows[number], expected)


@pytest.mark.parametrize("damage", ["zeros", "noise", "flags", "empty", "long", "link", "short"])
def test_damaged_and_foreign_files_are_no_harm(folder, damage, tmp_path):
    store = remote_store()
    store.bank("clip").rows("a.mp4")
    (path,) = cached_files(folder)
    data = path.read_bytes()
    if damage == "link":
        path.unlink()
        (tmp_path / "precious").write_bytes(b"keep")
        path.symlink_to(tmp_path / "precious")
    else:
        # Made anew, as a file that somebody has mapped is never cut.
        path.unlink()
        path.write_bytes(
            {
                "zeros": bytes(len(data)),
                "noise": os.urandom(len(data)),
                # As after a power cut: the flags are there and the rows are not.
                "flags": bytes(len(ROWS) * DIM * 2) + data[len(ROWS) * DIM * 2 :],
                "empty": b"",
                "long": data + b"more",
                "short": data[:-100],
            }[damage]
        )
    bank = store.bank("clip")
    np.testing.assert_array_equal(bank.rows("a.mp4"), ROWS)
    np.testing.assert_array_equal(store.bank("clip").rows("a.mp4"), ROWS)
    if damage == "link":
        assert (tmp_path / "precious").read_bytes() == b"keep"


def test_files_of_others_in_the_folder_are_left_alone(folder, monkeypatch):
    folder.mkdir()
    (folder / "thesis.pdf").write_bytes(bytes(1 << 20))
    monkeypatch.setenv("REELBANK_CACHE_BYTES", "1000")
    remote_store().bank("clip").rows("a.mp4")
    assert (folder / "thesis.pdf").stat().st_size == 1 << 20


def test_the_cache_stays_below_its_bound_and_keeps_what_was_used_last(folder, monkeypatch, reads):
    videos = [f"{number}.mp4" for number in range(8)]
    store = remote_store(videos)
    size = 10 * CHUNK
    monkeypatch.setenv("REELBANK_CACHE_BYTES", str(int(3.5 * size)))
    bank = store.bank("clip")
    for number, video_id in enumerate(videos):
        np.testing.assert_array_equal(bank.rows(video_id), ROWS + number)
        assert bytes_held(folder) <= 3.5 * size
    assert len(cached_files(folder)) >= 2
    reads.clear()
    again = store.bank("clip")
    np.testing.assert_array_equal(again.rows(videos[-1]), ROWS + 7)
    assert not reads
    np.testing.assert_array_equal(again.rows(videos[0]), ROWS)
    assert reads


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_what_was_dropped_does_not_stay_on_the_disk_for_readers_to_come(folder, monkeypatch):
    videos = [f"{number}.mp4" for number in range(8)]
    store = remote_store(videos)
    monkeypatch.setenv("REELBANK_CACHE_BYTES", str(35 * CHUNK))
    bank = store.bank("clip")
    first = bank.window(videos[0], 100.0, 60.0).rows
    for video_id in videos:
        bank.rows(video_id)
    mapped = Path("/proc/self/maps").read_text().splitlines()
    gone = [line for line in mapped if str(folder) in line and line.endswith("(deleted)")]
    # That of the view which is still looked at.
    assert len(gone) == 1
    np.testing.assert_array_equal(first, ROWS[70:130])
    np.testing.assert_array_equal(bank.rows(videos[0]), ROWS)


def test_threads_share_a_cache_that_is_too_small_for_them(folder, monkeypatch):
    videos = [f"{number}.mp4" for number in range(4)]
    store = remote_store(videos)
    monkeypatch.setenv("REELBANK_CACHE_BYTES", str(15 * CHUNK))
    bank = store.bank("clip")

    def read(number):
        window = bank.window(videos[number % 4], 100.0 + number, 60.0)
        return np.array_equal(window.rows, ROWS[70 + number : 130 + number] + number % 4)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(200)))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="looks at a tmpfs")
def test_a_look_for_chunks_that_are_not_there_takes_no_memory():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Cache(Path(folder), 1 << 30).open("group", (1000, 64, DIM), ROWS.dtype)
        assert file.map.missing(0, 1000) == list(range(1000))
        # The sums alone, which have their place from the start: a tmpfs may be full.
        assert 8 * 1000 <= bytes_held(Path(folder)) <= 8 * 1000 + 2 * 4096


def test_a_cache_without_room_still_gives_the_rows(folder, monkeypatch):
    monkeypatch.setenv("REELBANK_CACHE_BYTES", "0")
    bank = remote_store(("a.mp4", "b.mp4")).bank("clip")
    for start in (100.0, 300.0, 100.0):
        low = int(start) - 30
        np.testing.assert_array_equal(bank.window("a.mp4", start, 60.0).rows, ROWS[low : low + 60])
    batch = bank.gather([("a.mp4", 100.0), ("b.mp4", 500.0)], 60.0)
    np.testing.assert_array_equal(batch.rows, [ROWS[70:130], ROWS[470:530] + 1])
    assert not cached_files(folder)


def test_a_folder_that_is_taken_away_meanwhile_is_made_again(folder):
    bank = remote_store().bank("clip")
    held = bank.window("a.mp4", 100.0, 60.0).rows
    for path in cached_files(folder):
        path.unlink()
    folder.rmdir()
    np.testing.assert_array_equal(bank.window("a.mp4", 500.0, 60.0).rows, ROWS[470:530])
    np.testing.assert_array_equal(bank.window("a.mp4", 100.0, 60.0).rows, ROWS[70:130])
    np.testing.assert_array_equal(held, ROWS[70:130])


def test_one_store_does_not_read_what_another_cached(folder):
    one, other = remote_store(), remote_store()
    assert one.bank("clip").rows("a.mp4").tobytes() == other.bank("clip").rows("a.mp4").tobytes()
    assert len(cached_files(folder)) == 2


def fill_a_cache(folder, barrier):
    dtype = np.dtype(np.float16)
    file = Cache(folder, 1 << 30).open("group", (10, 64, DIM), dtype)
    barrier.wait(60)
    for chunk in np.random.default_rng(os.getpid()).permutation(10).tolist():
        file.fill([(chunk, ROWS[64 * chunk : 64 * chunk + 64].tobytes())])
    assert not file.map.missing(0, 10)
    np.testing.assert_array_equal(file.map.rows, ROWS)


def test_processes_share_a_cache(folder):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=fill_a_cache, args=(folder, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    file = Cache(folder, 1 << 30).open("group", (10, 64, DIM), ROWS.dtype)
    assert not file.map.missing(0, 10)
    np.testing.assert_array_equal(file.map.rows, ROWS)


def crowd_a_cache(folder, seed):
    cache, rng = Cache(folder, 35 * CHUNK), np.random.default_rng(seed)
    for number in rng.integers(12, size=400).tolist():
        file = cache.open(str(number), (10, 64, DIM), ROWS.dtype)
        missing = file.map.missing(0, 10)
        file.fill([(chunk, ROWS[64 * chunk : 64 * chunk + 64].tobytes()) for chunk in missing])


# Of threads that others left behind Python says that a fork may hang; nothing of theirs is used.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_processes_that_drop_each_others_files_come_to_no_harm(folder):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=crowd_a_cache, args=(folder, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0


def test_what_another_process_writes_shows_in_a_map_made_before(folder):
    cache = Cache(folder, 1 << 30)
    early = cache.open("group", (10, 64, DIM), ROWS.dtype)
    assert early.map.missing(0, 10) == list(range(10))
    late = cache.open("group", (10, 64, DIM), ROWS.dtype)
    late.fill([(3, ROWS[192:256].tobytes())])
    assert early.map.missing(0, 10) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(early.map.rows[192:256], ROWS[192:256])


def test_a_folder_that_cannot_be_used_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("REELBANK_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="set REELBANK_CACHE_DIR to another folder"):
        remote_store().bank("clip").rows("a.mp4")
    monkeypatch.setenv("REELBANK_CACHE_BYTES", "lots")
    with pytest.raises(ValueError, match=r"REELBANK_CACHE_BYTES='lots' must be a number"):
        cache_from_environment()


def compressed_shard(folder):
    """A store of one compressed part, and the file of its rows."""
    store = open_store(str(folder), create=True)
    held = {float(n): ROWS[n : n + 1] for n in range(len(ROWS))}
    commit_bank(store, "clip", [(unit("a.mp4", "bank:clip"), held)], compression="zstd")
    (shard,) = folder.glob("banks/clip/*/rows/c/0/0")
    return store, shard


@pytest.mark.parametrize("left", [0, 5])
def test_a_compressed_part_that_was_cut_off_is_told(tmp_path, folder, left):
    store, shard = compressed_shard(tmp_path / "s")
    shard.write_bytes(shard.read_bytes()[:left])
    with pytest.raises(ValueError, match=rf"is damaged: .* has {left} bytes.*run reelbank verify"):
        store.bank("clip").window("a.mp4", 10.0, 10.0)


def test_damaged_chunks_of_a_compressed_part_are_told(tmp_path, folder):
    store, shard = compressed_shard(tmp_path / "s")
    data = bytearray(shard.read_bytes())
    data[100:200] = bytes(100)
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"is damaged.*run reelbank verify"):
        store.bank("clip").window("a.mp4", 10.0, 10.0)
    np.testing.assert_array_equal(
        store.bank("clip").window("a.mp4", 600.0, 10.0).rows, ROWS[595:605]
    )
