"""The frames on screen at given times of a film, without decoding what lies before their GOP.

What an extraction shows a network at these times is the same to the bit, wherever decoding begins:
the same reader, the same clock, the same rule of which frame is on screen. (Damaged spans are the
exception: what a decoder makes of them depends on what it has seen before.)
"""

import math
from collections.abc import Sequence

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from reelbank.pipeline.decode.container import (
    open_container,
    raise_if_environment,
    read_packets,
    video_stream,
)
from reelbank.pipeline.decode.probe import SEEKABLE_FORMATS
from reelbank.pipeline.decode.reader import Damaged, Frame, PyAVReader
from reelbank.pipeline.decode.sampling import TIME_TOLERANCE, OnScreen
from reelbank.stores.records import ContentError, VideoInfo

SEEK_BACK_SECONDS = (0.0, 2.0, 15.0)
"""How far before a time the container is sought, one after the other, until a key frame is found
that is shown before it: demuxers seek by decoding times, and indexes lie."""


def frames_at(
    info: VideoInfo, times: Sequence[float], *, threads: int = 1
) -> list[NDArray[np.uint8]]:
    """(H, W, 3) upright RGB of the frames on screen at `times`, which must rise.

    A time before the first or after the last frame gets that end frame; times that show the same
    frame get the same array. Raises ContentError where nothing can be decoded, OSError where the
    file cannot be read.
    """
    start = key_frame_before(info, times[0]) if times else None
    try:
        return _decoded(info, times, start, threads)
    except Damaged:  # With several threads the frames that survive would depend on timing.
        return _decoded(info, times, start, 1)


def key_frame_before(info: VideoInfo, time: float) -> int | None:
    """Stamp of the last key frame shown at or before a time; None: begin at the start."""
    is_sound = info.clock == "stamps" and info.container in SEEKABLE_FORMATS
    target = info.origin_pts + math.floor((time + TIME_TOLERANCE) / info.time_base)
    if not is_sound or target <= info.origin_pts:
        return None
    with open_container(info.source) as container:
        stream = video_stream(container, info.source)
        for seconds in SEEK_BACK_SECONDS:
            try:
                container.seek(target - int(seconds / info.time_base), stream=stream)
            except FFmpegError as error:
                raise_if_environment(error)
                continue
            found = None
            for packet in read_packets(container, stream):
                if isinstance(packet, FFmpegError) or packet.pts is None:
                    continue
                if packet.dts is not None and packet.dts > target:
                    break
                if packet.is_keyframe and info.origin_pts < packet.pts <= target:
                    found = packet.pts if found is None else max(found, packet.pts)
            if found is not None:
                return found
    return None


def _decoded(
    info: VideoInfo, times: Sequence[float], start: int | None, threads: int
) -> list[NDArray[np.uint8]]:
    shown: OnScreen[Frame, int] = OnScreen([(time, number) for number, time in enumerate(times)])
    found: list[NDArray[np.uint8]] = []
    with PyAVReader(
        info.source, info, start_pts=start, threads=threads, stop_on_damage=True
    ) as reader:
        for frame in reader:
            found += [served.rgb for _, served in shown.push(frame)]
            if not shown.pending:
                break
        found += [served.rgb for _, served in shown.finish()]
    if len(found) < len(times):
        raise ContentError(
            f"{info.source}: not one frame could be decoded at {times[0]:.3f} s; "
            "take the film out, or give a whole file"
        )
    return found
