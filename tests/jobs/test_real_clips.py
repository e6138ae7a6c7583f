"""The real clips, whole job: statuses, counts, stamps and shots against other implementations.

Shots are looked for in every clip, from one run over all of them; everything else of the default
recipe runs on a few clips of each kind, and on all of them among the slow tests.
"""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scenedetect import AdaptiveDetector, SceneManager, open_video

from tests.jobs.extraction import Extracted, differences, extract, lines
from tests.shared_data import shared_data

DAMAGED = {
    "ax_audio_only.mp4": "failed",
    "ax_mp3_cover_art.mp3": "failed",
    "tc_audio_only.mp3": "failed",
    "tc_audio_only.wav": "failed",
    "moviepy_empty.webm": "failed",
    "mp4p_truncated_10samples.mp4": "failed",
    "derived/not_a_video.mp4": "failed",
    "derived/truncated_moov_lost.mp4": "failed",
    "decord_corrupted.mp4": "partial",
    "oh_idr_lost.264": "partial",
    "derived/bitflip_foreman.264": "partial",
    "derived/truncated_60pct.mkv": "partial",
    "derived/truncated_faststart_60pct.mp4": "partial",
}
"""What MANIFEST.csv says of each clip that is not whole; all others are."""

DEPENDS_ON_THREADS = "derived/truncated_faststart_60pct.mp4"
"""The manifest counted it with several decoder threads: 5 to 7 frames."""

WITH_EVERYTHING = (
    "ax_bear_vp9_161x121.webm",
    "ax_h263.3gp",
    "decord_corrupted.mp4",
    "decord_rot90.mov",
    "derived/bitflip_foreman.264",
    "derived/gray_hevc.mp4",
    "derived/truncated_60pct.mkv",
    "mp4p_1frame_av1.mp4",
    "mmt_mot17_04_first8.mp4",
    "tc_discard_first_keyframe.mp4",
    "tc_non_zero_start.mp4",
)
EDITED = (
    "ax_bbb_pyramid3b.mp4",
    "chthomos_bbb_480p_30s.mp4",
    "derived/montage_a.mp4",
    "derived/vfr_bikes_drop3.mp4",
    "psd_testvideo.mp4",
    "skv_bikes.mp4",
    "tc_nasa_13013.mp4",
)
"""Clips with cuts, that PySceneDetect's own PyAV back end reads too."""

VARIABLE_RATE = ("derived/vfr_bikes_drop3.mp4",)
"""Of which PySceneDetect's frame numbers are times multiplied by a rate, and no counts."""


def manifest() -> dict[str, dict[str, str]]:
    with (shared_data() / "MANIFEST.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return {
        line["file"].removeprefix("videos/"): line
        for line in lines
        if line["file"].startswith("videos/")
    }


def run_over(clips: list[str], folder: Path, **recipe: str) -> Extracted:
    """One extraction of these clips, by a text file of their paths: their names are their ids."""
    paths = [str(shared_data() / "videos" / name) for name in clips]
    (folder / "clips.txt").write_text("\n".join(paths), encoding="utf-8")
    quick = () if recipe else ("detector.longest_side=320",)
    return extract(folder / "clips.txt", folder / "s", *quick, **recipe)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    """All 78 clips through one extraction of shots."""
    return run_over(sorted(manifest()), tmp_path_factory.mktemp("all"), recipe="shots")


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    """A few clips of each kind through the default recipe."""
    return run_over(list(WITH_EVERYTHING), tmp_path_factory.mktemp("some"))


def video_id(clip: str) -> str:
    return clip.rpartition("/")[2]


def expected_status() -> dict[str, str]:
    return {video_id(clip): DAMAGED.get(clip, "ok") for clip in manifest()}


def column(run: Extracted, table: str, clip: str, name: str) -> np.ndarray:
    found = run.store.table(table, video_id(clip)).sort_by(name)
    return found[name].to_numpy()


def test_every_clip_has_the_status_that_the_manifest_tells(everything):
    assert len(everything.summary.status) == 78
    wanted = expected_status()
    found = everything.summary.status
    assert {name: found[name] for name in wanted if found[name] != wanted[name]} == {}
    assert everything.summary.traces == []


def test_every_clip_that_is_not_whole_says_why_in_the_store(everything):
    sql = "SELECT video_id, error FROM failures WHERE error <> ''"
    told = {line["video_id"] for line in everything.store.sql(sql).to_pylist()}
    assert told == {video_id(clip) for clip in DAMAGED}
    assert set(everything.summary.errors) == told


def test_every_clip_gives_as_many_frames_as_the_manifest_counted(everything):
    sql = "SELECT video_id, decoded_frames FROM videos WHERE decoded_frames IS NOT NULL"
    found = {
        line["video_id"]: line["decoded_frames"] for line in everything.store.sql(sql).to_pylist()
    }
    counted = {
        video_id(clip): int(line["frames_decoded"])
        for clip, line in manifest().items()
        if DAMAGED.get(clip) != "failed" and clip != DEPENDS_ON_THREADS
    }
    assert {name: found[name] for name in counted if found[name] != counted[name]} == {}
    assert 5 <= found[video_id(DEPENDS_ON_THREADS)] <= 7
    assert everything.summary.frames_decoded == everything.summary.frames


def test_no_frame_was_decoded_twice_except_where_damage_was_met(everything):
    assert everything.summary.frames_used == everything.summary.frames


