"""The real clips, whole job: statuses, counts, stamps and shots against other implementations.

Shots are looked for in every clip, from one run over all of them; everything else of the default
recipe runs on a few clips of each kind, and on all of them among the slow tests.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scenedetect import AdaptiveDetector, SceneManager, open_video

from reelbank.stores.store import open_store
from tests.jobs.extraction import Extracted, extract
from tests.shared_data import ROOT, shared_data

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
    "ax_phone_vfr_hevc_rot.mp4",
    "cve_vid1_header74_decoded56.mp4",
    "decord_corrupted.mp4",
    "decord_rot90.mov",
    "derived/bitflip_foreman.264",
    "derived/gray_hevc.mp4",
    "derived/truncated_60pct.mkv",
    "mp4p_1frame_av1.mp4",
    "mmt_mot17_04_first8.mp4",
    "tc_discard_first_keyframe.mp4",
    "tc_non_zero_start.mp4",
    "tc_odd_321x241_h264_444.mp4",
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

KEPT_QUICK = ("detector.longest_side=320", "resources.threads=2")


def manifest() -> dict[str, dict[str, str]]:
    with (shared_data() / "MANIFEST.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return {
        line["file"].removeprefix("videos/"): line
        for line in lines
        if line["file"].startswith("videos/")
    }


def names() -> list[str]:
    """Every clip; none where the shared data are absent."""
    folder = ROOT.parent / "shared" / "data" / "videos"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    """All 78 clips through one extraction of shots, by a list of paths."""
    return extract(_list_of(sorted(manifest()), tmp_path_factory), _store(tmp_path_factory), recipe="shots")


def _list_of(clips: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of paths below a link to the clips, so that their folder gives their names."""
    folder = tmp_path_factory.mktemp("list")
    for name in clips:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).hardlink_to(shared_data() / "videos" / name)
    (folder / "clips.txt").write_text("\n".join(clips), encoding="utf-8")
    return folder / "clips.txt"


def _store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "s"
