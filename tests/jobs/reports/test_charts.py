"""Charts of comparisons: every mark is there, at its place."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from reelbank.jobs.reports.chart_parts import Mark, Panel, Series, share_range, share_ticks
from reelbank.jobs.reports.dot_chart import draw_dots
from reelbank.jobs.reports.line_chart import draw_lines

VALUES = (2.0, 5.0, 10.0, 60.0)
LABEL = "{http://www.w3.org/2000/svg}"


def series(name, start, ceiling=0.9):
    marks = [Mark(start + number / 20, 0.01, ceiling, value) for number, value in enumerate(VALUES)]
    return Series(name, tuple(marks))


def elements(chart, tag, kind=None):
    found = ElementTree.fromstring(chart).iter(f"{LABEL}{tag}")
    return [one for one in found if kind is None or one.get("class") == kind]


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def test_lines_rise_with_their_values_and_end_below_their_ceilings():
    chart = draw_lines([Panel("map", (series("LFB", 0.5),))], axis="support (s)", values=VALUES)
    [line], [ceiling] = elements(chart, "polyline", "line"), elements(chart, "polyline", "ceiling")
    xs, ys = zip(*points(line), strict=True)
    assert list(xs) == sorted(xs)
    # The picture's y grows downwards.
    assert list(ys) == sorted(ys, reverse=True)
    assert [x for x, _ in points(ceiling)] == list(xs)
    assert all(top < y for (_, top), y in zip(points(ceiling), ys, strict=True))


def test_equal_steps_of_the_measure_are_equal_steps_of_the_picture():
    chart = draw_lines([Panel("map", (series("LFB", 0.5),))], axis="support (s)", values=VALUES)
    [line] = elements(chart, "polyline", "line")
    ys = [y for _, y in points(line)]
    steps = [below - above for below, above in pairwise(ys)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2)


def test_equal_ceilings_share_one_line_in_turns():
    panel = Panel("map", (series("one", 0.5), series("two", 0.6), series("three", 0.4, 0.8)))
    chart = draw_lines([panel], axis="x", values=VALUES)
    dashes = [
        tuple(int(one.get(f"stroke-{name}").split()[-1]) for name in ("dasharray", "dashoffset"))
        for one in elements(chart, "polyline", "ceiling")
    ]
    assert sorted(dashes) == [(6, 0), (12, -6), (12, 0)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_everything_lies_inside_the_picture(count):
    panels = [Panel(f"metric {n}", (series("a", 0.1), series("b" * 30, 0.8))) for n in range(count)]
    for chart in (draw_lines(panels, axis="x", values=VALUES), draw_dots(panels)):
        _, _, width, height = map(float, ElementTree.fromstring(chart).get("viewBox").split())
        for circle in elements(chart, "circle"):
            assert 0 < float(circle.get("cx")) < width
            assert 0 < float(circle.get("cy")) < height
        for line in elements(chart, "line"):
            assert 0 <= float(line.get("x1")) <= width
            assert 0 <= float(line.get("y2")) <= height


def test_every_mark_of_the_dots_says_its_numbers():
    one = Series("LFB & co", (Mark(0.863, 0.004, 0.931),))
    other = Series("plain", (Mark(0.5),))
    chart = draw_dots([Panel("map, %", (one, other))])
    words = " ".join(ElementTree.fromstring(chart).itertext())
    assert "LFB & co: 86.3 ± 0.4; ceiling 93.1" in words
    assert "plain: 50.0" in words
    dots = sorted(float(one.get("cx")) for one in elements(chart, "circle"))
    assert len(dots) == 2
    bar = float(next(one for one in elements(chart, "line") if one.get("stroke-width")).get("x1"))
    assert dots[0] < dots[1] < bar


def test_a_model_without_a_metric_leaves_its_place_empty():
    with_both = Series("a", (Mark(0.5),))
    panels = [Panel("x", (with_both, Series("b", (Mark(0.6),)))), Panel("y", (with_both,))]
    assert len(elements(draw_dots(panels), "circle")) == 3


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((0.42, 0.58), (0.4, 0.6)),
        ((0.0, 1.0), (0.0, 1.0)),
        ((0.5,), (0.4, 0.5)),
        ((0.0,), (0.0, 0.1)),
    ],
)
def test_the_range_holds_all_marks_in_whole_tenths(means, expected):
    panels = [Panel("x", (Series("a", tuple(map(Mark, means))),))]
    assert share_range(panels) == pytest.approx(expected)


@pytest.mark.parametrize("at_most", [2, 4, 6, 11])
def test_ticks_are_few_and_lie_in_the_range(at_most):
    for low in range(10):
        for high in range(low + 1, 11):
            found = share_ticks(low / 10, high / 10, at_most=at_most)
            assert 1 < len(found) <= at_most or at_most == 2
            assert low / 10 <= found[0] <= found[-1] <= high / 10 + 1e-9


def test_a_chart_loads_nothing():
    chart = draw_dots([Panel("x", (series("<script>", 0.5),))])
    assert "<script>" not in chart
    assert not re.search(r"url\(|href|@import", chart)
