"""The border to PyAV's containers: opening, choosing the stream, packets, and what errors mean.

Errors of the environment (no permission, disk) leave as OSError; everything else that PyAV raises
here is the content's fault. Differences between PyAV 18 and 19 are met here and in
`clock.fraction_of`.
"""

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, TypeAlias

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from reelbank.stores.records import ContentError

Read: TypeAlias = "Packet[Any] | FFmpegError"
"""What reading a container gives: a packet, or the error in its place."""

MAX_READ_ERRORS = 100
"""Read errors in a row after which the rest of a container is given up."""

SINGLE_THREAD_CODECS = frozenset({"hevc"})
"""FFmpeg's HEVC decoder conceals damage without a word, and with frame threads each run conceals it
in another way; on one thread the pixels are the same every time."""

FOREIGN_TEXT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
"""Titles that are not UTF-8 must not stop a video; PyAV 19 sees to that itself."""

NOT_VIDEO_FORMATS = frozenset(
    {"adf", "bin", "concat", "dash", "hls", "idf", "image2", "sdp", "tty", "xbin"}
)
"""Formats that are text, still pictures or lists of other files: never a video by themselves."""

NOT_VIDEO_DISPOSITIONS = Disposition.attached_pic | Disposition.timed_thumbnails


def open_container(path: str) -> InputContainer:
    """Open a local file for reading; nothing but that file is ever read, whatever it names.

    Raises OSError if it cannot be read, ContentError if it is not a video container.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    with open(path, "rb") as file:
        if not file.read(1):
            raise ContentError(f"{path}: the file is empty (0 bytes); give a video or remove it")
    try:
        # An absolute path, since FFmpeg takes a colon in a relative one for a protocol.
        container: InputContainer = av.open(
            os.path.abspath(path), options={"protocol_whitelist": "file"}, **FOREIGN_TEXT
        )
    except FFmpegError as error:
        raise_if_environment(error)
        raise ContentError(
            f"{path}: not a video that FFmpeg can open ({reason(error)}); "
            "give a whole video file or remove it"
        ) from error
    name = container.format.name
    if name in NOT_VIDEO_FORMATS or name.endswith("_pipe"):
        container.close()
        raise ContentError(
            f"{path}: not a video (FFmpeg sees the format {name!r}: text, a still picture or a "
            "list of files); give a video file or remove it"
        )
    return container


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Choose the first video stream that is not a cover picture or a thumbnail."""
    if not container.streams.video:
        raise ContentError(f"{path}: no video stream (audio only?); give a file with pictures")
    for stream in container.streams.video:
        if not stream.disposition & NOT_VIDEO_DISPOSITIONS:
            if stream.codec_context is None:
                raise ContentError(
                    f"{path}: no decoder for its video codec in this FFmpeg build; "
                    "convert it, for example to H.264"
                )
            return stream
    raise ContentError(
        f"{path}: its only video stream is a cover picture (an audio file?); "
        "give a file with moving pictures"
    )


def use_threads(stream: VideoStream, threads: int) -> int:
    """Set an explicit number of decoder threads; gives how many are used, which may be fewer.

    Only FRAME threads speed up streams of one slice for each picture, as nearly all are; they cost
    a third more processor time (720p H.264, measured). AUTO takes them where a codec has them.
    SLICE threads alone would hide damage: 24 of 120 clips with flipped bits then gave other pixels
    than on one thread without a word, and none did with FRAME threads (two H.264 clips).
    """
    if stream.codec_context.codec.canonical_name in SINGLE_THREAD_CODECS:
        threads = 1
    stream.thread_count = threads
    stream.thread_type = ThreadType.AUTO if threads > 1 else ThreadType.NONE
    return threads


def read_packets(container: InputContainer, stream: VideoStream | None) -> Iterator[Read]:
    """Yield the packets of one stream (or of all), and each read error in its place.

    Reading goes on after an error until `MAX_READ_ERRORS` come in a row. The empty packets with
    which PyAV asks decoders to flush are left out.
    """
    errors_in_row = 0
    while errors_in_row < MAX_READ_ERRORS:
        try:
            for packet in container.demux() if stream is None else container.demux(stream):
                errors_in_row = 0
                if packet.size:
                    yield packet
        except FFmpegError as error:
            raise_if_environment(error)
            errors_in_row += 1
            yield error
        except IndexError:
            return  # At the very end, PyAV trips over streams that appeared while it was reading.
        else:
            return


def raise_if_environment(error: FFmpegError) -> None:
    """Raise OSError if PyAV's error tells of the machine rather than of the video.

    Demuxers say EIO and EPERM of damaged bytes too, so the file is asked: a disk that fails will
    fail again when it is read through. Want of memory is FFmpeg's answer to absurd sizes in damaged
    headers; a machine that runs out of memory kills the process instead.
    """
    if isinstance(error, OSError) and error.filename:
        with open(error.filename, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def reason(error: FFmpegError) -> str:
    """Give FFmpeg's own words for an error, without path and number."""
    return error.strerror or type(error).__name__
