"""Cells of annotation files as numbers, times and boxes; what is none is a bad line."""

import math
import re
from collections.abc import Sequence

from reelbank.stores.importers.lines import BadLineError

# float() alone would take 'nan', '1_0' and the digits of every script.
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"\d+", re.ASCII)
_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d)(\.\d+)?", re.ASCII)

MAX_CLASS = 2**31 - 1
"""Greatest class number that the table holds."""

MAX_INSTANCE = 2**63 - 1
"""Greatest number of a person or object that the table holds."""

Box = tuple[float, float, float, float]


def number(text: str, what: str) -> float:
    """A finite number."""
    if _NUMBER.fullmatch(text) is None or math.isinf(value := float(text)):
        raise BadLineError(f"{what} {text!r} is not a number" if text else f"{what} is empty")
    return value


def whole(text: str, what: str, most: int) -> int:
    """An integer from 0 to `most`."""
    # Its length first: int() refuses thousands of digits with words of its own.
    if _WHOLE.fullmatch(text) is None or len(text) > 40 or (value := int(text)) > most:
        reason = f"is not a whole number from 0 to {most}"
        raise BadLineError(f"{what} {text!r} {reason}" if text else f"{what} is empty")
    return value


def seconds(text: str, what: str) -> float:
    """A time in seconds, not negative."""
    value = number(text, what)
    if value < 0:
        raise BadLineError(f"{what} {text} is negative")
    return value


def clock_seconds(text: str, what: str) -> float:
    """Seconds of a time written as HH:MM:SS or HH:MM:SS.ss."""
    match = _CLOCK.fullmatch(text)
    if match is None or len(text) > 40:
        raise BadLineError(f"{what} {text!r} is not a time HH:MM:SS.ss")
    hours, minutes, whole_seconds = (int(match[group]) for group in (1, 2, 3))
    # Put together as text, so that the decimals are rounded once.
    return float(f"{hours * 3600 + minutes * 60 + whole_seconds}{match[4] or ''}")


def check_span(start: float, end: float) -> None:
    """A span may be empty, as some annotators' are, but not backward."""
    if end < start:
        raise BadLineError(f"the span ends at {end:g} s, before it starts at {start:g} s")


def box(cells: Sequence[str]) -> Box:
    """Corners x1 y1 x2 y2 within [0, 1], x1 < x2 and y1 < y2."""
    x1, y1, x2, y2 = (
        number(text, name) for text, name in zip(cells, ("x1", "y1", "x2", "y2"), strict=True)
    )
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise BadLineError(
            f"the box {' '.join(cells)} is not 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1"
        )
    return x1, y1, x2, y2


def named(text: str) -> str:
    """A video's name, not empty."""
    if not text:
        raise BadLineError("the video's name is empty")
    return text
