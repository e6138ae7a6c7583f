"""Decode a video with PyAV: frames in presentation order, with the time each comes on screen.

One reader has one container and belongs to one thread at a time; its frames may be converted to
RGB by other threads. Damage is survived: decoding goes on with the next packet that decodes.
"""

import heapq
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from reelbank.pipeline.decode.clock import PLAUSIBLE_DURATION_SHARE, Clock, clock_of
from reelbank.pipeline.decode.container import (
    Read,
    open_container,
    raise_if_environment,
    read_packets,
    reason,
    use_threads,
    video_stream,
)
from reelbank.pipeline.decode.transforms import resize_to, swap_channels, turn
from reelbank.stores.records import VideoInfo

SILENT_PACKETS = 3
"""So many packets in a row without a picture are a loss, though no error is told. One or two are
healthy: the second field of an interlaced picture, VP8's hidden reference frames."""

SEEK_BACK_SECONDS = (0.0, 1.0, 10.0)
"""How far before a key frame the container is sought, one after the other, until it is found."""


class Damaged(Exception):
    """Damage met on several threads with `stop_on_damage`: start the span again with one."""


@dataclass(frozen=True, slots=True)
class LostSpan:
    """A stretch of the timeline without pictures, since its packets do not decode."""

    start_seconds: float
    end_seconds: float
    error: str
    """What the decoder said."""


