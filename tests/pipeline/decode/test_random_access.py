"""Frames at times are those of reading the film from its start, wherever decoding began."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank.pipeline.decode.container import open_container
from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.decode.random_access import frames_at, key_frame_before
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.pipeline.decode.sampling import OnScreen, clip_times
from reelbank.pipeline.theatre.writer import FilmWriter
from reelbank.stores.records import ContentError
from tests.pipeline.decode.clips import DAMAGED, decodable_clips, probe_clip

RATE, SECONDS, GOP_SECONDS = 10, 12, 2
KINDS = ["psd_fades.mp4", "decord_pancake.mkv", "ax_sample_mpeg4.avi"]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film with B-frames whose pictures all differ; its first stamp is not 0."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    random = np.random.default_rng(0)
    with FilmWriter(path, width=32, height=32, rate=RATE) as writer:
        for _ in range(RATE * SECONDS):
            picture = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
            writer.write(picture.repeat(8, axis=0).repeat(8, axis=1))
    return probed(path)


def probed(path):
    status = path.stat()
    return probe(
        str(path),
        video_id=path.name,
        source=str(path),
        digest="d",
        num_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    ).info


def from_start(info, times):
    """The same frames by one pass over the whole film."""
    shown = OnScreen([(time, number) for number, time in enumerate(times)])
    with PyAVReader(info.source, info, threads=1) as reader:
        found = [served.rgb for frame in reader for _, served in shown.push(frame)]
        return found + [served.rgb for _, served in shown.finish()]


def assert_same(found, expected):
    assert len(found) == len(expected)
    assert all(map(np.array_equal, found, expected))


@pytest.fixture(scope="module")
def whole(film):
    """Every frame of the film, with its time."""
    with PyAVReader(film.source, film, threads=1) as reader:
        return [(frame.time, frame.rgb) for frame in reader]


@settings(max_examples=20)
@given(times=st.lists(st.floats(-3, SECONDS + 3), min_size=1, max_size=5).map(sorted))
def test_frames_are_those_on_screen(film, whole, times):
    expected = []
    for time in times:
        before = [rgb for shown, rgb in whole if shown <= time + 1e-6]
        expected.append(before[-1] if before else whole[0][1])
    assert_same(frames_at(film, times), expected)


def test_decoding_begins_at_the_key_frame_before(film):
    with open_container(film.source) as container:
        packets = container.demux(video=0)
        keys = sorted(packet.pts for packet in packets if packet.size and packet.is_keyframe)
    assert len(keys) >= SECONDS / GOP_SECONDS
    seconds = [float((pts - film.origin_pts) * film.time_base) for pts in keys]
    for number, (start, end) in enumerate(itertools.pairwise(seconds)):
        expected = keys[number] if start > 0 else None
        assert key_frame_before(film, start) == expected
        assert key_frame_before(film, (start + end) / 2) == expected
    assert key_frame_before(film, SECONDS + 60.0) == keys[-1]
    assert key_frame_before(film, 0.0) is None
    assert key_frame_before(film, -1.0) is None


def test_frames_do_not_depend_on_threads(film):
    times = clip_times(7.3, num_frames=8, stride=4, rate=30.0).tolist()
    assert_same(frames_at(film, times, threads=3), frames_at(film, times))


def test_no_times_are_no_frames(film):
    assert frames_at(film, []) == []


def test_a_film_without_a_frame_is_refused(film, tmp_path):
    path = tmp_path / "cut.mp4"
    with open(film.source, "rb") as whole_file:
        content = whole_file.read()
    # The index stays where it is, the pictures become nothing.
    at = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4 if content.index(b"moov") > at else len(content)
    path.write_bytes(content[:at] + bytes(end - at) + content[end:])
    info = film_at(film, path)
    with pytest.raises(ContentError, match=r"cut\.mp4: not one frame could be decoded at 3"):
        frames_at(info, [3.0, 4.0])


def film_at(film, path):
    values = {name: getattr(film, name) for name in type(film).__slots__}
    return type(film)(**(values | {"source": str(path)}))


def clips_agree(name):
    info = probe_clip(name).info
    for key_time in np.random.default_rng(0).uniform(0, info.end_seconds, 2):
        times = clip_times(float(key_time), num_frames=4, stride=8, rate=30.0).tolist()
        assert_same(frames_at(info, times), from_start(info, times))


@pytest.mark.parametrize("name", KINDS)
def test_real_clips_give_the_frames_of_reading_from_the_start(name):
    clips_agree(name)


@pytest.mark.slow
def test_all_whole_clips_give_the_frames_of_reading_from_the_start():
    for name in decodable_clips().keys() - DAMAGED - set(KINDS):
        clips_agree(name)
