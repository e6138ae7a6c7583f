"""Videos with known answers: every frame carries its number, readable after compression.

The number is 24 blocks, dark or bright, on a grid of 8 x 6 whose other 24 blocks are their
complements, so that a wrong reading is noticed. It survives lossy coding at low rates and
downscaling to a short side of 112 pixels (blocks of 14 pixels).
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 8, 6
NUM_BITS = COLUMNS * ROWS // 2
DARK, BRIGHT = 24, 232

RGB = NDArray[np.uint8]


def numbered_frame(index: int, width: int = 320, height: int = 240) -> RGB:
    """(height, width, 3) uint8 gray picture of the number `index`, below 2**24."""
    if not 0 <= index < 2**NUM_BITS:
        raise ValueError(f"index={index} does not fit {NUM_BITS} bits")
    bits = (index >> np.arange(NUM_BITS)) & 1
    cells = np.concatenate([bits, 1 - bits]).reshape(ROWS, COLUMNS)
    levels = np.where(cells, BRIGHT, DARK).astype(np.uint8)
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    return np.repeat(levels[rows][:, columns, None], 3, axis=2)


def read_number(rgb: RGB) -> int:
    """Read the number of a picture made by `numbered_frame`, of any size; ValueError if unclear."""
    cells = _cell_means(rgb) > (DARK + BRIGHT) / 2
    bits, complements = cells.reshape(2, NUM_BITS)
    if np.any(bits == complements):
        raise ValueError("this picture carries no readable number")
    return int(np.sum(bits.astype(np.int64) << np.arange(NUM_BITS)))


def _cell_means(rgb: RGB) -> NDArray[np.float64]:
    height, width = rgb.shape[:2]
    means = np.empty((ROWS, COLUMNS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            y, x = (row + 0.5) * height / ROWS, (column + 0.5) * width / COLUMNS
            dy, dx = max(height / ROWS / 4, 0.5), max(width / COLUMNS / 4, 0.5)
            block = rgb[int(y - dy) : int(y + dy) + 1, int(x - dx) : int(x + dx) + 1]
            means[row, column] = block.mean()
    return means


def numbered_frames(count: int, width: int = 320, height: int = 240) -> Iterator[RGB]:
    """Pictures 0, 1, ... count - 1."""
    return (numbered_frame(index, width, height) for index in range(count))


def write_video(
    path: Path,
    frames: Iterable[RGB],
    *,
    rate: int | Fraction = 25,
    times: Sequence[float] | None = None,
    start: float = 0.0,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    bframes: int | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode RGB frames; the suffix of `path` chooses the container.

    The stamps are `start` + index / rate, or `start` + `times` (seconds, rising, rounded to the
    tick of 1/90000 s) for variable rates. `bframes` None leaves it to the encoder. `rotation` is
    what a player turns the picture by, counter-clockwise. Encoders in PyAV's wheel: libx264,
    libx265, libvpx-vp9, libvpx, libsvtav1, mpeg4, mpeg2video, mpeg1video, msmpeg4v2, h263, ffv1.
    """
    # Codecs of the MPEG-1/2/4 family write the rate into the stream and need whole steps of it.
    exact = times is None and (start * rate) % 1 == 0
    tick = 1 / Fraction(rate) if exact else Fraction(1, 90_000)
    pictures = iter(frames)
    first = next(pictures)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = first.shape[:2]
        context = stream.codec_context
        stream.pix_fmt = pix_fmt
        context.time_base = tick
        stream.time_base = tick
        context.gop_size = gop
        context.thread_count = 1
        if bframes is not None:
            context.max_b_frames = bframes
        context.options = _encoder_options(codec, gop) | (options or {})
        if rotation:
            stream.set_display_rotation(rotation)
        for index, rgb in enumerate(chain([first], pictures)):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            time = times[index] if times is not None else Fraction(index) / rate
            picture.pts = round((Fraction(time) + Fraction(start)) / tick)
            picture.time_base = tick
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _encoder_options(codec: str, gop: int) -> dict[str, str]:
    """Fast settings, and quiet: the encoders write to the terminal themselves."""
    if codec == "libx264":
        return {"preset": "ultrafast", "crf": "23", "x264-params": "scenecut=0"}
    if codec == "libx265":
        return {"preset": "ultrafast", "x265-params": f"log-level=none:keyint={gop}:scenecut=0"}
    if codec.startswith("libvpx"):
        return {"deadline": "realtime", "cpu-used": "8", "b": "1M"}
    if codec == "libsvtav1":
        return {"preset": "12", "svtav1-params": f"keyint={gop}:lp=1"}
    return {"b": "2M"}
