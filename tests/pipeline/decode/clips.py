"""The real clips, what their manifest says of them, and how to probe and read one."""

import csv
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.stores.records import Probe, VideoInfo
from tests.shared_data import shared_data

TRUNCATED_INDEX_PRESENT = "derived/truncated_faststart_60pct.mp4"
"""Its number of frames depends on the decoder's threads: 5 with FFmpeg's own choice, 7 with one."""

DAMAGED = {
    "decord_corrupted.mp4",
    "oh_idr_lost.264",
    "derived/bitflip_foreman.264",
    "derived/truncated_60pct.mkv",
    TRUNCATED_INDEX_PRESENT,
}


@dataclass(frozen=True, slots=True)
class Clip:
    """A line of the manifest."""

    name: str
    """Path below the folder of videos."""
    frames: int
    rotation: int
    width: int
    height: int
    decode_errors: int


def clip_path(name: str) -> str:
    return str(shared_data() / "videos" / name)


@cache
def decodable_clips() -> dict[str, Clip]:
    """The clips of which some frame decodes and that are not cover art, by name."""
    with open(shared_data() / "MANIFEST.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["file"].startswith("videos/")]
    clips = [
        Clip(
            name=line["file"].removeprefix("videos/"),
            frames=int(line["frames_decoded"]),
            rotation=int(line["rotation"] or 0) % 360,
            width=int(line["width"]),
            height=int(line["height"]),
            decode_errors=int(line["decode_errors"]),
        )
        for line in lines
        if int(line["frames_decoded"] or 0) and not line["file"].endswith(".mp3")
    ]
    return {clip.name: clip for clip in clips}


def probe_file(path: str | Path) -> Probe:
    path = str(path)
    return probe(
        path, video_id=Path(path).name, source=path, digest="0", num_bytes=1, modified_ns=0
    )


@cache
def probe_clip(name: str) -> Probe:
    return probe_file(clip_path(name))


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a reader gave."""

    times: list[float]
    digests: list[int]
    """Of the RGB pixels; empty where they were not asked for."""
    reader: PyAVReader


def decode(
    path: str | Path,
    info: VideoInfo,
    *,
    start_pts: int | None = None,
    threads: int = 1,
    pixels: bool = True,
) -> Decoded:
    times, digests = [], []
    with PyAVReader(str(path), info, start_pts=start_pts, threads=threads) as reader:
        for frame in reader:
            times.append(frame.time)
            if pixels:
                digests.append(zlib.crc32(frame.rgb))
    return Decoded(times, digests, reader)


@cache
def decode_clip(name: str) -> Decoded:
    """Times and tallies of a clip on one thread."""
    return decode(clip_path(name), probe_clip(name).info, pixels=False)
