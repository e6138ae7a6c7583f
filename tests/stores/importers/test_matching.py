"""Names to videos, times to the videos' times."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers.label_set import LINE_SCHEMA
from reelbank.stores.importers.matching import match, named_videos
from reelbank.stores.labels import label_schema
from tests.stores.builders import STRANGE_NAMES

ODD_NAMES = (*STRANGE_NAMES, "it's", "..", "{", "%s", "{stem}", "a/..", "a/.hidden", "/", "a/b.c/")


def lines_of(*lines):
    given = {"task": "t", "source_line": 1}
    return pa.Table.from_pylist([given | line for line in lines], schema=LINE_SCHEMA)


def moments(*times, name="a"):
    return lines_of(
        *({"source_name": name, "time": t, "source_line": n} for n, t in enumerate(times, 1))
    )


@pytest.mark.parametrize(
    ("id_format", "name"),
    [
        ("{stem}", "P01_12.final"),
        ("{name}", "P01_12.final.MP4"),
        ("{path}", "films/P01/P01_12.final.MP4"),
        ("{parent}", "P01"),
        ("{parent}/{stem}", "P01/P01_12.final"),
        ("v_{stem}.avi", "v_P01_12.final.avi"),
        ("{{{stem}}}", "{P01_12.final}"),
    ],
)
def test_a_pattern_makes_a_videos_name(id_format, name):
    video_id = "films/P01/P01_12.final.MP4"
    assert named_videos([video_id], id_format) == {name: video_id}


@pytest.mark.parametrize(
    ("video_id", "stem"),
    [
        ("a.mp4", "a"),
        ("a", "a"),
        (".hidden", ".hidden"),
        ("..", ".."),
        ("a/..", ".."),
        ("x/y.z/w", "w"),
        ("it's.mkv", "it's"),
        ("{.mkv", "{"),
        ("100%.mkv", "100%"),
        ("a.", "a"),
    ],
)
def test_a_stem_is_the_name_without_its_suffix(video_id, stem):
    assert named_videos([video_id], "{stem}") == {stem: video_id}


@pytest.mark.parametrize(
    "id_format",
    [
        "",
        "plain",
        "{",
        "}",
        "{}",
        "{0}",
        "{stem!r}",
        "{stem:>9}",
        "{stem.__class__}",
        "{stem[0]}",
        "{Stem}",
        "{stem",
        "{{stem}}",
        "{path.__init__.__globals__}",
        "{stem:{name}}",
    ],
)
def test_a_pattern_is_nothing_but_text_and_the_four_fields(id_format):
    with pytest.raises(ValueError, match=r"--id-format .* must be text with one or more of the"):
        named_videos(["a.mp4"], id_format)


def test_two_videos_of_one_name_are_both_named():
    with pytest.raises(ValueError, match=r"one name, 'one', to 'a/one\.mp4' and to 'b/one\.mp4'"):
        named_videos(["a/one.mp4", "b/one.mp4"], "{stem}")
    assert len(named_videos(["a/one.mp4", "b/one.mp4"], "{parent}/{stem}")) == 2


@given(names=st.sets(st.sampled_from(ODD_NAMES) | st.text(max_size=8)))
def test_whole_ids_match_whatever_they_hold(names):
    assert named_videos(sorted(names), "{path}") == {name: name for name in names}


def test_every_strange_name_finds_its_video():
    lines = lines_of(*({"source_name": name} for name in ODD_NAMES))
    found = match(lines, ends=dict.fromkeys(ODD_NAMES), id_format="{path}")
    assert not found.unmatched
    assert found.lines.schema.names == label_schema("labels").names
    for line in found.lines.to_pylist():
        assert line["video_id"] == line["source_name"]


def test_names_without_a_video_and_videos_without_a_name_are_listed():
    lines = lines_of(*({"source_name": name} for name in ("b", "x", "a", "x", "w")))
    found = match(lines, ends={"a.mp4": None, "b.mp4": None, "c.mp4": None}, id_format="{stem}")
    assert found.lines["video_id"].to_pylist() == ["a.mp4", "b.mp4"]
    assert found.unmatched == {"w": 1, "x": 2}
    assert found.unlabelled == ("c.mp4",)


def test_where_no_name_matches_the_message_shows_both_sides():
    with pytest.raises(ValueError, match=r"none of the 1 names .* 'x', .* such as 'a'"):
        match(lines_of({"source_name": "x"}), ends={"a.mp4": None}, id_format="{stem}")
    with pytest.raises(ValueError, match="the store has no videos"):
        match(lines_of({"source_name": "x"}), ends={}, id_format="{stem}")
    with pytest.raises(ValueError, match="the files hold no line"):
        match(lines_of(), ends={"a.mp4": None}, id_format="{stem}")


def test_the_offset_is_added_to_times_and_spans():
    lines = lines_of(
        {"source_name": "a", "time": 902.0},
        {"source_name": "a", "start_seconds": 903.5, "end_seconds": 904.0, "source_line": 2},
        {"source_name": "a", "source_line": 3},
    )
    found = match(lines, ends={"a": 900.0}, id_format="{path}", time_offset=-902.0)
    shown = ("time", "start_seconds", "end_seconds")
    assert [tuple(one[name] for name in shown) for one in found.lines.to_pylist()] == [
        (0.0, None, None),
        (None, 1.5, 2.0),
        (None, None, None),
    ]


def test_an_offset_needs_times():
    with pytest.raises(ValueError, match="no line has a time; leave it out"):
        match(lines_of({"source_name": "a"}), ends={"a": 1.0}, id_format="{path}", time_offset=1.0)


def test_moments_outside_of_a_video_are_left_out_and_counted():
    found = match(moments(-0.5, 0.0, 9.99, 10.0, 11.0), ends={"a": 10.0}, id_format="{path}")
    assert found.lines["time"].to_pylist() == [0.0, 9.99]
    assert found.outside == {"a": 3}
    assert found.num_reaching_out == 0


def test_a_video_of_unknown_length_has_no_end():
    found = match(moments(0.0, 1e9), ends={"a": None}, id_format="{path}")
    assert len(found.lines) == 2


@pytest.mark.parametrize(
    ("start", "end", "is_kept", "reaches_out"),
    [
        (-2.0, -1.0, False, False),
        (-2.0, 0.0, False, False),
        (-2.0, 0.1, True, True),
        (0.0, 0.0, True, False),
        (0.0, 10.0, True, False),
        (9.0, 10.1, True, True),
        (-1.0, 11.0, True, True),
        (10.0, 10.0, False, False),
        (10.0, 12.0, False, False),
    ],
)
def test_a_span_stays_whole_where_some_of_it_lies_in_the_video(start, end, is_kept, reaches_out):
    inside = {"source_name": "a", "time": 1.0}
    span = {"source_name": "a", "start_seconds": start, "end_seconds": end, "source_line": 2}
    found = match(lines_of(inside, span), ends={"a": 10.0}, id_format="{path}")
    kept = [(one["start_seconds"], one["end_seconds"]) for one in found.lines.to_pylist()[1:]]
    assert kept == ([(start, end)] if is_kept else [])
    assert (found.num_reaching_out, sum(found.outside.values())) == (reaches_out, not is_kept)


def test_where_all_lies_outside_the_message_gives_the_remedy():
    with pytest.raises(ValueError, match=r"all 2 lines lie outside .* 902 s of 'a'.* 896\.5 s"):
        match(moments(902.0, 903.0), ends={"a": 896.5}, id_format="{path}")


def test_lines_come_by_video_split_task_and_line_whatever_the_order_of_the_files():
    some = [
        {"source_name": name, "split": split, "task": task, "source_line": number}
        for name in ("b", "a")
        for split in ("train", "test", None)
        for task in ("excluded", "action")
        for number in (2, 1)
    ]
    ends = {"a": None, "b": None}
    one, other = (
        match(lines_of(*lines), ends=ends, id_format="{path}").lines for lines in (some, some[::-1])
    )
    assert one.equals(other)
    order = [
        (line["video_id"], line["split"] or "~", line["task"], line["source_line"])
        for line in one.to_pylist()
    ]
    assert order == sorted(order)


def test_lines_of_one_row_keep_their_order():
    some = [{"source_name": "a", "label_id": number} for number in range(1000)]
    found = match(lines_of(*some), ends={"a": None}, id_format="{path}")
    assert found.lines["label_id"].to_pylist() == list(range(1000))


def test_lines_that_repeat_are_kept_and_counted():
    found = match(moments(1.0, 2.0, 1.0, 1.0), ends={"a": None}, id_format="{path}")
    assert (len(found.lines), found.num_repeated) == (4, 2)


TIMES = st.lists(st.integers(-20, 40).map(lambda half: half / 2), min_size=1, max_size=30)


@given(times=TIMES, end=st.integers(1, 20), offset=st.integers(-10, 10))
def test_kept_and_counted_lines_are_all_lines(times, end, offset):
    lines, ends = moments(*times, 0.0 - offset), {"a": float(end)}
    found = match(lines, ends=ends, id_format="{path}", time_offset=float(offset))
    assert len(found.lines) + sum(found.outside.values()) == len(lines)
    assert all(0 <= time < end for time in found.lines["time"].to_pylist())
    expected = sorted(t + offset for t in [*times, -offset] if 0 <= t + offset < end)
    assert sorted(found.lines["time"].to_pylist()) == expected
