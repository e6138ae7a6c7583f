"""The pixels are those that PySceneDetect's own PyAV back end sees, channels swapped."""

import numpy as np
import pytest
from scenedetect.backends.pyav import VideoStreamAv

from reelbank.pipeline.decode.reader import PyAVReader
from tests.pipeline.decode.clips import clip_path, probe_clip, probe_file
from tests.videos import numbered_frames, write_video

CLIPS = {
    "psd_testvideo.mp4": "yuv420p",
    "tc_h264_10bits.mp4": "yuv420p10le",
    "tc_odd_321x241_h264_444.mp4": "yuv444p",
    "derived/gray_hevc.mp4": "gray",
    "derived/gray_h264_400.mp4": "yuv420p",
    "ax_phone_vfr_hevc_rot.mp4": "yuvj420p",
    "tc_odd_321x241_vp9.mp4": "yuv420p",
    "tc_nasa_hdr_hevc10.mp4": "yuv420p10le",
}


def check(path: str, info) -> None:
    theirs = VideoStreamAv(path, suppress_output=True)
    with PyAVReader(path, info, threads=1) as reader:
        for number, frame in enumerate(reader):
            bgr = theirs.read()
            assert not isinstance(bgr, bool)
            # PySceneDetect leaves turned pictures as they are stored.
            assert np.array_equal(np.rot90(bgr[..., ::-1], info.rotation // 90), frame.rgb)
            if number == 20:
                break


@pytest.mark.parametrize(("name", "pixel_format"), CLIPS.items())
def test_rgb_equals_its_bgr_bit_for_bit(name, pixel_format):
    info = probe_clip(name).info
    assert info.pixel_format == pixel_format
    check(clip_path(name), info)


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv420p", "yuvj420p", "yuv422p10le", "nv12"])
def test_rgb_equals_its_bgr_for_made_videos(tmp_path, pix_fmt):
    path = write_video(tmp_path / "a.mkv", numbered_frames(8, 162, 98), pix_fmt=pix_fmt)
    check(str(path), probe_file(path).info)
