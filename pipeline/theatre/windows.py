"""What a window of the benchmark shows of cues and poses: the outcomes that observers tell apart.

A cue or a pose is seen at whole seconds; a window is a range of seconds around one second of a
pose. Two events of one puppet and family lie so far apart that a window that shows one second of a
pose shows at most one other event (`check_supports`), so every outcome can be enumerated.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.events import Timing, timings
from reelbank.pipeline.theatre.roles import Family

View = Literal["batch", "causal"]

Shown = tuple[int, int, int]
"""Seconds of the window that show a cue of the first thing, of the second thing, and the pose."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a window shows of events of one puppet and family, before labels are drawn."""

    own: int
    """Seconds that show the cue of the pose in question."""
    other: int
    """Seconds that show the cue of another event."""
    poses: int
    """Seconds that show the pose, of whichever event."""


def window_of(view: View, support: float) -> range:
    """Seconds in a window, counted from its own: [-s/2, s/2) or (-s, 0]."""
    if view == "causal":
        return range(-int(np.ceil(support)) + 1, 1)
    half = support / 2
    return range(-int(np.floor(half)), int(np.ceil(half)))


def check_supports(difficulty: Difficulty, supports: Sequence[float]) -> None:
    """ValueError where a window could show three events of one puppet and family."""
    # Two cues further on or back, and from both the farthest second of a pose.
    two_acts = 2 * difficulty.act_seconds - difficulty.act_jitter_seconds
    longest = two_acts - 2 * difficulty.horizon_seconds
    if max(supports) > longest:
        raise ValueError(
            f"a support of {max(supports):g} s could show three events of one puppet, which are "
            f"not enumerated; give supports up to {longest} s, or longer acts"
        )


def gaps(difficulty: Difficulty) -> list[tuple[int, float]]:
    """Seconds from one cue to the next of the same puppet and family, and their probability."""
    act, jitter = difficulty.act_seconds, difficulty.act_jitter_seconds
    return [
        (act + shift, (jitter + 1 - abs(shift)) / (jitter + 1) ** 2)
        for shift in range(-jitter, jitter + 1)
    ]


def sights(
    difficulty: Difficulty, family: Family, window: range, film_seconds: Sequence[int]
) -> dict[Sight, float]:
    """Every sight from a second of a pose and its probability, in films of these lengths.

    Events lie wholly inside a film, so near its ends an event has no neighbour.
    """
    known = timings(difficulty, family)
    found: dict[Sight, float] = defaultdict(float)
    for timing, share in known:
        fits = _placings(film_seconds, timing.last - timing.first + 1)
        for second in range(timing.start, timing.end):
            seen = range(second + window.start, second + window.stop)
            own, poses = _overlaps(difficulty, timing, seen)
            left = share * fits
            for (cues, more), chance in _neighbours(difficulty, known, timing, seen, film_seconds):
                found[Sight(own, cues, poses + more)] += share * chance
                left -= share * chance
            found[Sight(own, 0, poses)] += left
    total = sum(found.values())
    return {sight: weight / total for sight, weight in found.items() if weight > 0}


def _neighbours(
    difficulty: Difficulty,
    known: Sequence[tuple[Timing, float]],
    timing: Timing,
    seen: range,
    film_seconds: Sequence[int],
) -> Iterator[tuple[tuple[int, int], float]]:
    """Seconds of cue and pose that an event before or after adds, and its weight."""
    for gap, odds in gaps(difficulty):
        for shift in (-gap, gap):
            for other, share in known:
                first, last = other.first + shift, other.last + shift
                if last < seen.start or first >= seen.stop:
                    continue
                both = max(last, timing.last) - min(first, timing.first) + 1
                around = range(seen.start - shift, seen.stop - shift)
                yield (
                    _overlaps(difficulty, other, around),
                    odds * share * _placings(film_seconds, both),
                )


def _overlaps(difficulty: Difficulty, timing: Timing, seen: range) -> tuple[int, int]:
    """Seconds of `seen`, counted from the start of the cue, that show the cue and the pose."""
    return _common(difficulty.cue_offsets(), seen), _common(range(timing.start, timing.end), seen)


def _common(one: range, other: range) -> int:
    return max(0, min(one.stop, other.stop) - max(one.start, other.start))


def _placings(film_seconds: Sequence[int], length: int) -> float:
    """In how many places of the films something of `length` seconds fits."""
    return float(sum(max(0, seconds - length + 1) for seconds in film_seconds))


def outcomes(
    difficulty: Difficulty, sights_of: Mapping[Sight, float]
) -> dict[Shown, tuple[float, float]]:
    """What is shown without order -> probability of it with the first and with the second label."""
    found: dict[Shown, list[float]] = defaultdict(lambda: [0.0, 0.0])
    shown, honest = difficulty.shown_rate, difficulty.honest_rate
    other_kinds = ((0, shown / 2), (1, shown / 2), (None, 1 - shown))
    for sight, weight in sights_of.items():
        for meaning in (0, 1):
            own_kinds = (
                (meaning, shown * honest),
                (1 - meaning, shown * (1 - honest)),
                (None, 1 - shown),
            )
            for own, own_chance in own_kinds:
                for other, other_chance in other_kinds:
                    cues = [0, 0]
                    if own is not None:
                        cues[own] += sight.own
                    if other is not None:
                        cues[other] += sight.other
                    chance = weight / 2 * own_chance * other_chance
                    found[cues[0], cues[1], sight.poses][meaning] += chance
    return {shown: (chances[0], chances[1]) for shown, chances in found.items()}
