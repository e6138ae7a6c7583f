"""Frames, their times and their pixels, against second implementations and known answers."""

import json
import os
import threading
import zlib
from itertools import pairwise

import av
import numpy as np
import psutil
import pytest

from reelbank.pipeline.decode.reader import Damaged, PyAVReader
from tests.pipeline.decode.clips import (
    DAMAGED,
    TRUNCATED_INDEX_PRESENT,
    clip_path,
    decodable_clips,
    decode,
    decode_clip,
    probe_clip,
    probe_file,
)
from tests.shared_data import shared_data
from tests.videos import numbered_frame, numbered_frames, read_number, write_video

SEEKING_SAMPLE = [
    "ax_bbb_pyramid3b.mp4",
    "ax_h265.ts",
    "ax_mpeg2_1080.ts",
    "ax_sample_mpeg4.avi",
    "cve_vid1_header74_decoded56.mp4",
    "derived/vfr_bikes_drop3.mp4",
    "hiera_dog.mp4",
    "openshot_msmpeg4v2.avi",
    "tc_nasa_hdr_hevc10.mp4",
]


def test_every_clip_gives_the_frames_of_the_manifest_with_times_that_rise_from_zero():
    for name, clip in decodable_clips().items():
        times = decode_clip(name).times
        expected = 7 if name == TRUNCATED_INDEX_PRESENT else clip.frames
        assert len(times) == expected, name
        assert times[0] == 0
        assert all(a < b for a, b in pairwise(times)), name


def test_times_equal_those_of_a_second_extractor():
    dumps = json.loads((shared_data() / "reference/timestamps/androidx_dumps.json").read_text())
    for name, tracks in dumps["clips"].items():
        stamps = np.array(tracks[0]["pts_us_sorted"]) / 1e6
        np.testing.assert_allclose(decode_clip(name).times, stamps - stamps[0], atol=2e-6)


@pytest.mark.parametrize("name", ["tc_nasa_13013", "tc_non_zero_start"])
def test_times_equal_the_list_of_a_second_decoder(name):
    folder = shared_data() / "reference/timestamps"
    frames = json.loads((folder / f"{name}.stream0.json").read_text())
    stamps = np.array([float(frame["pts_time"]) for frame in frames])
    times = decode_clip(f"{name}.mp4").times
    np.testing.assert_allclose(times, stamps - stamps[0], atol=2e-6)


def test_a_variable_rate_keeps_its_stamps():
    gaps = np.diff(decode_clip("derived/vfr_bikes_drop3.mp4").times)
    assert set(np.round(gaps, 6)) == {0.04, 0.08}
    phone = np.diff(decode_clip("ax_phone_vfr_hevc_rot.mp4").times)
    assert (phone.min(), phone.max()) == pytest.approx((0.03314, 0.04161), abs=1e-5)


def test_frames_skipped_in_an_avi_leave_a_gap_and_shift_nothing():
    times = decode_clip("ax_sample_mpeg4.avi").times
    assert times[1] == pytest.approx(3 * 1001 / 24000)
    assert times[-1] == pytest.approx(97 * 1001 / 24000)


def test_turned_clips_look_like_the_one_that_needs_no_turn():
    def first(name: str) -> np.ndarray:
        with PyAVReader(clip_path(name), probe_clip(name).info, threads=1) as reader:
            return next(iter(reader)).rgb

    # The same content in all four, stored turned; only the tag says how to stand it upright.
    for name in ("decord_rot0.mov", "decord_rot90.mov", "decord_rot180.mov", "decord_rot270.mov"):
        with av.open(clip_path(name)) as container:
            stored = next(container.decode(video=0))
            turns = stored.rotation // 90 % 4
            assert np.array_equal(first(name), np.rot90(stored.to_ndarray(format="rgb24"), turns))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_picture_stored_turned_is_shown_upright(tmp_path, rotation):
    upright = numbered_frame(1234, 320, 240)
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    path = write_video(tmp_path / "a.mp4", [stored] * 3, rotation=rotation)
    info = probe_file(path).info
    assert (info.width, info.height, info.rotation) == (320, 240, rotation)
    with PyAVReader(str(path), info, threads=1) as reader:
        assert [read_number(frame.rgb) for frame in reader] == [1234] * 3


def test_a_lost_packet_costs_its_own_frame_and_is_told():
    decoded = decode_clip("decord_corrupted.mp4")
    assert len(decoded.times) == 49
    (lost,) = decoded.reader.lost
    assert (lost.start_seconds, lost.end_seconds) == pytest.approx((3.0, 3.1))
    assert lost.error
    assert not any(2.95 < time < 3.05 for time in decoded.times)
    assert decoded.reader.num_corrupt == 1


