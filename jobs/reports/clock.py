"""Times and time axes as a person reads them."""

import math

STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Distances between ticks, in seconds; beyond the last, whole multiples of it."""


def clock_text(seconds: float, *, step: float = 1.0) -> str:
    """0:07, 12:30 or 1:02:03; with as many decimals as ticks `step` seconds apart need."""
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9)) if step < 1 else 0
    ticks = round(max(seconds, 0.0) * 10**decimals)
    whole, rest = divmod(ticks, 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest:0{decimals}d}" if decimals else ""
    if hours:
        return f"{hours}:{minutes:02d}:{second:02d}{fraction}"
    return f"{minutes}:{second:02d}{fraction}"


def duration_text(seconds: float | None) -> str:
    """A length in words: '0.04 s', '58.2 s', '3 min 05 s', '2 h 01 min'."""
    if seconds is None:
        return "unknown length"
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def ticks(seconds: float, *, at_most: int) -> tuple[list[float], float]:
    """Round times from 0 to `seconds`, no more than `at_most` + 1, and the step between them."""
    longest = STEPS[-1] * math.ceil(seconds / at_most / STEPS[-1])
    step = next((step for step in STEPS if seconds / step <= at_most), longest)
    return [number * step for number in range(int(seconds / step + 1e-9) + 1)], float(step)
