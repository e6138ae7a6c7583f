"""What a window shows of the cues for other puppets, and what is left of it when it is pooled."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.staging import CAST_SIZE
from reelbank.pipeline.theatre.windows import Shown


def pooled(
    difficulty: Difficulty, own: Mapping[Shown, tuple[float, float]], window: range
) -> list[tuple[float, float]]:
    """Chances of both labels for each pair of counts of seconds that show the family's things.

    `own` is what the window shows of the puppet in question; the cues for the others are added, and
    nobody can tell which are whose. Both families show theirs at the same rate.
    """
    noise = np.ones((1, 1))
    alone = cues_of_another(difficulty, len(window))
    for _ in range(CAST_SIZE - 1):
        noise = _convolved(noise, alone)
    found: dict[Shown, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
    for (first, second, poses), chances in own.items():
        for (more_first, more_second), weight in np.ndenumerate(noise):
            if weight > 0:
                shown = (first + more_first, second + more_second, poses)
                found[shown] += weight * np.array(chances)
    return [(float(chances[0]), float(chances[1])) for chances in found.values()]


def cues_of_another(difficulty: Difficulty, length: int) -> NDArray[np.float64]:
    """Probability (n, m) of n and m seconds that show a puppet's first and second thing.

    In a window of `length` seconds anywhere in a long film.
    """
    shown = difficulty.cue_offsets()
    acts = -(-(length + len(shown)) // difficulty.act_seconds) + 2
    start = difficulty.act_seconds
    total: NDArray[np.float64] = np.zeros((1, 1))
    for phase in range(difficulty.act_seconds):
        window = range(start + phase, start + phase + length)
        inside = np.ones((1, 1))
        for act in range(acts + 1):
            inside = _convolved(inside, _of_act(difficulty, act * difficulty.act_seconds, window))
        total = _added(total, inside / difficulty.act_seconds)
    return total


def _of_act(difficulty: Difficulty, act: int, window: range) -> NDArray[np.float64]:
    """The same of the one cue of the act that begins at second `act`."""
    offsets = difficulty.cue_offsets()
    jitter = difficulty.act_jitter_seconds
    counts: NDArray[np.float64] = np.zeros((len(offsets) + 1, len(offsets) + 1))
    for shift in range(jitter + 1):
        first, stop = act + shift + offsets.start, act + shift + offsets.stop
        seen = max(0, min(stop, window.stop) - max(first, window.start))
        chance = 1 / (jitter + 1)
        counts[0, 0] += chance * (1 - difficulty.shown_rate)
        counts[seen, 0] += chance * difficulty.shown_rate / 2
        counts[0, seen] += chance * difficulty.shown_rate / 2
    size = int(np.flatnonzero(counts.sum(axis=0))[-1]) + 1
    return counts[:size, :size]


def _convolved(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution of the sum of two independent pairs of counts."""
    found: NDArray[np.float64] = np.zeros(
        (one.shape[0] + other.shape[0] - 1, one.shape[1] + other.shape[1] - 1)
    )
    for (first, second), weight in np.ndenumerate(other):
        if weight > 0:
            found[first : first + one.shape[0], second : second + one.shape[1]] += weight * one
    return found


def _added(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    size = tuple(max(pair) for pair in zip(one.shape, other.shape, strict=True))
    found: NDArray[np.float64] = np.zeros(size)
    for array in (one, other):
        found[: array.shape[0], : array.shape[1]] += array
    return found
