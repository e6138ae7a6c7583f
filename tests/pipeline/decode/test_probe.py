"""What a probe learns of real, made and broken files."""

import os
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbank.stores.records import ContentError
from tests.pipeline.decode.clips import clip_path, decodable_clips, probe_clip, probe_file
from tests.videos import numbered_frames, write_video


def test_upright_sizes_and_rotations_are_those_of_the_manifest():
    for name, clip in decodable_clips().items():
        info = probe_clip(name).info
        upright = (clip.width, clip.height)
        assert info.rotation == clip.rotation, name
        assert (info.width, info.height) == (upright[::-1] if clip.rotation % 180 else upright)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("derived/not_a_video.mp4", "not a video"),
        ("derived/truncated_moov_lost.mp4", "not a video"),
        ("moviepy_empty.webm", "empty (0 bytes)"),
        ("ax_audio_only.mp4", "no video stream"),
        ("tc_audio_only.mp3", "no video stream"),
        ("tc_audio_only.wav", "no video stream"),
        ("ax_mp3_cover_art.mp3", "cover picture"),
        ("mp4p_truncated_10samples.mp4", "not one frame"),
    ],
)
def test_a_file_without_a_video_is_told_in_one_sentence_that_names_it(name, words):
    path = clip_path(name)
    with pytest.raises(ContentError) as caught:
        probe_file(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(path)
    assert "\n" not in message


def test_a_codec_without_a_decoder_is_told(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(3))
    content = path.read_bytes()
    assert b"avc1" in content
    path.write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(ContentError, match="no decoder"):
        probe_file(path)


def test_a_still_picture_and_a_list_of_files_are_no_videos(tmp_path):
    picture = tmp_path / "still.mp4"
    cv2 = pytest.importorskip("cv2")
    picture.write_bytes(cv2.imencode(".png", next(numbered_frames(1)))[1].tobytes())
    playlist = tmp_path / "list.m3u8"
    write_video(tmp_path / "part.ts", numbered_frames(5))
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\npart.ts\n#EXT-X-ENDLIST\n")
    for path in (picture, playlist):
        with pytest.raises(ContentError):
            probe_file(path)


def test_a_missing_file_a_folder_and_a_pipe_are_faults_of_the_environment(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "missing.mp4", tmp_path, tmp_path / "pipe.mp4"):
        with pytest.raises(OSError, match=path.name):
            probe_file(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_fault_of_the_environment(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(3))
    path.chmod(0)
    with pytest.raises(PermissionError):
        probe_file(path)


@pytest.mark.parametrize(
    "name", ["two\nlines.mp4", "映画 ünï.mp4", "a:b %03d.mp4", os.fsdecode(b"not\xffutf8.mp4")]
)
def test_any_file_name_can_be_read_also_relative_to_the_current_folder(tmp_path, monkeypatch, name):
    write_video(tmp_path / "plain.mp4", numbered_frames(3)).rename(tmp_path / name)
    assert probe_file(tmp_path / name).info.num_packets == 3
    monkeypatch.chdir(tmp_path)
    assert probe_file(name).info.num_packets == 3


def test_a_title_that_is_not_utf8_is_no_obstacle(tmp_path):
    path = write_video(tmp_path / "a.mkv", numbered_frames(3))
    content = path.read_bytes()
    assert b"ENCODER" in content
    path.write_bytes(content.replace(b"ENCODER", b"ENC\xffDER"))
    assert probe_file(path).info.num_packets == 3


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_broken_bytes_never_raise_anything_but_a_content_error(tmp_path, data):
    whole = tmp_path / "whole.mkv"
    if not whole.exists():
        write_video(whole, numbered_frames(20, 64, 48), gop=5)
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        info = probe_file(broken).info
    except ContentError:
        return
    assert info.rate > 0
    assert info.end_seconds >= 0


def test_the_clock_is_counted_only_where_stamps_are_missing_or_do_not_rise():
    counted = {name for name in decodable_clips() if probe_clip(name).info.clock == "counted"}
    raw = {name for name in decodable_clips() if name.endswith("264")}
    assert counted == raw | {"mma_ucf_applyeyemakeup.avi"}
    for name in counted:
        assert probe_clip(name).keyframe_pts == ()


def test_the_rate_is_measured_where_the_header_tells_1000_frames_a_second():
    for name in ("ax_sample.mkv", "ax_sample.flv"):
        info = probe_clip(name).info
        assert info.rate == pytest.approx(29.99, abs=0.02)
        assert info.end_seconds == pytest.approx(1.0, abs=0.01)


def test_headers_with_wrong_frame_counts_are_recorded_beside_the_packets_found():
    for name, declared, found in [
        ("cve_vid1_header74_decoded56.mp4", 74, 56),
        ("ax_sample_mpeg4.avi", 98, 96),
        ("tc_discard_first_keyframe.mp4", 30, 25),
        ("ax_sample_fragmented.mp4", None, 30),
        ("derived/truncated_faststart_60pct.mp4", 30, 8),
    ]:
        info = probe_clip(name).info
        assert (info.declared_frames, info.num_packets) == (declared, found), name


def test_a_declared_length_that_sound_explains_is_not_claimed_for_the_pictures():
    assert probe_clip("decord_pancake.mkv").info.declared_seconds is None
    assert probe_clip("derived/truncated_60pct.mkv").info.declared_seconds == 10.381


def test_a_second_video_track_is_ignored():
    info = probe_clip("ax_phone_vfr_hevc_rot.mp4").info
    assert (info.num_packets, info.width, info.height) == (53, 1080, 1440)


def test_key_frames_rise_are_a_second_apart_and_lie_on_the_timeline():
    for name in decodable_clips():
        found = probe_clip(name)
        info = found.info
        seconds = [(pts - info.origin_pts) * info.time_base for pts in found.keyframe_pts]
        assert all(second >= 0 for second in seconds)
        assert all(b - a >= 1 for a, b in pairwise(seconds)), name


def test_streams_that_refresh_gradually_offer_no_key_frame(tmp_path):
    path = write_video(
        tmp_path / "refresh.mkv",
        numbered_frames(80),
        options={"x264-params": "intra-refresh=1:bframes=0:ref=1"},
    )
    assert probe_file(path).keyframe_pts == ()


def test_one_doubled_stamp_does_not_cost_a_film_its_stamps(tmp_path):
    times = [k / 25 for k in range(200)]
    times[100] = times[99] + 0.0004  # Less than Matroska's tick of 1 ms.
    path = write_video(tmp_path / "a.mkv", numbered_frames(200, 64, 48), times=times, bframes=0)
    info = probe_file(path).info
    assert info.clock == "stamps"
    assert info.nominal_rate == Fraction(25)


def test_joined_broadcasts_whose_stamps_start_again_are_counted(tmp_path):
    path = write_video(tmp_path / "a.ts", numbered_frames(40), bframes=0)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(path.read_bytes() * 2)
    assert probe_file(joined).info.clock == "counted"