def test_damaged_payload_gives_the_same_pixels_on_ten_runs():
    name = "derived/bitflip_foreman.264"
    runs = [decode(clip_path(name), probe_clip(name).info) for _ in range(10)]
    assert {len(run.times) for run in runs} == {291}
    assert {run.reader.num_corrupt for run in runs} == {16}
    assert len({tuple(run.digests) for run in runs}) == 1


@pytest.mark.parametrize(
    "name", ["decord_corrupted.mp4", "derived/bitflip_foreman.264", TRUNCATED_INDEX_PRESENT]
)
def test_several_threads_stop_at_damage_where_one_goes_on(name):
    info = probe_clip(name).info
    with (
        PyAVReader(clip_path(name), info, threads=2, stop_on_damage=True) as reader,
        pytest.raises(Damaged),
    ):
        list(reader)


def test_pictures_that_a_decoder_drops_without_a_word_are_a_lost_span(tmp_path):
    options = {"x265-params": "log-level=none:keyint=20:open-gop=0:bframes=0:scenecut=0"}
    path = tmp_path / "a.mkv"
    write_video(path, numbered_frames(60), codec="libx265", gop=20, options=options)
    silent = tmp_path / "silent.mkv"
    with av.open(str(path)) as source, av.open(str(silent), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if not packet.size:
                continue
            content = bytearray(bytes(packet))
            if 20 <= number < 40:
                content[4] = 63 << 1  # A NAL unit of a type that decoders must pass over.
            copy = av.Packet(bytes(content))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            target.mux(copy)
    decoded = decode(silent, probe_file(silent).info, pixels=False)
    (lost,) = decoded.reader.lost
    assert (lost.start_seconds, lost.end_seconds) == pytest.approx((0.8, 1.6))
    assert "20 packets gave no picture" in lost.error
    # HEVC is decoded on one thread whatever was asked for: doing it again would change nothing.
    info = probe_file(silent).info
    with PyAVReader(str(silent), info, threads=2, stop_on_damage=True) as reader:
        assert [frame.time for frame in reader] == decoded.times
    assert reader.lost == [lost]


def check_seeking(path: str, *, threads: int) -> None:
    """Decoding from each key frame gives what decoding from the start gives from there on."""
    found = probe_file(path)
    whole = decode(path, found.info)
    for pts in found.keyframe_pts:
        start = float((pts - found.info.origin_pts) * found.info.time_base)
        skipped = sum(time < start - 1e-9 for time in whole.times)
        part = decode(path, found.info, start_pts=pts, threads=threads)
        assert part.times == whole.times[skipped:]
        assert part.digests == whole.digests[skipped:]
        assert not part.reader.damaged


@pytest.mark.parametrize("name", SEEKING_SAMPLE)
def test_decoding_from_a_key_frame_gives_the_same_pixels(name):
    check_seeking(clip_path(name), threads=2)


@pytest.mark.slow
def test_decoding_from_a_key_frame_gives_the_same_pixels_in_every_clip():
    for name in set(decodable_clips()) - DAMAGED:
        for threads in (1, 2):
            check_seeking(clip_path(name), threads=threads)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"x264-params": "open-gop=1:scenecut=0:bframes=3:b-pyramid=normal"}),
        (".ts", "libx264", {"x264-params": "open-gop=1:scenecut=0:bframes=3:b-pyramid=normal"}),
        (".mkv", "libx265", {"x265-params": "log-level=none:keyint=25:open-gop=1:bframes=3"}),
        (".webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}),
        (".webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}),
        (".ts", "mpeg2video", {"bf": "2"}),
        (".mkv", "mpeg4", {"bf": "2"}),
        (".avi", "libx264", {"x264-params": "bframes=0"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decoding_from_a_key_frame_of_any_codec_gives_the_same_pixels(
    tmp_path, suffix, codec, options
):
    preset = {"preset": "fast"} if codec.startswith("libx26") else {}
    path = tmp_path / f"a{suffix}"
    write_video(path, numbered_frames(80), codec=codec, gop=25, options=preset | options)
    assert len(probe_file(path).keyframe_pts) >= 2
    check_seeking(str(path), threads=2)


def test_a_key_frame_that_is_none_falls_back_to_decoding_from_the_start(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(60), gop=30, bframes=0)
    info = probe_file(path).info
    tick = round(1 / (25 * info.time_base))
    with PyAVReader(str(path), info, start_pts=40 * tick, threads=1) as reader:
        numbers = [read_number(frame.rgb) for frame in reader]
    assert numbers == list(range(40, 60))


@pytest.mark.parametrize(
    "name",
    [
        "skv_bikes.mp4",
        "tc_h265_video.mp4",
        "ax_bear_vp9.webm",
        "ax_sample_av1.mp4",
        "hiera_dog.mp4",
    ],
)
def test_healthy_video_gives_the_same_pixels_on_any_number_of_threads(name):
    info = probe_clip(name).info
    one = decode(clip_path(name), info, threads=1)
    assert decode(clip_path(name), info, threads=2).digests == one.digests


@pytest.mark.parametrize(
    ("name", "start", "options"),
    [
        ("a.mp4", 0.0, {}),
        ("a.mp4", 3.3, {"bframes": 2}),
        ("a.mkv", 3.3, {"bframes": 2}),
        ("a.ts", 3.3, {"bframes": 2}),
        ("a.avi", 0.0, {"codec": "mpeg4", "bframes": 2}),
        ("a.webm", 0.0, {"codec": "libvpx-vp9"}),
        ("a.flv", 0.0, {"bframes": 2}),
        ("a.h264", 0.0, {"bframes": 2}),
    ],
)
def test_frame_k_carries_number_k_and_comes_at_k_over_rate(tmp_path, name, start, options):
    path = write_video(tmp_path / name, numbered_frames(30), start=start, **options)
    info = probe_file(path).info
    with PyAVReader(str(path), info, threads=1) as reader:
        seen = [(frame.time, read_number(frame.rgb)) for frame in reader]
    assert [number for _, number in seen] == list(range(30))
    np.testing.assert_allclose([time for time, _ in seen], np.arange(30) / 25, atol=1e-3)
    assert reader.end_seconds == pytest.approx(30 / 25, abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_variable_rates_keep_each_number_at_its_time(tmp_path, suffix):
    gaps = np.random.default_rng(3).choice([0.02, 0.04, 0.1], 50)
    times = np.cumsum(gaps).tolist()
    path = write_video(tmp_path / f"a{suffix}", numbered_frames(50), times=times, bframes=2)
    with PyAVReader(str(path), probe_file(path).info, threads=2) as reader:
        seen = [(frame.time, read_number(frame.rgb)) for frame in reader]
    assert [number for _, number in seen] == list(range(50))
    np.testing.assert_allclose([time for time, _ in seen], np.array(times) - times[0], atol=1e-3)


def test_all_frames_have_one_size_where_the_stream_changes_its_own():
    name = "vpf_res_change.h264"
    info = probe_clip(name).info
    with PyAVReader(clip_path(name), info, threads=1) as reader:
        shapes = {frame.rgb.shape for frame in reader}
    assert shapes == {(info.height, info.width, 3)}


@pytest.mark.parametrize(
    "name", ["tc_h264_10bits.mp4", "tc_odd_321x241_h264_444.mp4", "ax_bear_vp9_161x121.webm"]
)
def test_pixels_are_whole_c_contiguous_rgb_made_once(name):
    info = probe_clip(name).info
    with PyAVReader(clip_path(name), info, threads=1) as reader:
        frame = next(iter(reader))
    assert frame.rgb.shape == (info.height, info.width, 3)
    assert frame.rgb.dtype == np.uint8
    assert frame.rgb.flags.c_contiguous
    assert frame.rgb is frame.rgb


def test_threads_may_ask_for_pixels_at_the_same_time():
    name = "skv_bikes.mp4"
    info = probe_clip(name).info
    expected = decode(clip_path(name), info).digests[:24]
    with PyAVReader(clip_path(name), info, threads=1) as reader:
        frames = [frame for frame, _ in zip(reader, range(24), strict=False)]
    workers = [threading.Thread(target=lambda: [f.rgb for f in frames]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [zlib.crc32(f.rgb) for f in frames] == expected


def test_stopping_early_and_damage_inside_a_with_block_leave_nothing_open():
    process = psutil.Process()
    before = process.num_fds()
    info = probe_clip("psd_counter.mp4").info
    for _ in range(5):
        with PyAVReader(clip_path("psd_counter.mp4"), info, threads=2) as reader:
            for _ in reader:
                break
    assert process.num_fds() == before


def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path):
    frame = np.zeros((480, 640, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", (frame for _ in range(600)), options={"crf": "40"})
    info = probe_file(path).info
    process = psutil.Process(os.getpid())
    with PyAVReader(str(path), info, threads=2) as reader:
        sizes = []
        for number, shown in enumerate(reader):
            assert shown.rgb.any() in (True, False)
            if number in (100, 599):
                sizes.append(process.memory_info().rss)
    # 500 frames of 0.9 MB each would be 460 MB.
    assert sizes[1] - sizes[0] < 30e6


def test_impossible_orders_are_refused():
    info = probe_clip("oh_foreman_cif.264").info
    with pytest.raises(ValueError, match="counted"):
        PyAVReader(clip_path("oh_foreman_cif.264"), info, start_pts=10, threads=1)
    with pytest.raises(ValueError, match="threads=0"):
        PyAVReader(clip_path("oh_foreman_cif.264"), info, threads=0)
