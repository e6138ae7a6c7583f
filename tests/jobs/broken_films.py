"""Files that are no videos, or no whole ones, made here with a known fault."""

import random
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from tests.videos import numbered_frames, write_video

RATE = 25
NUM_FRAMES = 50
SIZE = (96, 72)


def good(path: Path, count: int = NUM_FRAMES, **options: object) -> Path:
    """Two seconds of numbered frames, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, numbered_frames(count, *SIZE), rate=RATE, **options)


def audio(path: Path, *, cover: bool = False) -> Path:
    """A second of silence, with a cover picture that poses as a video stream if wished."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16_000)
        sound.layout = "mono"
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = Disposition.attached_pic
        for index in range(16):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, index * 1024
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        if cover:
            shown = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            shown.pts = 0
            container.mux(picture.encode(shown))
            container.mux(picture.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def index_first(path: Path) -> Path:
    """A good film whose index precedes the pictures, as for streaming."""
    whole = good(path.with_name(f"plain_{path.name}"))
    with av.open(str(whole)) as source:
        stream = source.streams.video[0]
        with av.open(str(path), "w", options={"movflags": "faststart"}) as target:
            copy = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
    whole.unlink()
    return path


def damaged(path: Path, *, first: int, last: int) -> Path:
    """A film of which the packets `first` to `last` (of its 50) are random bytes."""
    good(path, gop=10, bframes=0)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    noise = random.Random(7)
    for position, size in places[first : last + 1]:
        # All ones first: no length of a unit inside a packet can be so great.
        data[position : position + size] = b"\xff\xff\xff\xff" + noise.randbytes(size - 4)
    path.write_bytes(data)
    return path
