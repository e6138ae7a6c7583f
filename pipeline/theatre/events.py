"""Poses whose label only a cue tells: when they happen, what they mean, which cue is shown.

Times, labels and cues are drawn from streams of their own, so that one can be changed and all else
stays as it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.roles import FAMILIES, Family


@dataclass(frozen=True, slots=True)
class Timing:
    """When one event happens, in seconds from the start of its cue."""

    start: int
    """First second of the pose; negative where the pose comes before the cue."""
    end: int
    """One past the last second of the pose."""
    first: int
    """First second that the event takes up: of the pose, or of clips that show the cue."""
    last: int
    """Last such second."""


@dataclass(frozen=True, slots=True)
class Event:
    """One pose of one puppet and the cue for it."""

    family: Family
    puppet: int
    """Place in the cast of the puppet that takes the pose."""
    start: int
    """First second of the pose."""
    end: int
    """One past its last second."""
    cue: int
    """Second at which the cue begins, or would begin."""
    meaning: int
    """Index of the label in `MEANINGS[family]`."""
    shown: int | None
    """Index of the thing in `CUES[family]`; None where no cue is shown."""


def timings(difficulty: Difficulty, family: Family) -> list[tuple[Timing, float]]:
    """Every possible timing of an event and its probability."""
    lengths = range(difficulty.min_pose_seconds, difficulty.max_pose_seconds + 1)
    found = []
    for length in lengths:
        farthest = difficulty.horizon_seconds - length + 1
        if family == "contextual":
            near = difficulty.nearest_contextual
        else:
            near = difficulty.nearest_prospective
        distances = range(near, farthest + 1)
        share = 1 / len(lengths) / len(distances)
        found += [(_timing(difficulty, family, length, one), share) for one in distances]
    return found


def _timing(difficulty: Difficulty, family: Family, length: int, distance: int) -> Timing:
    """A pose of `length` seconds whose nearest second is `distance` from the start of the cue."""
    shown = difficulty.cue_offsets()
    if family == "contextual":
        return Timing(distance, distance + length, shown.start, distance + length - 1)
    start = 1 - distance - length
    return Timing(start, start + length, start, shown.stop - 1)


def write_events(
    difficulty: Difficulty, *, seconds: int, cast_size: int, seed: int
) -> tuple[Event, ...]:
    """All events that lie wholly inside a film of `seconds`, by puppet, family and time."""
    events: list[Event] = []
    for puppet in range(cast_size):
        for number, family in enumerate(FAMILIES):
            times = np.random.default_rng([seed, 10, puppet, number])
            labels = np.random.default_rng([seed, 11, puppet, number])
            cues = np.random.default_rng([seed, 12, puppet, number])
            for cue, timing in _times(difficulty, family, seconds, times):
                meaning = int(labels.integers(2))
                lies = cues.random() >= difficulty.honest_rate
                is_shown = cues.random() < difficulty.shown_rate
                events.append(
                    Event(
                        family=family,
                        puppet=puppet,
                        start=cue + timing.start,
                        end=cue + timing.end,
                        cue=cue,
                        meaning=meaning,
                        shown=(1 - meaning if lies else meaning) if is_shown else None,
                    )
                )
    return tuple(events)


def _times(
    difficulty: Difficulty, family: Family, seconds: int, rng: np.random.Generator
) -> Iterator[tuple[int, Timing]]:
    """Start of the cue and timing of each event, act after act."""
    known = timings(difficulty, family)
    shares = [share for _, share in known]
    # One act before the film, because an event may reach beyond the act that its cue begins in.
    act = int(rng.integers(difficulty.act_seconds)) - 2 * difficulty.act_seconds
    while act < seconds + difficulty.act_seconds:
        cue = act + int(rng.integers(difficulty.act_jitter_seconds + 1))
        timing = known[int(rng.choice(len(known), p=shares))][0]
        if cue + timing.first >= 0 and cue + timing.last < seconds:
            yield cue, timing
        act += difficulty.act_seconds
