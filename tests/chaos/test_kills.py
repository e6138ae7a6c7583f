"""Killed runs, run again, leave what an undisturbed run leaves."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from reelbank.stores.care.verify import verify
from reelbank.stores.store import open_store
from tests.chaos.victims import POLL_SECONDS, SMALL, Victim, graveyard, has_open, num_commits, pause
from tests.jobs.extraction import extract
from tests.videos import numbered_frames, write_video

SECONDS = 24
SETTINGS = (*SMALL, f"part_minutes={SECONDS / 6 / 60}")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One film of six parts, and two short ones that share a part."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "long.mp4", numbered_frames(SECONDS * 20, 192, 144), rate=20)
    write_video(folder / "short.mp4", numbered_frames(30, 96, 72), rate=20)
    write_video(folder / "tiny.mp4", numbered_frames(20, 96, 72), rate=20)
    return folder


@pytest.fixture(scope="module")
def undisturbed(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Fingerprint of a run that nobody killed, in one process and without Ray."""
    done = extract(films, tmp_path_factory.mktemp("undisturbed") / "store", *SETTINGS)
    assert done.summary.exit_status == 0
    return done.store.fingerprint()


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where the Rays of a test live, apart from others; short, because sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="rb"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(tmp_path: Path, ray_folder: Path) -> Iterator[Callable[..., Victim]]:
    """Starts an extraction on a Ray of its own; all its processes are gone afterwards."""
    with graveyard() as keep:

        def launch(inputs: Path, store: Path, *overrides: str) -> Victim:
            log = tmp_path / "log.txt"
            return keep(Victim(inputs, store, overrides, log=log, ray_folder=ray_folder))

        yield launch


def kill_and_run_again(
    films: Path, store: Path, start: Callable[..., Victim], *, seed: int, num_kills: int
) -> None:
    """Kills workers and drivers in turn, at random moments; then lets a run come to its end.

    The next driver starts at once, while the actors of the one before may still write.
    """
    chance = random.Random(seed)
    kills = 0
    while kills < num_kills:
        victim = start(films, store, *SETTINGS)
        if kills % 3 == 0 and victim.wait_for_commits(chance.randint(1, 3)):
            pause(chance)
            for worker in victim.workers():
                worker.kill()
            kills += 1
        if kills < num_kills and victim.wait_for_commits(chance.randint(1, 5)):
            pause(chance)
            victim.kill_driver()
            kills += 1
        elif victim.wait() == 0:
            break
    last = start(films, store, *SETTINGS)
    assert last.wait() == 0, last.log.read_text()


def test_a_run_killed_three_times_ends_like_an_undisturbed_one(
    films: Path, undisturbed: dict, start: Callable[..., Victim], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    kill_and_run_again(films, store, start, seed=1, num_kills=3)
    check(store, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_run_killed_ten_times_ends_like_an_undisturbed_one(
    seed: int, films: Path, undisturbed: dict, start: Callable[..., Victim], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    kill_and_run_again(films, store, start, seed=seed, num_kills=10)
    check(store, undisturbed)


def check(store: Path, undisturbed: dict) -> None:
    found = open_store(store)
    assert found.fingerprint() == undisturbed
    report = verify(found)
    assert report.problems == ()
    visible = {entry.path for entry in found.live().all_files()}
    assert not visible & set(report.orphans)


def test_a_writer_that_wakes_after_another_run_has_ended_changes_nothing_visible(
    films: Path, undisturbed: dict, tmp_path: Path
) -> None:
    """An actor that outlives its driver, as long as one likes: stopped, overtaken, woken."""
    store = tmp_path / "store"
    with graveyard() as keep:
        late = keep(Victim(films, store, SETTINGS, log=tmp_path / "log.txt"))
        assert late.wait_for_commits(3)
        os.kill(late.process.pid, signal.SIGSTOP)
        assert extract(films, store, *SETTINGS).summary.exit_status == 0
        assert open_store(store).fingerprint() == undisturbed
        commits = num_commits(store)
        os.kill(late.process.pid, signal.SIGCONT)
        assert late.wait() == 0, late.log.read_text()
    assert num_commits(store) == commits
    check(store, undisturbed)
    assert verify(open_store(store)).orphans


def test_two_runs_at_once_end_like_one(films: Path, undisturbed: dict, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with graveyard() as keep:
        other = keep(Victim(films, store, SETTINGS, log=tmp_path / "log.txt"))
        assert other.wait_for_commits(1)
        assert extract(films, store, *SETTINGS).summary.exit_status == 0
        assert other.wait() == 0, other.log.read_text()
    check(store, undisturbed)


def kill_whoever_opens(path: Path, workers: list[psutil.Process]) -> None:
    """Watch these processes for a moment."""
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        for worker in workers:
            if has_open(worker, path):
                worker.kill()
                worker.wait()
        time.sleep(POLL_SECONDS)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    "part_minutes",
    [
        pytest.param(0.2, id="in a part of its own"),
        pytest.param(10, id="in a part with others", marks=pytest.mark.slow),
    ],
)
def test_a_video_that_kills_its_decoder_costs_that_video_alone(
    part_minutes: float, films: Path, start: Callable[..., Victim], tmp_path: Path
) -> None:
    """Whoever opens poison.mp4 in order to extract it dies; its neighbours do not suffer."""
    settings = (*SMALL, f"part_minutes={part_minutes}")
    store = tmp_path / "store"
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("short.mp4", "tiny.mp4"):
        shutil.copy(films / name, folder)
    poison = write_video(folder / "poison.mp4", numbered_frames(300, 320, 240), rate=25)
    victim = start(folder, store, *settings)
    # Before the record of the run is there the files are only probed.
    victim.wait_until(lambda: any((store / "runs").glob("*.json")))
    while victim.process.poll() is None:
        kill_whoever_opens(poison, victim.workers())
    assert victim.wait() == 3, victim.log.read_text()
    assert "failed: 'poison.mp4': the process that decoded it died" in victim.log.read_text()
    found = open_store(store)
    status = found.sql("SELECT video_id, status FROM videos ORDER BY 1").to_pylist()
    assert {line["video_id"]: line["status"] for line in status} == {
        "poison.mp4": "failed",
        "short.mp4": "ok",
        "tiny.mp4": "ok",
    }
    [failure] = found.sql("SELECT video_id, error FROM failures").to_pylist()
    assert failure == {"video_id": "poison.mp4", "error": "the process that decoded it died"}
    assert verify(found).problems == ()
    # Harmless by now: the next run tries it again, and it alone.
    again = extract(folder, store, *settings)
    assert again.summary.exit_status == 0
    assert {video for video, _ in again.computed} == {"poison.mp4"}
    assert again.store.sql("SELECT * FROM failures").num_rows == 0
