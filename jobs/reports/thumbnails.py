"""Key frames of a video as small JPEG pictures, with the boxes of what was seen in them."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reelbank.jobs.reports.clock import clock_text
from reelbank.jobs.reports.colours import track_colour
from reelbank.jobs.reports.contents import Contents
from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.decode.reader import Frame, PyAVReader
from reelbank.stores.records import ContentError, Probe

LONG_SIDE = 320
"""Pixels of a thumbnail's longer side."""
JPEG_QUALITY = 78
MAX_DECODED_FRAMES = 6000
"""A video's pictures are given up beyond so many decoded frames (few key frames, or none)."""
MAX_BOXES = 40
"""Most boxes drawn on one picture, the best ones."""
DECODER_THREADS = 2


@dataclass(frozen=True, slots=True)
class Box:
    """A box over a thumbnail, in percent of its width and height."""

    left: float
    top: float
    width: float
    height: float
    colour: str
    name: str
    """Short label: the track's number, or nothing."""
    title: str


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture of a video."""

    time: str
    shot_id: int | None
    jpeg: str
    """Base64."""
    width: int
    height: int
    boxes: tuple[Box, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A moment to be shown."""

    time: float
    shot_id: int | None
    boxes: tuple[Box, ...]


def thumbnail_times(contents: Contents, *, at_most: int) -> list[tuple[float, int | None]]:
    """Times to show and their shots, rising: the fullest key time of each shot.

    Of more shots than `at_most`, evenly many; without shots, even steps through the film.
    """
    seen, counts = np.unique(contents.sightings.times, return_counts=True)
    if not contents.shots:
        count = max(1, min(at_most, int(contents.seconds / 5)))
        even = (np.arange(count) + 0.5) * contents.seconds / count
        if len(seen):
            even = seen[np.abs(seen[None] - even[:, None]).argmin(axis=1)]
        return [(float(time), None) for time in np.unique(even)]
    chosen = np.unique(np.linspace(0, len(contents.shots) - 1, at_most).round().astype(int))
    times: list[tuple[float, int | None]] = []
    for number in chosen.tolist():
        shot = contents.shots[number]
        middle = (shot["start_seconds"] + shot["end_seconds"]) / 2
        inside = (seen >= shot["start_seconds"]) & (seen < shot["end_seconds"])
        if inside.any():
            best = seen[inside][counts[inside] == counts[inside].max()]
            middle = float(best[np.abs(best - middle).argmin()])
        times.append((middle, int(shot["shot_id"])))
    return times


def make_thumbnails(contents: Contents, *, at_most: int) -> tuple[list[Thumbnail], str | None]:
    """Pictures of a video from its file, and one sentence where some or all could not be had."""
    wanted = [
        Wanted(time, shot_id, _boxes(contents, time))
        for time, shot_id in thumbnail_times(contents, at_most=at_most)
    ]
    return thumbnails_of(contents.video, wanted)


def thumbnails_of(
    video: Mapping[str, Any], wanted: Sequence[Wanted]
) -> tuple[list[Thumbnail], str | None]:
    """The same of any moments (rising) of a line of `videos`."""
    try:
        found = _probe(video)
        frames = list(_pictures(video["source"], found, [one.time for one in wanted]))
    except FileNotFoundError:
        return [], "The file is no longer where it was read from, so there are no pictures."
    except (ContentError, OSError) as error:
        return [], f"There are no pictures: {error}"
    thumbnails = [_thumbnail(found, wanted[number], picture) for number, picture in frames]
    if len(thumbnails) < len(wanted):
        missing = f"{len(wanted) - len(thumbnails)} of {len(wanted)} pictures are left out: "
        return thumbnails, missing + "decoding up to them would take too long, or gave nothing."
    return thumbnails, None


def _probe(video: Mapping[str, Any]) -> Probe:
    path = Path(video["source"])
    state = path.stat()
    if video["num_bytes"] not in (None, state.st_size):
        raise ContentError("the file has changed since it was extracted; extract it again")
    return probe(
        str(path),
        video_id=video["video_id"],
        source=video["source"],
        digest=video["digest"],
        num_bytes=state.st_size,
        modified_ns=state.st_mtime_ns,
    )


def _pictures(
    path: str, found: Probe, times: Sequence[float]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Number in `times` (rising) and RGB of the frame on screen at each, by few seeks."""
    info = found.info
    starts = np.array(found.keyframe_pts, np.float64)
    start_times = (starts - info.origin_pts) * float(info.time_base)
    groups = np.searchsorted(start_times, np.asarray(times) + 1e-6, side="right") - 1
    budget = MAX_DECODED_FRAMES
    for group, numbers in groupby(range(len(times)), key=lambda number: int(groups[number])):
        waiting = list(numbers)
        start_pts = found.keyframe_pts[group] if group >= 0 else None
        with PyAVReader(path, info, start_pts=start_pts, threads=DECODER_THREADS) as reader:
            last: Frame | None = None
            for frame in reader:
                while last is not None and waiting and frame.time > times[waiting[0]] + 1e-6:
                    yield waiting.pop(0), last.rgb
                last = frame
                if not waiting or reader.num_decoded >= budget:
                    break
            else:
                for number in waiting if last is not None else ():
                    assert last is not None
                    yield number, last.rgb
            budget -= reader.num_decoded
        if budget <= 0:
            return


def _thumbnail(found: Probe, wanted: Wanted, picture: NDArray[np.uint8]) -> Thumbnail:
    aspect = found.info.sample_aspect_ratio
    if found.info.rotation in (90, 270):
        aspect = 1 / aspect
    height, width = picture.shape[0], picture.shape[1] * aspect
    scale = LONG_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    time = clock_text(wanted.time)
    where = "" if wanted.shot_id is None else f", shot {wanted.shot_id}"
    return Thumbnail(
        time=time,
        shot_id=wanted.shot_id,
        jpeg=base64.b64encode(encoded.tobytes()).decode(),
        width=size[0],
        height=size[1],
        boxes=wanted.boxes,
        alt=f"{found.info.video_id} at {time}{where}, {len(wanted.boxes)} boxes",
    )


def _boxes(contents: Contents, time: float) -> tuple[Box, ...]:
    found = contents.sightings
    boxes = []
    for number in found.at(time)[:MAX_BOXES]:
        x1, y1, x2, y2 = (round(100 * float(corner), 2) for corner in found.boxes[number])
        track_id = found.track_ids[number]
        name = "no track" if track_id is None else f"track {track_id}"
        boxes.append(
            Box(
                left=x1,
                top=y1,
                width=round(x2 - x1, 2),
                height=round(y2 - y1, 2),
                colour=track_colour(track_id),
                name="" if track_id is None else str(track_id),
                title=f"{found.categories[number]}, {name}, score {found.scores[number]:.2f}",
            )
        )
    return tuple(boxes)
