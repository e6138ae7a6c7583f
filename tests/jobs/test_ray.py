"""The same work on Ray: a local one, a cluster at RAY_ADDRESS, and a submitted job."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reelbank.stores.store import open_store
from tests.jobs.broken_films import cut, damaged, good
from tests.jobs.extraction import extract
from tests.shared_data import ROOT

SETTINGS = ("resources.threads=1", "part_minutes=0.05")
"""Parts of three seconds, so that there are some to share out."""

DRIVER = """
import contextlib, json, pickle, sys
from reelbank.jobs import ray_engine
from reelbank.jobs.cli import main
from reelbank.jobs.ray_engine import RayEngine

sizes, stored = [], []

class Watched(RayEngine):
    def submit(self, task):
        sizes.append(len(pickle.dumps(task)))
        super().submit(task)

    def next(self):
        outcome = super().next()
        sizes.append(len(pickle.dumps(outcome)))
        return outcome

    def close(self):
        from ray._private.internal_api import memory_summary
        stored.append(memory_summary(stats_only=True))
        super().close()

ray_engine.RayEngine = Watched
with contextlib.suppress(SystemExit):
    main()
facts = {"heavy": sorted({"torch", "torchvision"} & set(sys.modules)), "sizes": sizes}
print(json.dumps(facts | {"stored": stored}), file=sys.stderr)
"""


def run(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A Python process of its own at the repository's root."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"} | (env or {}),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def arguments(films: Path, store: Path) -> list[str | Path]:
    """Words after `reelbank`."""
    changed = [word for setting in SETTINGS for word in ("--set", setting)]
    return ["extract", films, "--store", store, *changed, "--json"]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    good(folder / "long.mp4", 200, gop=25)
    good(folder / "short.mp4")
    damaged(folder / "damaged.mp4", first=20, last=24)
    cut(good(folder / "cut.mp4"), 0.5)
    return folder


@pytest.fixture(scope="module")
def inline(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return extract(films, tmp_path_factory.mktemp("inline") / "s", *SETTINGS)


@dataclass(frozen=True)
class OnRay:
    """A run on a local Ray, and what was seen of its driver."""

    store: Path
    summary: dict[str, Any]
    facts: dict[str, Any]


@pytest.fixture(scope="module")
def local(films: Path, tmp_path_factory: pytest.TempPathFactory) -> OnRay:
    store = tmp_path_factory.mktemp("ray") / "s"
    done = run("-c", DRIVER, *arguments(films, store), env={"RAY_ADDRESS": ""})
    assert done.returncode == 0, done.stderr
    assert done.stdout, done.stderr
    [told] = [line for line in done.stderr.splitlines() if line.startswith('{"heavy"')]
    facts = json.loads(told)
    return OnRay(store, json.loads(done.stdout), facts)


def test_a_run_on_ray_leaves_what_a_run_in_one_process_leaves(local, inline):
    assert open_store(local.store).fingerprint() == inline.store.fingerprint()
    assert local.summary["status"] == inline.summary.status
    assert local.summary["errors"] == inline.summary.errors
    assert local.summary["frames_decoded"] == inline.summary.frames_decoded


def test_the_driver_of_a_run_on_ray_never_imports_torch(local):
    assert local.facts["heavy"] == []


def test_frames_do_not_travel_between_processes(local, inline):
    frame_bytes = 96 * 72 * 3
    assert inline.summary.frames > 250
    assert len(local.facts["sizes"]) >= 2 * 4
    assert max(local.facts["sizes"]) < frame_bytes
    [stored] = local.facts["stored"]
    assert "Plasma memory usage 0 MiB, 0 objects" in stored, stored


# A head on loopback. It is told apart from every other Ray by its own folder and ports.


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Head:
    """A Ray that runs beside the tests."""

    address: str
    dashboard: str
    env: dict[str, str]
    """What its clients must know: a token made for this head alone, since Ray may ask for one."""


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    ports = {name: free_port() for name in ("ray", "dashboard", "client")}
    # Short, because the names of sockets below it must stay under 107 bytes.
    folder = tempfile.mkdtemp(prefix="rb-", dir="/tmp")
    ray = Path(sys.executable).with_name("ray")
    words = [
        *(ray, "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=2"),
        *("--node-ip-address=127.0.0.1", f"--port={ports['ray']}"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={ports['dashboard']}"),
        *(f"--ray-client-server-port={ports['client']}", f"--temp-dir={folder}"),
        f"--object-store-memory={100 * 2**20}",
    ]
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    dashboard = f"http://127.0.0.1:{ports['dashboard']}"
    found = Head(f"127.0.0.1:{ports['ray']}", dashboard, env)
    process = subprocess.Popen(
        list(map(str, words)),
        cwd=ROOT,
        env=os.environ | env | {"PATH": f"{ray.parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_it_takes_jobs(found, process)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_it_takes_jobs(head: Head, process: subprocess.Popen[bytes]) -> None:
    request = urllib.request.Request(f"{head.dashboard}/api/jobs/")
    request.add_header("Authorization", f"Bearer {head.env['RAY_AUTH_TOKEN']}")
    for _ in range(240):
        assert process.poll() is None, "ray start ended"
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError("the head did not come up")


@pytest.mark.slow
def test_an_existing_cluster_is_joined_by_its_address(head, films, inline, tmp_path):
    words = ("-m", "reelbank.jobs.cli", *arguments(films, tmp_path / "s"))
    done = run(*words, env=head.env | {"RAY_ADDRESS": head.address})
    assert done.returncode == 3, done.stderr
    assert open_store(tmp_path / "s").fingerprint() == inline.store.fingerprint()
    jobs = run("-c", JOBS, env=head.env | {"RAY_ADDRESS": head.address})
    assert int(jobs.stdout) >= 1, jobs.stderr


JOBS = """
import ray
ray.init(log_to_driver=False, logging_level="ERROR")
from ray._private.state import state
print(sum(one["IsDead"] for one in state.job_table()))
"""


@pytest.mark.slow
def test_a_job_is_submitted_as_the_readme_says(head, films, inline, tmp_path):
    ray = Path(sys.executable).with_name("ray")
    words = ["job", "submit", "--address", head.dashboard, "--", "reelbank"]
    done = subprocess.run(
        [ray, *words, *map(str, arguments(films, tmp_path / "s"))],
        cwd=tmp_path,
        env=os.environ | head.env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    # Some films are damaged: the job ends with status 3, and its submission says so.
    assert done.returncode != 0
    assert "exit code 3" in done.stdout + done.stderr, done.stdout + done.stderr
    assert open_store(tmp_path / "s").fingerprint() == inline.store.fingerprint()
