"""Learn what a video is without decoding it: its stream, its clock, and where reading may begin.

The packets are read to the end (headers lie about counts, rates and durations) and one frame is
decoded, on one thread, for the origin of time, the upright size and the rotation.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelbank.pipeline.decode.clock import (
    MAX_UNRISEN_SHARE,
    PLAUSIBLE_DURATION_SHARE,
    Clock,
    count_unrisen,
    fraction_of,
    has_wild_stamp,
)
from reelbank.pipeline.decode.container import (
    open_container,
    raise_if_environment,
    read_packets,
    use_threads,
    video_stream,
)
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.stores.records import ContentError, Probe, VideoInfo

SEEKABLE_FORMATS = frozenset({"avi", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpegts"})
"""Containers that store a stamp with every frame, so that stamps are the same after seeking."""

KEYFRAME_SPACING_SECONDS = 1.0
"""Key frames nearer than this to the one kept before are not remembered."""

FALLBACK_RATE = Fraction(25)
"""Frames per second where neither stamps nor header give a rate (FFmpeg's own default)."""

AUDIO_REACH_SECONDS = 0.5
"""Another stream that comes this near to the container's declared end explains that end."""


@dataclass(slots=True)
class _Packets:
    """What the packets of a container tell, read to its end; stamps in the stream's time base."""

    stamps: list[int] = field(default_factory=list)
    """Of the packets to be shown, in decoding order, where they have one."""
    keys: list[int] = field(default_factory=list)
    count: int = 0
    """Packets to be shown: what an edit list leaves out is not counted."""
    last: int = 0
    """Latest stamp."""
    last_duration: int = 0
    delays: set[int] = field(default_factory=set)
    """Ticks between decoding and showing; more than a single value where B-frames are reordered."""
    others_end_seconds: float = 0.0
    """Where the other streams end, in seconds of the container's clock."""

    def add(self, packet: "Packet[Any]") -> None:
        """Take note of a packet of the video stream."""
        if packet.is_discard:
            return
        self.count += 1
        if packet.pts is None:
            return
        self.stamps.append(packet.pts)
        if packet.dts is not None and len(self.delays) < 2:
            self.delays.add(packet.pts - packet.dts)
        if len(self.stamps) == 1 or packet.pts > self.last:
            self.last, self.last_duration = packet.pts, packet.duration or 0
        if packet.is_keyframe:
            self.keys.append(packet.pts)


def probe(
    path: str, *, video_id: str, source: str, digest: str, num_bytes: int, modified_ns: int
) -> Probe:
    """Learn what the video in a local file is.

    `num_packets` counts packets to be shown (what an edit list discards is left out).
    Raises ContentError if the file holds no video that can be decoded, OSError if it cannot be
    read.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        packets = _read_to_end(container, stream)
        with open_container(path) as fresh:
            first = _first_frame(fresh, video_stream(fresh, path), path)
        time_base = fraction_of(stream.time_base) or Fraction(1)
        stamped = _has_stamps(container, stream, packets) and first.pts is not None
        origin = first.pts if stamped and first.pts is not None else 0
        clock = Clock(origin_pts=origin, time_base=time_base, counted_rate=None)
        nominal_rate = _nominal_rate(stream)
        rate = (_measured_rate(packets, clock) if stamped else None) or float(nominal_rate)
        rotation = round(first.rotation / 90) * 90 % 360
        turned = rotation in (90, 270)
        info = VideoInfo(
            video_id=video_id,
            source=source,
            digest=digest,
            num_bytes=num_bytes,
            modified_ns=modified_ns,
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=first.format.name,
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rotation=rotation,
            sample_aspect_ratio=float(fraction_of(stream.sample_aspect_ratio) or 1.0),
            rate=rate,
            nominal_rate=nominal_rate,
            time_base=time_base,
            origin_pts=origin,
            clock="stamps" if stamped else "counted",
            declared_frames=stream.frames or None,
            declared_seconds=_declared_seconds(container, stream, packets),
            num_packets=packets.count,
            end_seconds=_end_seconds(packets, clock, rate) if stamped else packets.count / rate,
        )
        keyframes = _keyframes(info, packets, clock)
        return Probe(info=info, keyframe_pts=keyframes if _can_start(path, info, keyframes) else ())


def _read_to_end(container: InputContainer, stream: VideoStream) -> _Packets:
    packets = _Packets()
    bases = [float(fraction_of(other.time_base) or 0) for other in container.streams]
    for packet in read_packets(container, None):
        if isinstance(packet, FFmpegError):
            continue  # The reader meets it again and records what is lost.
        if packet.stream_index == stream.index:
            packets.add(packet)
        elif packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * bases[packet.stream_index]
            packets.others_end_seconds = max(packets.others_end_seconds, end)
    return packets


def _first_frame(container: InputContainer, stream: VideoStream, path: str) -> VideoFrame:
    use_threads(stream, 1)
    failed: FFmpegError | None = None
    for packet in read_packets(container, stream):
        if isinstance(packet, FFmpegError):
            failed = packet
            continue
        try:
            frames = stream.codec_context.decode(packet)
        except FFmpegError as error:
            raise_if_environment(error)
            failed = error
            continue
        if frames:
            return frames[0]
    try:
        frames = stream.codec_context.decode(None)
    except FFmpegError as error:
        raise_if_environment(error)
        failed, frames = error, []
    if not frames:
        raise ContentError(
            f"{path}: a video stream, but not one frame of it can be decoded "
            "(cut off or damaged); give a whole file"
        ) from failed
    return frames[0]


def _has_stamps(container: InputContainer, stream: VideoStream, packets: _Packets) -> bool:
    """Say whether presentation stamps exist and rise; see `clock`.

    AVI stores decoding times only: with B-frames FFmpeg guesses stamps, and the guesses go
    backwards. Without B-frames decoding and showing times are one, and gaps are honoured.
    """
    reordered = stream.codec_context.has_b_frames or len(packets.delays) > 1
    if not packets.stamps or (container.format.name == "avi" and reordered):
        return False
    if has_wild_stamp(packets.stamps):
        return False
    faults = packets.count - len(packets.stamps) + count_unrisen(packets.stamps)
    return faults <= MAX_UNRISEN_SHARE * packets.count


def _measured_rate(packets: _Packets, clock: Clock) -> float | None:
    seconds = clock.length(max(packets.stamps) - min(packets.stamps))
    return (len(packets.stamps) - 1) / seconds if seconds > 0 else None


def _nominal_rate(stream: VideoStream) -> Fraction:
    """Rate that the header gives, by the rule of PySceneDetect's PyAV back end."""
    return fraction_of(stream.guessed_rate) or fraction_of(stream.average_rate) or FALLBACK_RATE


def _end_seconds(packets: _Packets, clock: Clock, rate: float) -> float:
    duration = clock.length(packets.last_duration)
    plausible = duration > PLAUSIBLE_DURATION_SHARE / rate
    return clock.at(packets.last) + (duration if plausible else 1 / rate)


def _declared_seconds(
    container: InputContainer, stream: VideoStream, packets: _Packets
) -> float | None:
    """Duration that the header claims for the pictures.

    Some containers only declare one length for all their streams. If sound or text reaches it, it
    says nothing of the pictures.
    """
    time_base = fraction_of(stream.time_base)
    if stream.duration and time_base:
        return float(stream.duration * time_base)
    if not container.duration or container.duration < 0:
        return None
    seconds = container.duration / 1_000_000
    start = (container.start_time or 0) / 1_000_000
    if packets.others_end_seconds - start > seconds - AUDIO_REACH_SECONDS:
        return None
    return seconds


def _keyframes(info: VideoInfo, packets: _Packets, clock: Clock) -> tuple[int, ...]:
    """Stamps at which reading may begin, one a second at most; none where seeking is unsound."""
    sound = (
        info.clock == "stamps"
        and info.container in SEEKABLE_FORMATS
        and len(packets.stamps) == packets.count
        and count_unrisen(packets.stamps) == 0
    )
    kept: list[int] = []
    for pts in sorted(packets.keys) if sound else ():
        if pts < info.origin_pts:
            continue
        if not kept or clock.length(pts - kept[-1]) >= KEYFRAME_SPACING_SECONDS:
            kept.append(pts)
    return tuple(kept)


def _can_start(path: str, info: VideoInfo, keyframes: tuple[int, ...]) -> bool:
    """Try a key frame in the middle: streams with gradual refresh need pictures before theirs."""
    if len(keyframes) < 2:
        return True
    middle = keyframes[len(keyframes) // 2]
    with PyAVReader(path, info, start_pts=middle, threads=1) as reader:
        return reader.starts_there()