def test_stamps_are_those_of_a_second_implementation(everything):
    folder = shared_data() / "reference" / "timestamps"
    clips = json.loads((folder / "androidx_dumps.json").read_text())["clips"]
    compared = 0
    for clip, tracks in clips.items():
        stamps = np.array(tracks[0]["pts_us_sorted"]) / 1e6
        times = column(everything, "scores", clip, "time")
        if clip.endswith(".avi"):
            continue  # The container has no presentation stamps; each reader guesses its own.
        # Containers with a clock of milliseconds, or of 90 kHz, round in their own ways.
        np.testing.assert_allclose(times, stamps - stamps[0], atol=1.1e-3, err_msg=clip)
        compared += 1
    assert compared == len(clips) - 1


@pytest.mark.parametrize(
    ("clip", "dump"),
    [
        ("tc_nasa_13013.mp4", "tc_nasa_13013.stream0.json"),
        ("tc_non_zero_start.mp4", "tc_non_zero_start.stream0.json"),
    ],
)
def test_stamps_are_those_that_torchcodec_lists(everything, clip, dump):
    lines = json.loads((shared_data() / "reference" / "timestamps" / dump).read_text())
    stamps = np.array([float(line["pts_time"]) for line in lines])
    times = column(everything, "scores", clip, "time")
    np.testing.assert_allclose(times, stamps - stamps[0], atol=2e-6)


@pytest.mark.parametrize("clip", EDITED)
def test_shots_equal_pyscenedetects_own_to_the_frame(everything, clip):
    film = open_video(str(shared_data() / "videos" / clip), backend="pyav")
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(film)
    theirs = [start for start, _ in manager.get_scene_list(start_in_scene=True)]
    seconds = [start.seconds for start in theirs]
    ours = column(everything, "shots", clip, "start_seconds")
    np.testing.assert_allclose(ours, seconds, atol=1e-6)
    if clip not in VARIABLE_RATE:
        frames = [start.frame_num for start in theirs]
        assert column(everything, "shots", clip, "start_frame").tolist() == frames


def test_the_goldens_of_pyscenedetect_are_met(everything):
    path = shared_data() / "reference" / "shots" / "pyscenedetect_goldens.json"
    for clip, cuts in json.loads(path.read_text())["cuts"].items():
        starts = column(everything, "shots", clip, "start_frame").tolist()
        assert starts[1:] == cuts["AdaptiveDetector.default"], clip


def test_hard_cuts_are_where_people_saw_them(everything):
    truth = json.loads((shared_data() / "videos" / "groundtruth.json").read_text())["shots"]
    missed = []
    count = 0
    for clip, line in truth.items():
        if not (shared_data() / "videos" / clip).is_file():
            continue
        starts = column(everything, "shots", clip, "start_frame")
        for cut in line.get("hard_cuts", []):
            here = len(starts) > 0 and np.abs(starts - cut).min() <= 1
            count += 1
            missed += [] if here else [(clip, cut)]
    assert count == 25
    # PySceneDetect's adaptive detector itself misses these, with its default threshold.
    assert len(missed) <= 3, missed


def test_shots_follow_each_other_from_the_first_frame_to_the_last(everything):
    for name, status in everything.summary.status.items():
        shots = everything.store.table("shots", name).sort_by("shot_id").to_pylist()
        if status == "failed":
            assert shots == []
            continue
        assert shots[0]["start_seconds"] == 0.0
        assert all(one["end_seconds"] == other["start_seconds"] for one, other in pairwise(shots))
        [line] = everything.store.table("videos", name).to_pylist()
        assert shots[-1]["end_seconds"] == pytest.approx(line["covered_seconds"])


def test_the_default_recipe_gives_the_same_status_and_rows_at_every_key_time(some):
    wanted = expected_status()
    assert {name: wanted[name] for name in some.summary.status} == some.summary.status
    _check_rows(some)


def _check_rows(run: Extracted) -> None:
    """Every second from 0 to the last frame is a key time of every bank; boxes are in the frame."""
    for name, status in run.summary.status.items():
        if status == "failed":
            continue
        times = column(run, "scores", name, "time")
        key_times = np.arange(np.floor(times[-1] + 1e-6) + 1)
        for bank in ("clip", "person"):
            assert np.array_equal(run.store.bank(bank).times(name), key_times), (name, bank)
            assert np.isfinite(run.store.bank(bank).rows(name)).all()
        assert (run.store.bank("clip").counts(name) == 1).all()
        detections = run.store.table("detections", name)
        assert run.store.bank("person").counts(name).sum() == len(detections)
        for side in ("x1", "y1", "x2", "y2", "score"):
            values = detections[side].to_numpy()
            assert ((values >= 0) & (values <= 1)).all()


def test_damage_gives_the_same_every_time(some, tmp_path):
    clips = ["decord_corrupted.mp4", "derived/bitflip_foreman.264"]
    again = run_over(clips, tmp_path)
    assert again.summary.status == dict.fromkeys(map(video_id, clips), "partial")
    for clip, frames in zip(clips, (49, 291), strict=True):
        assert len(column(again, "scores", clip, "time")) == frames
        assert differences(again.store, some.store, video_id(clip)) == []


@pytest.mark.slow
def test_damage_gives_the_same_on_ten_runs(some, tmp_path):
    clips = ["decord_corrupted.mp4", "derived/bitflip_foreman.264"]
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        again = run_over(clips, tmp_path / str(number), recipe="shots")
        for clip in clips:
            assert lines(again.store, "scores", video_id(clip)).equals(
                lines(some.store, "scores", video_id(clip))
            )


@pytest.mark.slow
def test_all_clips_go_through_the_default_recipe(tmp_path):
    run = run_over(sorted(manifest()), tmp_path)
    assert run.summary.status == expected_status()
    assert run.summary.traces == []
    _check_rows(run)