class Frame:
    """A decoded picture; its pixels become RGB on first access, once, and only then."""

    __slots__ = ("_converter", "_picture", "_rgb", "corrupt", "time")

    def __init__(
        self, picture: VideoFrame, *, time: float, corrupt: bool, converter: "RGBConverter"
    ) -> None:
        self.time = time
        """Seconds from the first frame shown; strictly rising from frame to frame."""
        self.corrupt = corrupt
        """The decoder had to guess parts of the picture."""
        self._picture: VideoFrame | None = picture
        self._converter = converter
        self._rgb: NDArray[np.uint8] | None = None

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, C-contiguous, upright, of the video's full size.

        Where the size changes in mid-stream, the frames are resized to that of the first.
        """
        with self._converter.lock:
            if self._rgb is None:
                assert self._picture is not None
                self._rgb = self._converter.convert(self._picture)
                self._picture = None  # Its buffer goes back to the decoder.
            return self._rgb


class RGBConverter:
    """Makes upright RGB of one size from decoded pictures, with one swscale context.

    Shot scores must be PySceneDetect's own, so the pixels are those that its back end sees:
    swscale's BGR, channels swapped, turned upright. (Asked for RGB, swscale rounds 10-bit pictures
    in another way.) 10-bit and HDR are scaled to 8 bits, not tone-mapped.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._width = info.width
        self._height = info.height
        self._rotation = info.rotation
        self._reformatter = VideoReformatter()
        self.lock = threading.Lock()
        """One context serves all frames, whichever thread asks for pixels."""

    def convert(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """Convert one picture; the caller holds the lock."""
        bgr = self._reformatter.reformat(picture, format="bgr24", threads=1).to_ndarray()
        rgb = turn(swap_channels(np.asarray(bgr, dtype=np.uint8)), self._rotation)
        return np.ascontiguousarray(resize_to(rgb, width=self._width, height=self._height))


class PyAVReader:
    """Iterates over a video's frames, from the start or from one of its probed key frames.

    Use it as a context manager and iterate once. The tallies below count up while iterating and
    are whole when it has ended. With `stop_on_damage` the first damage raises Damaged, but only
    where the decoder uses several threads: with one (as HEVC does, whatever `threads` says) the
    same frames survive every time.
    """

    def __init__(
        self,
        path: str,
        info: VideoInfo,
        *,
        start_pts: int | None = None,
        threads: int,
        stop_on_damage: bool = False,
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads={threads} is not a count of threads; use 1 or more")
        if start_pts is not None and info.clock != "stamps":
            raise ValueError(f"{path}: frames are counted, so decoding must begin at the start")
        self._path = path
        self._info = info
        self._start_pts = start_pts
        self._threads = self._threads_used = threads
        self._stop_on_damage = stop_on_damage
        self._converter = RGBConverter(info)
        self._container: InputContainer | None = None
        self._reset()

    def _reset(self) -> None:
        self.num_decoded = 0
        """Pictures that came out of the decoder, also those before `start_pts`."""
        self.num_corrupt = 0
        """Frames given that the decoder flagged as corrupt."""
        self.lost: list[LostSpan] = []
        """Spans whose packets gave no picture."""
        self.end_seconds: float | None = None
        """When the last frame given leaves the screen (by its duration, or else by the gap before
        it); None before the first."""
        self._num_given = 0
        self._last_pts: int | None = None
        self._last_time: float | None = None
        self._waiting: list[int] = []  # heap of stamps that went in and have not come out
        self._losing = False
        self._sought = self._start_pts is not None

    def __enter__(self) -> Self:
        self._container = open_container(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def damaged(self) -> bool:
        """Some packet was lost or some picture is corrupt, as far as decoding has come."""
        return bool(self.lost) or self.num_corrupt > 0

    def starts_there(self) -> bool:
        """Say whether decoding from `start_pts` gives that picture first; uses the reader up."""
        next(self._frames(), None)
        return self._last_pts == self._start_pts

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames in order; raises Damaged where `stop_on_damage` says so."""
        frames = self._frames()
        if self._start_pts is None:
            yield from frames
            return
        first = next(frames, None)
        if first is None or self._last_pts != self._start_pts:
            # The container's index lied, or the key frame needs pictures before it after all.
            num_decoded = self.num_decoded
            self._reopen()
            self._reset()
            self.num_decoded, self._sought = num_decoded, False
            yield from self._frames()
            return
        yield first
        yield from frames

    def _frames(self) -> Iterator[Frame]:
        container, stream, clock = self._prepare()
        start = self._start_pts
        packets = (
            self._packets_from(start, container, stream)
            if start is not None and self._sought
            else read_packets(container, stream)
        )
        for picture in self._pictures(packets, stream, clock):
            self.num_decoded += 1
            if start is not None and picture.pts is not None and picture.pts < start:
                if picture.is_corrupt and not self._sought:
                    self._stop("a picture flagged corrupt before the span")
                continue
            yield self._frame(picture, clock)
        self._report_silence(None, clock)

    def _prepare(self) -> tuple[InputContainer, VideoStream, Clock]:
        if self._container is None:
            raise RuntimeError("use the reader as a context manager")
        stream = video_stream(self._container, self._path)
        self._threads_used = use_threads(stream, self._threads)
        return self._container, stream, clock_of(self._info)

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _reopen(self) -> None:
        self._close()
        self._container = open_container(self._path)

    def _packets_from(
        self, start: int, container: InputContainer, stream: VideoStream
    ) -> Iterator[Read]:
        """Seek, then give the packets from the very key packet, whatever the index says."""
        for seconds in SEEK_BACK_SECONDS:
            try:
                container.seek(start - int(seconds / self._info.time_base), stream=stream)
            except FFmpegError as error:
                raise_if_environment(error)
                continue
            found = False
            for packet in read_packets(container, stream):
                if not found and isinstance(packet, Packet):
                    if packet.is_keyframe and packet.pts == start:
                        found = True
                    elif packet.is_keyframe and packet.pts is not None and packet.pts > start:
                        break
                if found:
                    yield packet
            if found:
                return

    def _pictures(
        self, packets: Iterator[Read], stream: VideoStream, clock: Clock
    ) -> Iterator[VideoFrame]:
        first = self._info.origin_pts if self._start_pts is None else self._start_pts
        for packet in packets:
            if isinstance(packet, FFmpegError):
                self._lose(None, packet, clock)
                continue
            try:
                pictures = stream.codec_context.decode(packet)
            except FFmpegError as error:
                self._lose(packet, error, clock)
                continue
            if packet.pts is not None and packet.pts >= first and not packet.is_discard:
                heapq.heappush(self._waiting, packet.pts)
            if pictures:
                self._losing = False
            yield from pictures
        try:
            yield from stream.codec_context.decode(None)
        except FFmpegError as error:
            self._lose(None, error, clock)

    def _frame(self, picture: VideoFrame, clock: Clock) -> Frame:
        """Time a picture and tally it."""
        before = self._last_time
        if clock.counted_rate is not None:
            time = self._num_given / clock.counted_rate
            duration = 1 / clock.counted_rate
        else:
            pts = self._rising_pts(picture, clock)
            self._report_silence(pts, clock)
            time = clock.at(pts)
            duration = clock.length(picture.duration or 0)
            self._last_pts = pts
        gap = time - before if before is not None else 1 / self._info.rate
        plausible = duration > PLAUSIBLE_DURATION_SHARE * gap
        self.end_seconds = time + (duration if plausible else gap)
        self._last_time = time
        self._num_given += 1
        corrupt = bool(picture.is_corrupt)
        self.num_corrupt += corrupt
        if corrupt:
            self._stop(f"a picture flagged corrupt at {time:.3f} s")
        return Frame(picture, time=time, corrupt=corrupt, converter=self._converter)

    def _rising_pts(self, picture: VideoFrame, clock: Clock) -> int:
        """Give the picture's stamp, or the next tick where it has none or does not rise."""
        if self._last_pts is None:
            return self._info.origin_pts if picture.pts is None else picture.pts
        if picture.pts is None:
            return self._last_pts + max(round(1 / (self._info.rate * clock.length(1))), 1)
        return max(picture.pts, self._last_pts + 1)

    def _account(self, pts: int) -> int:
        """Take the stamps up to `pts` off those that wait; count those that `pts` passed over."""
        passed = 0
        while self._waiting and self._waiting[0] <= pts:
            passed += heapq.heappop(self._waiting) < pts
        return passed

    def _report_silence(self, pts: int | None, clock: Clock) -> None:
        """Record a loss where packets before `pts` (None: the end) gave no picture and no error."""
        end = self.end_seconds
        if clock.counted_rate is not None or end is None:
            if pts is not None:
                self._account(pts)
            return
        until = pts if pts is not None else max(self._waiting, default=None)
        if until is None:
            return
        passed = self._account(until) + (pts is None)
        if passed >= SILENT_PACKETS:
            back = clock.at(until)
            self._record(LostSpan(min(end, back), back, f"{passed} packets gave no picture"))

    def _lose(self, packet: "Packet[Any] | None", error: FFmpegError, clock: Clock) -> None:
        """Record the span of a packet that does not decode; neighbours in a row become one."""
        raise_if_environment(error)
        start = end = self.end_seconds or 0.0
        if packet is not None and packet.pts is not None and clock.counted_rate is None:
            if self._start_pts is not None and packet.pts < self._start_pts:
                if not self._sought:
                    self._stop(reason(error))
                return  # Led by the key frame but shown before it: a matter of the span before.
            start = max(clock.at(packet.pts), 0.0)
            end = max(clock.at(packet.pts + (packet.duration or 0)), start)
        if self._losing and self.lost:
            last = self.lost.pop()
            start, end = min(start, last.start_seconds), max(end, last.end_seconds)
        self._losing = True
        self._record(LostSpan(start, end, reason(error)))

    def _record(self, span: LostSpan) -> None:
        self.lost.append(span)
        self._stop(f"{span.error} at {span.start_seconds:.3f} s")

    def _stop(self, damage: str) -> None:
        if self._stop_on_damage and self._threads_used > 1:
            raise Damaged(f"{self._path}: {damage}")
