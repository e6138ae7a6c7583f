"""A disk that fills up: a clear sentence, nothing half-visible, and a rerun that finishes."""

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reelbank.stores.care.verify import verify
from reelbank.stores.store import open_store
from tests.chaos.victims import SMALL
from tests.jobs.extraction import command, extract
from tests.videos import numbered_frames, write_video

SETTINGS = (*SMALL, "part_minutes=0.1")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, numbered_frames(20 * 20, 192, 144), rate=20)


@pytest.fixture(scope="module")
def undisturbed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    return extract(
        film, tmp_path_factory.mktemp("undisturbed") / "store", *SETTINGS
    ).store.fingerprint()


def words(film: Path, store: Path) -> list[str]:
    sets = [word for one in SETTINGS for word in ("--set", one)]
    return ["extract", str(film), "--store", str(store), "--engine", "inline", "--json", *sets]


def test_a_file_that_finds_no_room_leaves_its_stage_for_the_next_run(
    film: Path, undisturbed: dict, tmp_path: Path
) -> None:
    """Room for tables and commits, not for a bank's rows."""
    store = tmp_path / "store"
    limit = 9_000
    told = command(
        *words(film, store),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert told.returncode == 3, told.stderr
    summary = json.loads(told.stdout)
    assert summary["status"] == {"film.mp4": "failed"}
    assert "File too large" in summary["errors"]["film.mp4"]
    assert "Traceback" not in told.stderr
    finishes(film, store, undisturbed)


@contextmanager
def small_disk(folder: Path, num_bytes: int) -> Iterator[Path]:
    """A file system with that much room; skips where this process may not mount one."""
    folder.mkdir()
    size = f"size={num_bytes}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_leaves_the_rest_for_the_next_run(
    film: Path, undisturbed: dict, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 200_000) as disk:
        told = command(*words(film, disk / "store"))
        assert told.returncode in (2, 3), told.stderr
        assert "No space left on device" in told.stdout + told.stderr
        assert "Traceback" not in told.stderr
        before = open_store(disk / "store").fingerprint()
        assert before.keys() < undisturbed.keys()
        subprocess.run(["mount", "-o", "remount,size=50M", str(disk)], check=True)
        finishes(film, disk / "store", undisturbed)


def finishes(film: Path, store: Path, undisturbed: dict) -> None:
    """With room again the same command does what is missing, and nothing else."""
    before = open_store(store)
    assert verify(before).problems == ()
    visible = before.fingerprint()
    assert visible.items() < undisturbed.items()
    done = extract(film, store, *SETTINGS)
    assert done.summary.exit_status == 0
    assert done.store.fingerprint() == undisturbed
    assert not done.committed & {
        (video, stage) for video, stage, start, end in visible if end == float("inf")
    }
    assert verify(done.store).problems == ()
