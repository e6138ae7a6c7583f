"""The generator of numbered videos itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.pipeline.decode.transforms import resize_short_side
from tests.pipeline.decode.clips import probe_file
from tests.videos import numbered_frame, read_number, write_video


@given(st.integers(0, 2**24 - 1), st.integers(112, 400), st.integers(112, 400))
def test_a_number_can_be_read_back_at_any_size(index, width, height):
    assert read_number(numbered_frame(index, width, height)) == index


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"options": {"crf": "40"}}),
        ("a.mp4", {"codec": "libx265"}),
        ("a.webm", {"codec": "libvpx-vp9", "options": {"b": "150k"}}),
        ("a.avi", {"codec": "mpeg4", "options": {"b": "300k"}}),
        ("a.mkv", {"codec": "libx264", "pix_fmt": "yuv420p10le"}),
    ],
)
def test_numbers_survive_compression_and_112_pixels(tmp_path, name, options):
    numbers = [0, 1, 2, 4095, 4096, 2**24 - 1, 11184810, 5592405]
    pictures = [numbered_frame(number, 640, 360) for number in numbers]
    path = write_video(tmp_path / name, pictures, **options)
    with PyAVReader(str(path), probe_file(path).info, threads=1) as reader:
        small = [resize_short_side(frame.rgb, 112) for frame in reader]
    assert [read_number(rgb) for rgb in small] == numbers


def test_a_picture_without_a_number_is_refused():
    with pytest.raises(ValueError, match="no readable number"):
        read_number(np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(ValueError, match="24 bits"):
        numbered_frame(2**24)
