"""Pictures into a film: H.264, the same bytes for the same pictures."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray


class FilmWriter:
    """Encodes pictures in order; a context manager, and the film is whole when it is left."""

    def __init__(
        self, path: Path, *, width: int, height: int, rate: int, separate_seconds: bool = False
    ) -> None:
        """`path` decides the container by its suffix; `rate` is in frames per second.

        With `separate_seconds` each second is coded by itself and all at one quality: nothing that
        was shown before leaves a trace in it.
        """
        self._rate = rate
        self._count = 0
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, rate)
        # Slices of several threads would make the bytes depend on their number.
        self._stream.codec_context.thread_count = 1
        if separate_seconds:
            # Neither the quality nor the place of key frames may follow from earlier pictures.
            own = {"qp": "22", "g": str(rate), "sc_threshold": "0"}
        else:
            own = {"crf": "20", "g": str(2 * rate)}
        self._stream.options = {"preset": "superfast", **own}

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append one (height, width, 3) RGB picture."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = self._count
        frame.time_base = Fraction(1, self._rate)
        self._container.mux(self._stream.encode(frame))
        self._count += 1

    def __enter__(self) -> "FilmWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
