"""Extractions to S3: like those to a path, through troubles and after a kill."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reelbank.stores.care.verify import verify
from reelbank.stores.files import Files
from reelbank.stores.store import open_store
from tests.chaos.victims import SMALL
from tests.jobs.commands import reelbank
from tests.jobs.extraction import command, differences, extract
from tests.s3.faults import Fault, FaultyProxy, Rule
from tests.shared_data import ROOT
from tests.videos import numbered_frames, write_video

SETTINGS = (*SMALL, "part_minutes=0.05")
"""Parts of three seconds."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, numbered_frames(5 * 20, 96, 72), rate=20)


@pytest.fixture(scope="module")
def undisturbed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the same extraction leaves in a folder."""
    done = extract(film, tmp_path_factory.mktemp("path") / "store", *SETTINGS)
    assert done.summary.exit_status == 0
    return done.store.fingerprint()


def words(film: Path, uri: str, *more: str) -> list[str]:
    sets = [word for one in SETTINGS for word in ("--set", one)]
    return ["extract", str(film), "--store", uri, *sets, *more]


def test_an_extraction_leaves_what_it_leaves_on_a_path(film, undisturbed, uri):
    done = extract(film, uri, *SETTINGS)
    assert done.summary.exit_status == 0
    assert done.store.fingerprint() == undisturbed
    assert verify(done.store).problems == ()
    again = extract(film, uri, *SETTINGS)
    assert again.computed == set()
    assert len(done.store.commits()) == len(again.store.commits())


@pytest.mark.slow
def test_an_extraction_on_ray_leaves_the_same(film, undisturbed, uri):
    done = command(*words(film, uri, "--json"), env={"RAY_ADDRESS": ""})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == {"film.mp4": "ok"}
    assert open_store(uri).fingerprint() == undisturbed


@pytest.mark.slow
def test_a_killed_extraction_goes_on_where_it_stopped(film, undisturbed, uri):
    kill_after(4, film, uri)
    before = open_store(uri).fingerprint()
    assert 4 <= len(before) < len(undisturbed)
    done = extract(film, uri, *SETTINGS)
    assert done.store.fingerprint() == undisturbed
    assert verify(done.store).problems == ()
    assert not {commit.run for commit in done.store.commits()} <= {done.summary.run}


def kill_after(num_commits: int, film: Path, uri: str) -> None:
    """Extract in a process that is killed once so many commits are there."""
    files = Files(uri)
    victim = subprocess.Popen(
        [sys.executable, "-m", "reelbank.jobs.cli", *words(film, uri, "--engine", "inline")],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with victim:
        while victim.poll() is None and len(files.list_names("commits")) < num_commits:
            time.sleep(0.005)
        assert victim.poll() is None, "it ended before it could be killed"
        victim.kill()


@pytest.mark.slow
def test_an_extraction_goes_through_troubles(patient, film, undisturbed, proxy: FaultyProxy, uri):
    proxy.set(
        Rule(Fault("answer", 500), every=9),
        Rule(Fault("answer", 503), every=7, skip=1),
        Rule(Fault("lost"), method="PUT", every=5),
        Rule(Fault("cut"), method="GET", every=4),
        Rule(Fault("slow", seconds=0.1), method="GET", every=3),
        Rule(Fault("freeze"), method="GET", skip=2, every=50),
    )
    done = extract(film, uri, *SETTINGS)
    assert done.summary.exit_status == 0, done.summary.errors
    assert {one.fault.kind for one in proxy.seen if one.fault} >= {"answer", "lost", "cut", "slow"}
    proxy.set()
    assert done.store.fingerprint() == undisturbed
    assert verify(done.store).problems == ()


# A server that stays dead: one sentence, an exit status, no traceback.


def complaint(answer) -> str:
    assert answer.status not in (0, None)
    assert "Traceback" not in answer.err
    [line] = [line for line in answer.err.splitlines() if line.startswith("reelbank: ")]
    return line


@pytest.mark.parametrize(
    "verb", [["query", "select 1"], ["info"], ["status"], ["verify"], ["report"]], ids="-".join
)
def test_a_dead_server_is_one_sentence(verb, impatient, proxy, uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_store(uri, create=True)
    proxy.set(Rule(Fault("answer", 503)))
    line = complaint(reelbank(*verb, "--store", uri))
    assert f"store {uri!r} cannot be read" in line
    assert "give the same command again" in line


def test_a_server_that_dies_under_way_is_told_and_the_rest_comes_later(
    impatient, film, undisturbed, proxy, uri
):
    proxy.set(Rule(Fault("answer", 503), skip=40))
    answer = reelbank(*words(film, uri, "--engine", "inline"))
    assert proxy.num_faults
    line = complaint(answer)
    assert answer.status == 3
    assert uri in line
    assert "the same command" in line
    proxy.set()
    visible = open_store(uri).fingerprint()
    assert visible.items() < undisturbed.items()
    assert extract(film, uri, *SETTINGS).store.fingerprint() == undisturbed


@pytest.mark.slow
def test_the_commands_read_a_store_on_s3(film, uri, tmp_path):
    assert reelbank(*words(film, uri, "--engine", "inline")).status == 0
    local = extract(film, tmp_path / "store", *SETTINGS).store
    assert differences(open_store(uri), local, "film.mp4") == []
    query = ("query", "select count(*) as n from detections", "--format", "json", "--store")
    assert reelbank(*query, uri).json == reelbank(*query, tmp_path / "store").json
    assert reelbank("info", "--store", uri, "--json").json["uri"] == uri
    assert reelbank("status", "--store", uri, "--json").json["state"] == "done"
    assert reelbank("verify", "--store", uri).status == 0
    assert reelbank("report", "--store", uri, "--output", tmp_path / "page.html").status == 0
    dry = reelbank(*words(film, uri, "--dry-run"))
    assert dry.status == 0
    assert "0 computed in 0 parts" in dry.out
