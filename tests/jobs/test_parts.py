"""Parts, reuse and superseding: the same answer however the work is cut, and no work done twice."""

import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbank.jobs.extract import ExtractRequest
from reelbank.jobs.recipe import load_recipe
from reelbank.pipeline.plan import Plan
from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.film import make_film
from reelbank.stores.care.verify import verify
from reelbank.stores.store import Store, open_store
from tests.jobs.extraction import SMALL, Extracted, command, differences, extract, extraction
from tests.shared_data import shared_data
from tests.videos import numbered_frames, write_video

SECONDS = 14.0
BANKS = ("person", "clip", "object", "grid")
BANKLESS = (
    "detector={kind: hog, longest_side: 512, hit_threshold: 0.0}",
    "tracks={}",
    "backbones.main={short_side: 64}",
    "resources.threads=1",
)
PEOPLE = (*BANKLESS, *(f"banks.{bank}.kind={bank}" for bank in BANKS))
CLIPS = ("banks.clip.kind=clip", "backbones.main={short_side: 64}", "resources.threads=1")
"""Both are put on top of the recipe 'shots', which has neither detector nor banks."""


def run(inputs: Path, store: Path, *overrides: str, **options: Any) -> Extracted:
    return extract(inputs, store, *overrides, recipe="shots", **options)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People who walk, in several shots."""
    path = tmp_path_factory.mktemp("film") / "people.mp4"
    make_film(path, FilmConfig(seed=5, seconds=SECONDS, width=512, height=288))
    return path


@pytest.fixture(scope="module")
def whole(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    """The film in one part."""
    done = run(film, tmp_path_factory.mktemp("whole") / "store", *PEOPLE)
    assert done.summary.exit_status == 0
    return done


def backwards(found: Plan) -> Plan:
    return replace(found, parts=found.parts[::-1])


def in_parts(seconds: float, parts: int) -> str:
    return f"part_minutes={seconds / parts / 60}"


@pytest.mark.parametrize("parts", [2, 7])
def test_a_film_in_parts_gives_the_same_tables_and_rows(
    film: Path, whole: Extracted, parts: int, tmp_path: Path
) -> None:
    cut = run(film, tmp_path / "store", *PEOPLE, in_parts(SECONDS, parts), arrange=backwards)
    assert len(cut.plan.parts) == parts
    assert whole.store.table("links", film.name).num_rows > 10
    assert whole.store.table("shots", film.name).num_rows > 1
    assert len(whole.store.bank("person").rows(film.name)) > 10
    assert differences(whole.store, cut.store, film.name) == []
    assert verify(cut.store).is_sound


@pytest.mark.parametrize(
    "name", ["ax_bbb_pyramid3b.mp4", pytest.param("psd_testvideo.mp4", marks=pytest.mark.slow)]
)
def test_a_real_clip_in_parts_gives_the_same_tables_and_rows(name: str, tmp_path: Path) -> None:
    clip = shared_data() / "videos" / name
    whole = extract(clip, tmp_path / "whole", *SMALL)
    [info] = whole.store.sql("SELECT end_seconds, decoded_frames FROM videos").to_pylist()
    for parts in (2, 7):
        cut = extract(
            clip,
            tmp_path / str(parts),
            *SMALL,
            in_parts(info["end_seconds"], parts),
            arrange=backwards,
        )
        assert len(cut.plan.parts) == parts
        assert differences(whole.store, cut.store, name) == []
        assert whole.summary.frames_decoded == cut.summary.frames == info["decoded_frames"]


ENCODINGS = {
    "an open GOP": ("libx264", {"preset": "fast", "x264-params": "open-gop=1:keyint=24:bframes=3"}),
    "a GOP of 2 s": ("libx264", {"x264-params": "keyint=50:min-keyint=50:scenecut=0:bframes=3"}),
    "one key frame only": ("libx264", {"x264-params": "keyint=1000:scenecut=0"}),
    "HEVC with leading pictures": (
        "libx265",
        {"x265-params": "log-level=none:keyint=24:bframes=4"},
    ),
}
GOP_SECONDS = {"an open GOP": 1.0, "a GOP of 2 s": 2.0}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_spacing_of_key_frames_gives_the_same_in_five_parts(
    encoding: str, tmp_path: Path
) -> None:
    codec, options = ENCODINGS[encoding]
    path = write_video(
        tmp_path / "film.mp4",
        numbered_frames(250, 160, 120),
        rate=25,
        codec=codec,
        gop=50,
        options=options,
    )
    whole = run(path, tmp_path / "whole", *CLIPS)
    cut = run(path, tmp_path / "cut", *CLIPS, in_parts(10.0, 5), arrange=backwards)
    assert whole.summary.frames == whole.summary.frames_decoded == 250
    assert cut.summary.frames == 250
    assert differences(whole.store, cut.store, path.name) == []
    if encoding in GOP_SECONDS:
        # One clip span (8 x 8 frames at 30 Hz) and one GOP at each of the four borders, and the
        # frame by which the decoder learns that the last one wanted has left the screen.
        overlap = Fraction(64, 30) + Fraction(GOP_SECONDS[encoding])
        assert cut.summary.frames_decoded <= 250 + 4 * (float(overlap) * 25 + 2)


# Reuse.


@pytest.fixture
def first(film: Path, whole: Extracted, tmp_path: Path) -> Path:
    """A copy of the store of the whole film, to be extended."""
    return Path(shutil.copytree(whole.store.uri, tmp_path / "first"))


def test_nothing_is_done_twice(film: Path, first: Path) -> None:
    before = open_store(first).fingerprint()
    again = run(film, first, *PEOPLE)
    assert again.computed == set()
    assert again.summary.frames_decoded == 0
    assert again.store.fingerprint() == before


def test_a_bank_added_later_is_computed_alone_and_has_the_same_rows(
    film: Path, whole: Extracted, tmp_path: Path
) -> None:
    start = run(film, tmp_path / "store", *BANKLESS)
    assert start.stages == {"video", "scores", "detections", "shots", "tracks"}
    for bank in BANKS:
        added = run(film, tmp_path / "store", *BANKLESS, f"banks.{bank}.kind={bank}")
        assert added.stages == {f"bank:{bank}"}
        assert {stage for _, stage in added.committed} == {f"bank:{bank}"}
    assert differences(whole.store, added.store, film.name) == []


def test_another_threshold_decides_shots_and_tracks_again_without_decoding(
    film: Path, first: Path
) -> None:
    again = run(film, first, *PEOPLE, "shots.threshold=200")
    assert again.stages == {"shots", "tracks"}
    assert again.summary.frames_decoded == 0
    assert again.store.table("shots", film.name).num_rows == 1
    reasons = {one.stage: one.reason for one in again.plan.decisions if one.action == "compute"}
    assert "threshold 3.0 -> 200" in reasons["shots"]
    assert "shots" in reasons["tracks"]


def test_another_detector_setting_leaves_scores_and_clips_alone(film: Path, first: Path) -> None:
    again = run(film, first, *PEOPLE, "detector.hit_threshold=0.1")
    assert again.stages == {"detections", "tracks", "bank:person", "bank:object"}
    assert verify(again.store).is_sound


def test_settings_that_return_are_revived_without_computing(film: Path, first: Path) -> None:
    before = open_store(first).fingerprint()
    there = run(film, first, *PEOPLE, "detector.hit_threshold=0.1")
    assert there.store.fingerprint() != before
    back = run(film, first, *PEOPLE)
    assert back.computed == set()
    assert back.summary.frames_decoded == 0
    assert back.store.fingerprint() == before
    assert verify(back.store).is_sound


def test_another_part_length_reuses_what_is_there(film: Path, first: Path) -> None:
    again = run(film, first, *PEOPLE, in_parts(SECONDS, 3))
    assert again.computed == set()


@pytest.fixture
def shorts(tmp_path: Path) -> Path:
    """Four short videos that share a part."""
    folder = tmp_path / "shorts"
    folder.mkdir()
    for number, name in enumerate("abcd"):
        write_video(folder / f"{name}.mp4", numbered_frames(40 + number, 160, 120), rate=20, gop=20)
    return folder


def test_short_videos_share_a_part_and_are_replaced_one_by_one(
    shorts: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    done = run(shorts, store, *CLIPS)
    assert len(done.plan.parts) == 1
    assert done.summary.count("ok") == 4
    old = done.store.bank("clip").rows("b.mp4")
    write_video(shorts / "c.mp4", numbered_frames(55, 160, 120), rate=20, gop=20)
    again = run(shorts, store, *CLIPS)
    assert {video for video, _ in again.computed} == {"c.mp4"}
    assert {one.reason for one in again.plan.decisions if one.action == "compute"} == {
        "the file's content changed"
    }
    assert {video for video, _ in again.committed} == {"c.mp4"}
    assert again.summary.frames == again.store.table("scores", "c.mp4").num_rows == 55
    np.testing.assert_array_equal(again.store.bank("clip").rows("b.mp4"), old)
    fresh = run(shorts, tmp_path / "fresh", *CLIPS)
    for name in "abcd":
        assert differences(fresh.store, again.store, f"{name}.mp4") == []
    assert verify(again.store).is_sound


def work_on_frames(store: Store) -> dict[tuple[str, str, float, float], object]:
    """The fingerprint without the lines that say where each file lies."""
    return {key: one for key, one in store.fingerprint().items() if key[1] != "video"}


def test_a_touched_file_is_hashed_again_and_nothing_more(shorts: Path, tmp_path: Path) -> None:
    done = run(shorts, tmp_path / "store", *CLIPS)
    before = work_on_frames(done.store)
    os.utime(shorts / "a.mp4", ns=(10**18, 10**18))
    again = run(shorts, tmp_path / "store", *CLIPS)
    assert again.computed == {("a.mp4", "video")}
    assert work_on_frames(again.store) == before
    assert run(shorts, tmp_path / "store", *CLIPS).computed == set()


def test_a_moved_folder_is_the_same_input_at_another_place(shorts: Path, tmp_path: Path) -> None:
    done = run(shorts, tmp_path / "store", *CLIPS)
    before = work_on_frames(done.store)
    elsewhere = shorts.rename(tmp_path / "elsewhere")
    again = run(elsewhere, tmp_path / "store", *CLIPS)
    assert {stage for _, stage in again.computed} == {"video"}
    assert work_on_frames(again.store) == before
    sources = again.store.sql("SELECT source FROM videos").column("source").to_pylist()
    assert {Path(source).parent for source in sources} == {elsewhere}
    assert run(elsewhere, tmp_path / "store", *CLIPS).computed == set()


def test_limit_takes_the_first_videos_and_a_later_run_the_rest(
    shorts: Path, tmp_path: Path
) -> None:
    some = run(shorts, tmp_path / "store", *CLIPS, limit=2)
    assert set(some.summary.status) == {"a.mp4", "b.mp4"}
    rest = run(shorts, tmp_path / "store", *CLIPS)
    assert {video for video, _ in rest.computed} == {"c.mp4", "d.mp4"}
    assert rest.store.live().videos() == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert rest.summary.count("ok") == 4


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_lists_every_stage_with_its_reason_and_writes_nothing(
    shorts: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run(shorts, store, *CLIPS, limit=3)
    before = tree(tmp_path)
    sets = [word for one in (*CLIPS, "shots.min_shot_frames=3") for word in ("--set", one)]
    told = command(
        "extract",
        shorts,
        "--store",
        store,
        *sets,
        "--recipe",
        "shots",
        "--dry-run",
        "--json",
        "--engine",
        "inline",
    )
    assert told.returncode == 0, told.stderr
    assert tree(tmp_path) == before
    stages = {
        (one["video"], one["stage"]): (one["action"], one["reason"])
        for one in json.loads(told.stdout)["stages"]
    }
    assert len(stages) == 4 * 4
    assert stages["a.mp4", "scores"] == ("reuse", "committed before with the same inputs")
    assert stages["a.mp4", "bank:clip"][0] == "reuse"
    assert stages["a.mp4", "shots"] == ("compute", "changed: shots.min_shot_frames 15 -> 3")
    assert stages["d.mp4", "bank:clip"] == ("compute", "new video")


def test_a_dry_run_does_not_make_the_store(shorts: Path, tmp_path: Path) -> None:
    request = ExtractRequest(
        inputs=(str(shorts),),
        store=str(tmp_path / "store"),
        settings=load_recipe("shots", CLIPS),
        engine="inline",
    )
    with extraction(request, dry=True) as job:
        found = job.plan()
    assert {one.action for one in found.decisions} == {"compute"}
    assert not (tmp_path / "store").exists()
