"""Values along an axis: a panel for each metric, a line for each model, its ceiling dashed."""

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from reelbank.jobs.reports.chart_parts import (
    WIDTH,
    Mark,
    Panel,
    Series,
    colour_of,
    names_of,
    rule,
    share_range,
    share_ticks,
    svg,
    text,
)

LEGEND_HEIGHT = 40
PANEL_HEIGHT = 290
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 34, 46
DASH = 6
"""Pixels of a dash; models with the same ceiling take turns along it."""


def draw_lines(panels: Sequence[Panel], *, axis: str, values: Sequence[float]) -> Markup:
    """The chart as SVG; `axis` names the lower side, `values` are all its values, rising.

    Marks must have a place on the axis. It is logarithmic where the values are, roughly.
    """
    columns = min(len(panels), 2)
    names = names_of(panels)
    shares = share_range(panels)
    parts = list(_legend(names, _has_ceilings(panels)))
    for number, panel in enumerate(panels):
        place = _Place(
            left=(number % columns) * WIDTH / columns,
            top=LEGEND_HEIGHT + (number // columns) * PANEL_HEIGHT,
            width=WIDTH / columns,
            values=values,
            shares=shares,
        )
        parts += _frame(place, panel.title, axis)
        parts += _ceilings(place, panel, names)
        for one in panel.series:
            parts += _series(place, one, colour_of(names.index(one.name)))
    rows = math.ceil(len(panels) / columns)
    return svg(LEGEND_HEIGHT + rows * PANEL_HEIGHT, f"{', '.join(names)} by {axis}", parts)


class _Place:
    """Where a panel lies, and where values lie in it."""

    def __init__(
        self,
        *,
        left: float,
        top: float,
        width: float,
        values: Sequence[float],
        shares: tuple[float, float],
    ) -> None:
        self.left, self.right = left + LEFT, left + width - RIGHT
        self.top, self.bottom = top + TOP, top + PANEL_HEIGHT - BOTTOM
        self.values, self.shares = values, shares
        self._is_log = values[0] > 0 and values[-1] / values[0] >= 8

    def x(self, value: float) -> float:
        low, high = self._scaled(self.values[0]), self._scaled(self.values[-1])
        share = (self._scaled(value) - low) / (high - low) if high > low else 0.5
        # The outermost marks keep off the sides.
        return self.left + 12 + share * (self.right - self.left - 24)

    def y(self, share: float) -> float:
        low, high = self.shares
        return self.bottom - (share - low) / (high - low) * (self.bottom - self.top)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._is_log else value


def _has_ceilings(panels: Sequence[Panel]) -> bool:
    return any(
        mark.ceiling is not None for panel in panels for one in panel.series for mark in one.marks
    )


def _legend(names: Sequence[str], has_ceilings: bool) -> Iterator[Markup]:
    x = float(LEFT)
    for number, name in enumerate(names):
        yield Markup(
            '<g stroke="{0}" fill="{0}"><line class="line" x1="{1:g}" x2="{2:g}" y1="18" y2="18"/>'
            '<circle cx="{3:g}" cy="18" r="3.5"/></g>'
        ).format(colour_of(number), x, x + 24, x + 12)
        yield text(x + 31, 22, name, "name")
        x += 31 + 7.2 * len(name) + 26
    if has_ceilings:
        yield Markup(
            '<line class="ceiling key" stroke-dasharray="{0} {0}" x1="{1:g}" x2="{2:g}" y1="18" '
            'y2="18"/>'
        ).format(DASH, x, x + 30)
        yield text(x + 37, 22, "the best that anyone can reach")


def _frame(place: _Place, title: str, axis: str) -> Iterator[Markup]:
    yield text(place.left, place.top - 12, title, "title")
    for share in share_ticks(*place.shares, at_most=8):
        yield rule(place.left, place.y(share), place.right, place.y(share))
        yield text(place.left - 8, place.y(share) + 4, f"{100 * share:.0f}", "end")
    last = -math.inf
    for value in place.values:
        words = f"{value:g}"
        yield rule(place.x(value), place.bottom, place.x(value), place.bottom + 4)
        if place.x(value) - last > 7 * len(words) + 5:
            yield text(place.x(value), place.bottom + 18, words, "middle")
            last = place.x(value)
    yield text((place.left + place.right) / 2, place.bottom + 37, axis, "middle")


def _ceilings(place: _Place, panel: Panel, names: Sequence[str]) -> Iterator[Markup]:
    """Each ceiling dashed in its line's colour; of equal ones the colours take turns."""
    sharing: dict[str, list[str]] = {}
    for one in panel.series:
        points = " ".join(
            f"{place.x(_at(mark)):.1f},{place.y(mark.ceiling):.1f}"
            for mark in one.marks
            if mark.ceiling is not None
        )
        if points:
            sharing.setdefault(points, []).append(one.name)
    for points, owners in sharing.items():
        for turn, name in enumerate(owners):
            yield Markup(
                '<polyline class="ceiling" stroke="{}" stroke-dasharray="{} {}" '
                'stroke-dashoffset="{}" points="{}"/>'
            ).format(colour_of(names.index(name)), DASH, DASH * len(owners), -DASH * turn, points)


def _series(place: _Place, one: Series, colour: str) -> Iterator[Markup]:
    points = " ".join(f"{place.x(_at(mark)):.1f},{place.y(mark.mean):.1f}" for mark in one.marks)
    yield Markup('<g stroke="{0}" fill="{0}"><polyline class="line" points="{1}"/>').format(
        colour, points
    )
    for mark in one.marks:
        x, y = place.x(_at(mark)), place.y(mark.mean)
        if mark.error:
            low, high = place.y(mark.mean - mark.error), place.y(mark.mean + mark.error)
            yield rule(x, low, x, high, "error")
            yield rule(x - 3, low, x + 3, low, "error")
            yield rule(x - 3, high, x + 3, high, "error")
        yield Markup(
            '<circle cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}, {:g}: {}</title></circle>'
        ).format(x, y, one.name, _at(mark), mark.title)
    yield Markup("</g>")


def _at(mark: Mark) -> float:
    assert mark.at is not None
    return mark.at
