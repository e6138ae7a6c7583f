"""What the charts of comparisons share: their input, range, colours and text."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reelbank.jobs.reports.colours import PALETTE

WIDTH = 1000

STYLE = Markup(
    "<style>"
    ".chart{color-scheme:light dark;--ink:#1d1f24;--soft:#5c6068;--rule:#e0dbd0;--back:#fffefb}"
    "@media(prefers-color-scheme:dark){"
    ".chart{--ink:#e9e7e1;--soft:#a9adb6;--rule:#353a44;--back:#1c1f25}}"
    ".chart{display:block;width:100%;height:auto}"
    ".chart .back{fill:var(--back)}"
    ".chart text{font:12px Inter,'Segoe UI',system-ui,Arial,sans-serif;fill:var(--soft)}"
    ".chart .title{font-weight:600;font-size:13px;fill:var(--ink)}"
    ".chart .name{fill:var(--ink)}"
    ".chart .end{text-anchor:end}.chart .middle{text-anchor:middle}"
    ".chart .rule{stroke:var(--rule)}"
    ".chart .error{stroke-width:1.5}"
    ".chart .line{fill:none;stroke-width:2;stroke-linejoin:round}"
    ".chart .ceiling{fill:none;stroke-width:1.5}"
    ".chart .key{stroke:var(--soft)}"
    "</style>"
)
"""Inside each chart, so that it looks the same in a page and as a file of its own."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One measured value, all in [0, 1]."""

    mean: float
    error: float | None = None
    """Standard error of the mean; None where it is not known."""
    ceiling: float | None = None
    """The best that anyone can reach; None where it is not known."""
    at: float | None = None
    """Place on the axis, where there is one."""

    @property
    def text(self) -> str:
        """In per cent, such as '86.3 ± 0.4'."""
        error = "" if self.error is None else f" ± {100 * self.error:.1f}"
        return f"{100 * self.mean:.1f}{error}"

    @property
    def title(self) -> str:
        """The same in words, for whoever points at it."""
        ceiling = "" if self.ceiling is None else f"; ceiling {100 * self.ceiling:.1f}"
        return self.text + ceiling

    @property
    def heights(self) -> Iterable[float]:
        """All that is drawn of it."""
        error = self.error or 0.0
        return (self.mean - error, self.mean + error, *filter(None, [self.ceiling]))


@dataclass(frozen=True, slots=True)
class Series:
    """One model: its marks, rising along the axis where there is one."""

    name: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric of all models."""

    title: str
    series: tuple[Series, ...]


def names_of(panels: Sequence[Panel]) -> list[str]:
    """Names of all series, in the order in which they come."""
    return list(dict.fromkeys(one.name for panel in panels for one in panel.series))


def colour_of(number: int) -> str:
    """Colour of a series; twelve, then again from the start."""
    return PALETTE[number % len(PALETTE)]


def share_range(panels: Sequence[Panel]) -> tuple[float, float]:
    """Tenths of [0, 1] that hold everything drawn."""
    heights = [
        height
        for panel in panels
        for one in panel.series
        for mark in one.marks
        for height in mark.heights
    ]
    low = math.floor(10 * min(heights, default=0.0) + 1e-9) / 10
    high = math.ceil(10 * max(heights, default=1.0) - 1e-9) / 10
    low = max(min(low, high - 0.1), 0.0)
    return low, min(max(high, low + 0.1), 1.0)


def share_ticks(low: float, high: float, *, at_most: int) -> list[float]:
    """Tenths in the range, or every second or fifth where they would be too many."""
    for step in (1, 2, 5):
        found = [tenth / 10 for tenth in range(round(10 * low), round(10 * high) + 1, step)]
        if len(found) <= at_most:
            return found
    return [low, high]


def svg(height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """The whole chart, which may also be a file of its own."""
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {0} {1:g}" role="img" '
        'aria-label="{2}">{3}<rect class="back" width="{0}" height="{1:g}"/>{4}</svg>'
    ).format(WIDTH, height, label, STYLE, Markup("").join(parts))


def text(x: float, y: float, words: str, kind: str = "") -> Markup:
    """Text at a place."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, words)


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "rule") -> Markup:
    """A straight line of a class."""
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )
