"""Frozen records that cross folders.

Conventions: time is in seconds from the presentation stamp of the first frame shown (float64);
spans are half-open [start, end); boxes are x1 y1 x2 y2 in [0, 1] of the upright frame.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


class ContentError(ValueError):
    """The fault lies in a video's own bytes: another try would end alike, so it is committed."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a probe learns of a video: its identity, its stream and its clock."""

    video_id: str
    """Path below the INPUT folder, with suffix and '/' separators; a lone file: its name."""
    source: str
    """Absolute path, or URI, from which it was read."""
    digest: str
    """SHA-256 of the file's bytes, hexadecimal."""
    num_bytes: int
    """Size of the file."""
    modified_ns: int
    """Modification time of the file in nanoseconds since the epoch."""
    container: str
    """FFmpeg's name of the container format."""
    codec: str
    """FFmpeg's name of the video codec."""
    pixel_format: str
    """FFmpeg's name of the coded pixel format."""
    width: int
    """Width of the upright frame in pixels (rotation applied)."""
    height: int
    """Height of the upright frame in pixels."""
    rotation: int
    """Counter-clockwise degrees that turn decoded frames upright: 0, 90, 180, 270."""
    sample_aspect_ratio: float
    """Width of a pixel divided by its height, as coded (before rotation); 1.0 where unknown."""
    rate: float
    """Mean frames per second by the packets' stamps; for display and counted clocks only."""
    nominal_rate: Fraction
    """Frames per second that FFmpeg guesses (else the average); shot detection counts its minimum
    length with it, as PySceneDetect does. Never used for time."""
    time_base: Fraction
    """Seconds of one unit of the stream's presentation stamps."""
    origin_pts: int
    """Presentation stamp of the first frame shown, in units of the stream's time base; time 0."""
    clock: str
    """'stamps': time comes from presentation stamps; 'counted': the stream has none that rise, so
    time is the frame's number divided by `rate` (and the video is one part)."""
    declared_frames: int | None
    """Frames that the header claims; None where it is silent."""
    declared_seconds: float | None
    """Duration that the header claims; None where it is silent."""
    num_packets: int
    """Video packets to be shown, found by reading the container to its end; those that an edit list
    discards are left out."""
    end_seconds: float
    """Latest packet stamp plus its duration: where the timeline ends as far as packets tell."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A video's info and the places from which its decoding may begin."""

    info: VideoInfo
    keyframe_pts: tuple[int, ...]
    """Stamps of key frames that can be sought, rising, thinned to one a second; the first may be
    later than `origin_pts`. Empty: only decoding from the start is sound."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A span between two cuts."""

    start_seconds: float
    end_seconds: float
    start_frame: int
    """Index of the first picture, counted from 0 in presentation order."""
    end_frame: int
    """Index of the first picture after the shot."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector saw in one frame: parallel arrays, falling by score."""

    boxes: NDArray[np.float32]
    """(n, 4) x1 y1 x2 y2 in [0, 1] of the upright frame."""
    scores: NDArray[np.float32]
    """(n,) in [0, 1]; each back end states its calibration."""
    categories: tuple[str, ...]
    """n names, for example 'person'."""
    features: NDArray[np.float32] | None = None
    """(n, dim) RoI features of the detector, or None where they were not asked for."""
    appearance: NDArray[np.uint8] | None = None
    """(n, 48) coarse colour histogram of each box, for the tracker."""

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or len(self.categories) != count:
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and "
                f"{len(self.categories)} categories do not describe the same detections"
            )
        if np.any(np.diff(self.scores) > 0):
            raise ValueError("detections must fall by score; sort them before making the record")
        for name in ("features", "appearance"):
            array = getattr(self, name)
            if array is not None and len(array) != count:
                raise ValueError(f"{name} has {len(array)} rows for {count} detections")

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class Track:
    """Detections of one instance linked over time inside one shot."""

    category: str
    times: NDArray[np.float64]
    """(m,) key times, rising."""
    ranks: NDArray[np.int32]
    """(m,) rank of the detection within its key time (0 = best score)."""
    shot_id: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Something of a video that could not be had, and why."""

    video_id: str
    stage: str
    """'probe', 'decode', 'detections', 'bank:<name>', 'shots', 'tracks', ..."""
    start_seconds: float
    end_seconds: float | None
    """None: to the end, wherever that is."""
    error: str
    """One sentence."""
