"""What one model looked at: the weight of each row of a window, and the moments that had most."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reelbank.jobs.reports.chart_parts import WIDTH, rule, svg, text
from reelbank.jobs.reports.clock import clock_text
from reelbank.jobs.reports.colours import NO_TRACK, PALETTE
from reelbank.jobs.reports.thumbnails import Box, Thumbnail, Wanted, thumbnails_of
from reelbank.stores.store import Store

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 210, 44, 20, 30, 46
NUM_MOMENTS = 3
"""Moments that are pictured besides the clip's own."""
MARKED = PALETTE[0]
"""Colour of the box in question, and of the rows that are pictured."""


@dataclass(frozen=True, slots=True)
class Attended:
    """A classified box, and what the operator's weights were for it."""

    video_id: str
    time: float
    box: NDArray[np.float64]
    """(4,) x1 y1 x2 y2 in [0, 1]."""
    label: str
    """Class that the model claims."""
    score: float
    """How sure it is, in [0, 1]."""
    times: NDArray[np.float64]
    """(n,) key time of each row of the window."""
    boxes: NDArray[np.float32]
    """(n, 4) box of each row."""
    weights: NDArray[np.float32]
    """(n,) weight of each row, the mean over the operator's layers."""


@dataclass(frozen=True, slots=True)
class WindowView:
    """The same, drawn."""

    words: str
    chart: Markup
    pictures: tuple[tuple[Thumbnail, str], ...]
    """Pictures and what is said below them, rising in time; none without the film."""


def view_of(store: Store, attended: Attended, model: str) -> WindowView:
    """Draw it, with pictures from the film where that can be read."""
    where = f"{attended.video_id} at {clock_text(attended.time)}"
    words = (
        f"{model} says '{attended.label}' of the marked box of {where}, with a score of "
        f"{attended.score:.2f}. Each stem is a row of its window, as high as its weight."
    )
    return WindowView(words, _chart(attended), tuple(_pictures(store, attended)))


def _moments(attended: Attended) -> list[float]:
    """Key times whose rows have most weight together, rising."""
    times, places = np.unique(attended.times, return_inverse=True)
    sums = np.bincount(places, attended.weights, len(times))
    return sorted(times[np.argsort(-sums, kind="stable")[:NUM_MOMENTS]].tolist())


def _chart(attended: Attended) -> Markup:
    after = attended.times - attended.time
    low = float(after.min(initial=0.0)) - 1
    high = float(after.max(initial=0.0)) + 1
    highest = max(float(attended.weights.max(initial=0.0)), 1e-9)
    bottom = HEIGHT - BOTTOM

    def x(seconds: float) -> float:
        return LEFT + (seconds - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def parts() -> Iterator[Markup]:
        yield text(LEFT, TOP - 12, f"weight, up to {100 * highest:.1f} %", "title")
        yield rule(LEFT, bottom, WIDTH - RIGHT, bottom)
        yield rule(x(0.0), TOP, x(0.0), bottom)
        step = 5 if high - low > 12 else 1
        for second in range(int(np.ceil(low / step)) * step, int(high) + 1, step):
            yield text(x(second), bottom + 17, f"{second:+d}" if second else "clip", "middle")
        yield text((LEFT + WIDTH - RIGHT) / 2, bottom + 37, "seconds after the clip", "middle")
        shown = _moments(attended)
        for seconds, time, weight in zip(after, attended.times, attended.weights, strict=True):
            colour = MARKED if time in shown else NO_TRACK
            top = bottom - float(weight) / highest * (bottom - TOP)
            yield Markup('<g stroke="{0}" fill="{0}">').format(colour)
            yield rule(x(float(seconds)), bottom, x(float(seconds)), top, "line")
            yield Markup(
                '<circle cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle></g>'
            ).format(x(float(seconds)), top, f"{seconds:+g} s: {100 * weight:.1f} %")

    return svg(HEIGHT, "Weights of the rows of a window", parts())


def _pictures(store: Store, attended: Attended) -> Iterator[tuple[Thumbnail, str]]:
    [video] = store.table("videos", attended.video_id).to_pylist()
    moments = sorted({*_moments(attended), attended.time})
    wanted = [Wanted(time, None, tuple(_boxes(attended, time))) for time in moments]
    found, _ = thumbnails_of(video, wanted)
    # Pictures come in the order of the moments; a film that cannot be read gives none.
    for picture, time in zip(found, moments, strict=False):
        seconds = time - attended.time
        share = float(attended.weights[attended.times == time].sum())
        place = "the clip" if seconds == 0 else f"{abs(seconds):g} s {_side(seconds)}"
        yield picture, f"{place}: {100 * share:.0f} % of the weight"


def _side(seconds: float) -> str:
    return "before" if seconds < 0 else "after"


def _boxes(attended: Attended, time: float) -> Iterator[Box]:
    """The rows of a moment with their weights; at the clip, the box in question."""
    for number in np.flatnonzero(attended.times == time):
        weight = f"{100 * attended.weights[number]:.0f} %"
        yield _box(attended.boxes[number], NO_TRACK, weight)
    if time == attended.time:
        yield _box(attended.box, MARKED, attended.label)


def _box(corners: NDArray[np.floating], colour: str, name: str) -> Box:
    x1, y1, x2, y2 = (round(100 * float(corner), 2) for corner in corners)
    return Box(x1, y1, round(x2 - x1, 2), round(y2 - y1, 2), colour, name, name)
