"""A play: everything that is known of one film of the benchmark before a pixel is drawn."""

from dataclasses import dataclass, field

import numpy as np

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.events import Event, write_events
from reelbank.pipeline.theatre.movements import Movement, write_movements
from reelbank.pipeline.theatre.puppets import BUILDS
from reelbank.pipeline.theatre.roles import COLOURS, CUES, MEANINGS, MOVEMENTS, NUMBERS
from reelbank.pipeline.theatre.staging import (
    CAST_SIZE,
    FilmLabels,
    StageShot,
    write_labels,
    write_shots,
)

MIN_HEIGHT = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class PlayConfig:
    """One film of the benchmark; the same settings give the same frames."""

    seed: int
    """Decides labels, events, movements, cast, sets and cuts, each from a stream of its own."""
    seconds: int
    """Length of the film."""
    width: int = 160
    """Width of the frame in pixels; even, because H.264 halves its chroma."""
    height: int = 96
    """Height of the frame in pixels; even, for the same reason."""
    rate: int = 8
    """Frames per second; movements take a second or more for each cycle."""
    difficulty: Difficulty = field(default_factory=Difficulty)
    """The process that makes labels and cues."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} is negative; give 0 or more")
        if self.seconds < 1:
            raise ValueError(f"seconds={self.seconds} holds no key time; give 1 or more")
        if self.rate < 4:
            raise ValueError(f"rate={self.rate} is too low to show movements; give 4 or more")
        if self.height < MIN_HEIGHT or self.height % 2:
            raise ValueError(f"height={self.height} must be even and at least {MIN_HEIGHT}")
        if 2 * self.width < 3 * self.height or self.width % 2:
            raise ValueError(
                f"width={self.width} must be even and at least 1.5 times height={self.height}, so "
                f"that {CAST_SIZE} puppets stand side by side"
            )

    @property
    def num_frames(self) -> int:
        """Frames in the film."""
        return self.seconds * self.rate


@dataclass(frozen=True, slots=True)
class Play:
    """One film as a script; labels are read from it, frames are drawn from it."""

    config: PlayConfig
    labels: FilmLabels
    builds: tuple[int, ...]
    """For each place of the cast, which of `puppets.BUILDS` it has; its coat: `COLOURS[place]`."""
    ring: tuple[int, ...]
    """The cast in a circle: a puppet's contextual cues come from the next, its prospective cues
    from the one before."""
    events: tuple[Event, ...]
    movements: tuple[tuple[Movement, ...], ...]
    """For each place of the cast."""
    shots: tuple[StageShot, ...]

    def giver(self, event: Event) -> int:
        """Place in the cast of the puppet that shows the event's cue."""
        step = 1 if event.family == "contextual" else -1
        return self.ring[(self.ring.index(event.puppet) + step) % CAST_SIZE]

    def identity(self, member: int) -> int:
        """Number of a puppet that is the same in every film in which it plays, from 1."""
        return 1 + member * len(BUILDS) + self.builds[member]

    def actions_at(self, second: int) -> list[set[int]]:
        """Numbers of the actions of each of the cast at a key time."""
        found = [
            {NUMBERS[MOVEMENTS[movement.kind]]}
            for moves in self.movements
            for movement in moves
            if movement.start <= second < movement.end
        ]
        for event in self.events:
            if event.start <= second < event.end:
                found[event.puppet].add(NUMBERS[MEANINGS[event.family][event.meaning]])
            if event.shown is not None and 0 <= second - event.cue < self._cue_seconds:
                actions = found[self.giver(event)]
                actions.add(NUMBERS[f"show {CUES[event.family][event.shown]}"])
                actions.add(NUMBERS[f"signal to {COLOURS[event.puppet]}"])
        return found

    @property
    def _cue_seconds(self) -> int:
        return self.config.difficulty.cue_seconds


def write_play(config: PlayConfig) -> Play:
    """Decide everything from the seed alone."""
    rng = np.random.default_rng([config.seed, 40])
    labels = write_labels(config.seed)
    span = {"seconds": config.seconds, "cast_size": CAST_SIZE, "seed": config.seed}
    return Play(
        config=config,
        labels=labels,
        builds=tuple(int(build) for build in rng.integers(len(BUILDS), size=CAST_SIZE)),
        ring=tuple(int(member) for member in rng.permutation(CAST_SIZE)),
        events=write_events(config.difficulty, **span),
        movements=write_movements(config.difficulty, **span),
        shots=write_shots(labels, num_frames=config.num_frames, rate=config.rate, seed=config.seed),
    )
