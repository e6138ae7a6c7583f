"""What each puppet does with its body, second by second: the actions that a clip tells."""

from dataclasses import dataclass

import numpy as np

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.roles import MOVEMENTS


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of one puppet."""

    kind: int
    """Index in `MOVEMENTS`."""
    start: int
    """First key time of the movement; it is seen from half a second before."""
    end: int
    """One past the last."""
    turn: float
    """Where in its cycle it begins, in [0, 1)."""


def write_movements(
    difficulty: Difficulty, *, seconds: int, cast_size: int, seed: int
) -> tuple[tuple[Movement, ...], ...]:
    """Movements of each puppet, one after the other without gaps; no kind follows itself."""
    rest = (1 - difficulty.stand_rate) / (len(MOVEMENTS) - 1)
    shares = np.array([difficulty.stand_rate] + [rest] * (len(MOVEMENTS) - 1))
    return tuple(
        _movements(difficulty, seconds, shares, np.random.default_rng([seed, 20, puppet]))
        for puppet in range(cast_size)
    )


def _movements(
    difficulty: Difficulty, seconds: int, shares: np.ndarray, rng: np.random.Generator
) -> tuple[Movement, ...]:
    found: list[Movement] = []
    start, kind = 0, -1
    while start < seconds:
        odds = shares.copy()
        if kind >= 0:
            odds[kind] = 0.0
        kind = int(rng.choice(len(shares), p=odds / odds.sum()))
        length = int(
            rng.integers(difficulty.min_movement_seconds, difficulty.max_movement_seconds + 1)
        )
        end = min(start + length, seconds)
        found.append(Movement(kind, start, end, float(rng.random())))
        start = end
    return tuple(found)
