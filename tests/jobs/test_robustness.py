"""An extraction whose machine, cluster or user is in its way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reelbank.jobs.extract import ExtractRequest
from reelbank.jobs.recipe import load_recipe
from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.film import make_film
from tests.jobs.commands import refused
from tests.jobs.extraction import extract, extraction
from tests.videos import numbered_frames, write_video


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number, seconds in enumerate((2.0, 5.0, 3.0, 4.0)):
        write_video(folder / f"{number}.mp4", numbered_frames(int(seconds * 10), 128, 96), rate=10)
    return folder


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("resources.device=gpu", "cuda"),
        ("banks={1x: {kind: clip}}", "1x"),
        ("tracks.max_gap_seconds=0.5", "max_gap_seconds"),
    ],
)
def test_a_setting_that_could_only_fail_later_is_refused_at_once(setting, named):
    with pytest.raises(ValueError, match=named):
        load_recipe("default", [setting])


def test_more_extractors_than_the_cluster_holds_are_refused(films, tmp_path):
    setting = "resources.extractors=64"
    said = refused(
        "extract", films, "--store", tmp_path / "s", "--recipe", "shots", "--set", setting
    )
    assert "64 extractors" in said
    assert "resources.extractors" in said


def test_videos_share_parts_alike_whichever_was_probed_first(films, tmp_path):
    whole = extract([films], tmp_path / "whole", "part_minutes=0.12", recipe="shots")
    # As after a kill: some videos are known from the store, the others are probed anew.
    begun = tmp_path / "begun"
    extract([films / "3.mp4"], begun, "part_minutes=0.12", recipe="shots")
    again = extract([films], begun, "part_minutes=0.12", recipe="shots")
    packs = [[span.info.video_id for span in part.spans] for part in again.plan.parts]
    assert packs == [["0.mp4", "1.mp4"], ["2.mp4"]]
    assert [[span.info.video_id for span in part.spans] for part in whole.plan.parts] == [
        ["0.mp4", "1.mp4"],
        ["2.mp4", "3.mp4"],
    ]


def test_a_dry_run_tells_what_a_run_would_revive(films, tmp_path):
    film, store = films / "0.mp4", tmp_path / "s"
    extract([film], store, recipe="shots")
    extract([film], store, "shots.min_shot_frames=3", recipe="shots")
    request = ExtractRequest(inputs=(str(film),), store=str(store), settings=load_recipe("shots"))
    with extraction(request, dry=True) as job:
        found = job.plan()
    assert {(one.stage, one.action) for one in found.decisions} == {
        ("video", "reuse"),
        ("scores", "reuse"),
        ("shots", "reuse"),
    }


def test_control_c_says_that_the_same_command_goes_on(tmp_path):
    film = tmp_path / "film.mp4"
    make_film(film, FilmConfig(seed=0, seconds=30.0))
    command = [sys.executable, "-m", "reelbank.jobs.cli", "extract", str(film), "--store"]
    # A minute of work, if nobody stops it.
    command += [str(tmp_path / "s"), "--engine", "inline", "--set", "key_step_seconds=0.1"]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hears_control_c,
    ) as process:
        runs = tmp_path / "s" / "runs"
        while process.poll() is None and not (runs.is_dir() and os.listdir(runs)):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    # Python ends by the signal itself where it hit the body of an `exec`, as of a dataclass.
    assert process.returncode in (130, -signal.SIGINT), said
    assert "the same command goes on" in said
    assert "Traceback" not in said


def _hears_control_c():
    """Of a shell's background job, all children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
