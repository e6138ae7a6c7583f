"""Whole or not: every real clip is judged as a person would judge it."""

from dataclasses import replace

import pytest

from reelbank.pipeline.decode.health import judge
from tests.pipeline.decode.clips import DAMAGED, decodable_clips, decode_clip, probe_clip


def verdict(name: str) -> str:
    info = probe_clip(name).info
    decoded = decode_clip(name)
    assert decoded.reader.end_seconds is not None
    return judge(
        info,
        decoded=len(decoded.times),
        corrupt=decoded.reader.num_corrupt,
        lost_spans=len(decoded.reader.lost),
        covered_seconds=decoded.reader.end_seconds,
    )[0]


def test_damaged_clips_are_partial_and_all_others_are_ok():
    judged = {name: verdict(name) for name in decodable_clips()}
    assert {name for name, status in judged.items() if status == "partial"} == DAMAGED


def test_a_file_cut_off_without_an_error_is_known_by_its_declared_length():
    info = probe_clip("derived/truncated_60pct.mkv").info
    decoded = decode_clip("derived/truncated_60pct.mkv")
    assert not decoded.reader.damaged
    status, sentence = judge(
        info, decoded=180, corrupt=0, lost_spans=0, covered_seconds=decoded.reader.end_seconds
    )
    assert status == "partial"
    assert sentence is not None
    assert "10.381" in sentence


@pytest.mark.parametrize(
    ("change", "counts", "expected"),
    [
        ({}, {}, "ok"),
        ({"declared_seconds": 10.4}, {}, "ok"),
        ({"declared_seconds": 10.6}, {}, "partial"),
        ({"declared_seconds": 9.0}, {}, "ok"),
        ({"declared_seconds": 12.9, "rate": 1.0}, {}, "ok"),
        ({"declared_frames": 500}, {}, "ok"),
        ({}, {"lost_spans": 1}, "partial"),
        ({}, {"corrupt": 1}, "partial"),
        ({"clock": "counted"}, {"decoded": 90}, "partial"),
        ({"clock": "counted"}, {"decoded": 50}, "ok"),
        ({"clock": "counted"}, {"decoded": 98}, "ok"),
    ],
    ids=[
        "everything came",
        "a header half a second long is usual",
        "a header that promises more",
        "a header that promises less",
        "at one frame a second the tolerance is three frames",
        "a wrong number of frames says nothing",
        "a lost span",
        "a corrupt picture",
        "packets without pictures in a raw stream",
        "two fields for each picture",
        "a few packets without a picture",
    ],
)
def test_the_rules_of_judging(change, counts, expected):
    info = replace(
        probe_clip("psd_fades.mp4").info,
        **({"num_packets": 100, "declared_seconds": 10.0, "rate": 10.0} | change),
    )
    given = {"decoded": 100, "corrupt": 0, "lost_spans": 0, "covered_seconds": 10.0} | counts
    assert judge(info, **given)[0] == expected
