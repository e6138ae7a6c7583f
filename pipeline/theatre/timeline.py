"""A play frame by frame: what each puppet does in every picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.movements import Movement
from reelbank.pipeline.theatre.play import Play, PlayConfig
from reelbank.pipeline.theatre.puppets import CYCLE_SECONDS, NUM_PHASES, Stance
from reelbank.pipeline.theatre.roles import COLOURS, CUES, MOVEMENTS, Family
from reelbank.pipeline.theatre.staging import CAST_SIZE

STROLL_SECONDS = 4.0
"""A walk to and fro takes about so long."""

_NOTHING = -1
_HANDS: dict[Family, int] = {"contextual": -1, "prospective": 1}


@dataclass(frozen=True, slots=True)
class Cue:
    """A thing in a puppet's hand."""

    name: str
    """One of `CUES`."""
    coat: str
    """Colour of the coat of the puppet that it is for."""
    side: int
    """-1: the hand on the left of the picture, +1: on the right."""
    phase: int
    """Drawing of its movement's cycle."""


@dataclass(frozen=True, slots=True)
class Acting:
    """What one puppet does in one frame."""

    stance: Stance
    stroll: float
    """Way from its place, in [-1, 1] of the reach of a walk."""
    cues: tuple[Cue, ...]


class Timeline:
    """What each puppet does in each frame.

    A second's action is seen from half a second before its key time to half a second after the
    last one.
    """

    def __init__(self, play: Play) -> None:
        shape = (CAST_SIZE, play.config.num_frames)
        self._play = play
        self._movement: NDArray[np.int8] = np.zeros(shape, np.int8)
        self._phase: NDArray[np.int8] = np.zeros(shape, np.int8)
        self._stroll: NDArray[np.float64] = np.zeros(shape)
        self._poses: dict[Family, NDArray[np.bool_]] = {
            "contextual": np.zeros(shape, bool),
            "prospective": np.zeros(shape, bool),
        }
        self._cues: dict[Family, NDArray[np.int8]] = {
            family: np.full(shape, _NOTHING, np.int8) for family in CUES
        }
        for member, moves in enumerate(play.movements):
            for movement in moves:
                self._add_movement(member, movement)
        for event in play.events:
            frames = frames_of(play.config, event.start, event.end)
            self._poses[event.family][event.puppet, frames] = True
            if event.shown is not None:
                end = event.cue + play.config.difficulty.cue_seconds
                code = event.shown * CAST_SIZE + event.puppet
                frames = frames_of(play.config, event.cue, end)
                self._cues[event.family][play.giver(event), frames] = code

    def at(self, member: int, number: int) -> Acting:
        """What the puppet at place `member` of the cast does in frame `number`."""
        cues = tuple(
            self._cue(family, side, int(self._cues[family][member, number]), number)
            for family, side in _HANDS.items()
            if self._cues[family][member, number] != _NOTHING
        )
        stance = Stance(
            coat=COLOURS[member],
            build=self._play.builds[member],
            movement=MOVEMENTS[self._movement[member, number]],
            phase=int(self._phase[member, number]),
            kneels=bool(self._poses["prospective"][member, number]),
            holds=bool(self._poses["contextual"][member, number]),
            right_up=any(cue.side < 0 for cue in cues),
            left_up=any(cue.side > 0 for cue in cues),
        )
        return Acting(stance, float(self._stroll[member, number]), cues)

    def _add_movement(self, member: int, movement: Movement) -> None:
        config = self._play.config
        frames = frames_of(config, movement.start, movement.end)
        seconds = np.arange(frames.start, frames.stop) / config.rate
        kind = MOVEMENTS[movement.kind]
        self._movement[member, frames] = movement.kind
        if kind != "stand":
            turns = (movement.turn + seconds / CYCLE_SECONDS[kind]) % 1.0
            self._phase[member, frames] = (turns * NUM_PHASES).astype(np.int8)
        if kind == "walk":
            # Whole rounds, so that a walk ends where it began.
            length = movement.end - movement.start
            rounds = max(1, round(length / STROLL_SECONDS))
            done = (seconds - movement.start + 0.5) / length
            self._stroll[member, frames] = np.sin(2 * np.pi * rounds * done)

    def _cue(self, family: Family, side: int, code: int, number: int) -> Cue:
        seconds = number / self._play.config.rate
        name = CUES[family][code // CAST_SIZE]
        return Cue(name, COLOURS[code % CAST_SIZE], side, int(seconds % 1.0 * NUM_PHASES))


def frames_of(config: PlayConfig, start: int, end: int) -> slice:
    """Frames in which an action at the key times [start, end) is seen."""
    edges = [round((second - 0.5) * config.rate) for second in (start, end)]
    if end >= config.seconds:
        edges[1] = config.num_frames
    return slice(max(edges[0], 0), max(edges[1], 0))
