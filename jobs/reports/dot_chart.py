"""Values of models side by side: a row for each, a column for each metric, its ceiling a bar."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from reelbank.jobs.reports.chart_parts import (
    WIDTH,
    Mark,
    Panel,
    colour_of,
    names_of,
    rule,
    share_range,
    share_ticks,
    svg,
    text,
)

ROW_HEIGHT = 28
TOP, BOTTOM = 42, 34
NUMBERS_WIDTH = 92
"""Room for the value in figures, right of each column."""
LEAST_NAMES, MOST_NAMES = 90, 260


def draw_dots(panels: Sequence[Panel]) -> Markup:
    """The chart as SVG; each series has one mark in each panel where it was measured."""
    names = names_of(panels)
    gutter = min(max(LEAST_NAMES, 8 + 7.2 * max(map(len, names), default=0)), MOST_NAMES)
    bottom = TOP + ROW_HEIGHT * len(names)
    width = (WIDTH - gutter) / len(panels)
    shares = share_range(panels)
    parts = [
        text(gutter - 14, TOP + (number + 0.5) * ROW_HEIGHT + 4, name, "name end")
        for number, name in enumerate(names)
    ]
    for number, panel in enumerate(panels):
        left = gutter + number * width
        column = _Column(left + 4, left + width - NUMBERS_WIDTH, bottom, shares)
        parts += _frame(column, panel.title)
        for one in panel.series:
            row = names.index(one.name)
            for mark in one.marks:
                parts += _mark(column, mark, one.name, row)
    parts.append(_key(panels, bottom))
    return svg(bottom + BOTTOM + 18, f"{', '.join(names)} side by side", parts)


class _Column:
    """Where a metric's values lie."""

    def __init__(
        self, left: float, right: float, bottom: float, shares: tuple[float, float]
    ) -> None:
        self.left, self.right, self.bottom, self.shares = left, right, bottom, shares

    def x(self, share: float) -> float:
        low, high = self.shares
        return self.left + (share - low) / (high - low) * (self.right - self.left)


def _frame(column: _Column, title: str) -> Iterator[Markup]:
    yield text(column.left, TOP - 20, title, "title")
    for share in share_ticks(*column.shares, at_most=4):
        yield rule(column.x(share), TOP - 4, column.x(share), column.bottom)
        yield text(column.x(share), column.bottom + 16, f"{100 * share:.0f}", "middle")


def _mark(column: _Column, mark: Mark, name: str, row: int) -> Iterator[Markup]:
    y = TOP + (row + 0.5) * ROW_HEIGHT
    yield Markup('<g stroke="{0}" fill="{0}">').format(colour_of(row))
    if mark.ceiling is not None:
        x = column.x(mark.ceiling)
        yield Markup(
            '<line stroke-width="3" x1="{0:.1f}" x2="{0:.1f}" y1="{1:g}" y2="{2:g}"/>'
        ).format(x, y - 9, y + 9)
    if mark.error:
        low, high = column.x(mark.mean - mark.error), column.x(mark.mean + mark.error)
        yield rule(low, y, high, y, "error")
        yield rule(low, y - 3, low, y + 3, "error")
        yield rule(high, y - 3, high, y + 3, "error")
    yield Markup('<circle cx="{:.1f}" cy="{:g}" r="4.5"><title>{}: {}</title></circle></g>').format(
        column.x(mark.mean), y, name, mark.title
    )
    yield text(column.right + 12, y + 4, mark.text, "name")


def _key(panels: Sequence[Panel], bottom: float) -> Markup:
    marks = [mark for panel in panels for one in panel.series for mark in one.marks]
    words = ["● measured"]
    if any(mark.error is not None for mark in marks):
        words.append("± its error")
    if any(mark.ceiling is not None for mark in marks):
        words.append(" ┃ the best that anyone can reach")
    return text(WIDTH - 8, bottom + BOTTOM + 10, " ".join(words), "end")
