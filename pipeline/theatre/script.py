"""Who stands where and when: the film before a pixel of it is drawn.

Everything known about a film follows from its script, so labels never depend on rendering.
"""

from dataclasses import dataclass

import numpy as np

from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.figures import NUM_PEOPLE
from reelbank.pipeline.theatre.sets import SETS

MIN_SHOT_SECONDS = 3.0
MAX_SHOT_SECONDS = 12.0
SETS_PER_FILM = 3
CAST_SIZE = 6


@dataclass(frozen=True, slots=True)
class Walk:
    """One person's way through one shot: to and fro around a place, at a steady pace."""

    person: int
    """Identity; the same number looks the same in every shot."""
    height: float
    """Height of the person over the height of the frame."""
    feet: float
    """Where the feet touch the ground, over the height of the frame."""
    centre: float
    """Middle of the walk over the width of the frame."""
    reach: float
    """Furthest distance from `centre`, over the width of the frame."""
    speed: float
    """Distance walked per second, over the width of the frame."""
    start: float
    """Place on the way at the shot's first frame: [0, 1) is one whole way to and fro."""

    def place(self, seconds: float) -> tuple[float, int]:
        """Horizontal place over the frame's width, and direction (+1 right, -1 left)."""
        turn = (self.start + seconds * self.speed / (4 * self.reach)) % 1.0
        if turn < 0.5:
            return self.centre + self.reach * (4 * turn - 1), 1
        return self.centre + self.reach * (3 - 4 * turn), -1


@dataclass(frozen=True, slots=True)
class Scene:
    """One shot: a camera on a set, and the people who walk in front of it."""

    start_frame: int
    end_frame: int
    set_index: int
    """Place in `sets.SETS`."""
    camera: int
    """Which of the set's cameras."""
    pan: float
    """Sideways camera movement over the shot, over the width of the frame."""
    walks: tuple[Walk, ...]
    """Farthest person first, so that drawing in order hides what is behind."""


@dataclass(frozen=True, slots=True)
class Script:
    """All shots of a film, in order and without gaps."""

    scenes: tuple[Scene, ...]


def write_script(config: FilmConfig) -> Script:
    """Decide cuts, cameras and walks from the seed alone."""
    rng = np.random.default_rng([config.seed, 1])
    sets = rng.choice(len(SETS), size=SETS_PER_FILM, replace=False)
    cameras = [(int(index), camera) for index in sets for camera in range(len(SETS[index].views))]
    cast = rng.choice(NUM_PEOPLE, size=CAST_SIZE, replace=False)
    scenes = []
    previous = -1
    for start, end in _shot_spans(config, rng):
        choices = [index for index in range(len(cameras)) if index != previous]
        previous = int(rng.choice(choices))
        set_index, camera = cameras[previous]
        scenes.append(
            Scene(
                start_frame=start,
                end_frame=end,
                set_index=set_index,
                camera=camera,
                pan=float(rng.uniform(-0.05, 0.05)),
                walks=_walks(cast, rng),
            )
        )
    return Script(tuple(scenes))


def _shot_spans(config: FilmConfig, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Frame spans of random length; the last is never shorter than the shortest shot."""
    shortest = round(MIN_SHOT_SECONDS * config.rate)
    longest = round(MAX_SHOT_SECONDS * config.rate)
    spans = []
    start = 0
    while config.num_frames - start >= 2 * shortest:
        room = config.num_frames - start - shortest
        end = start + int(rng.integers(shortest, min(longest, room) + 1))
        spans.append((start, end))
        start = end
    if config.num_frames > start:
        spans.append((start, config.num_frames))
    return spans


def _walks(cast: np.ndarray, rng: np.random.Generator) -> tuple[Walk, ...]:
    """Two to five people, each around a place of their own; neighbours may cross."""
    count = int(rng.integers(2, 6))
    people = rng.choice(cast, size=count, replace=False)
    tallest = 0.62 if count <= 3 else 0.52
    spacing = 0.84 / count
    walks = []
    for place, person in enumerate(people):
        height = float(rng.uniform(0.42, tallest))
        walks.append(
            Walk(
                person=int(person),
                height=height,
                # The nearer a person, the larger, and the lower the feet.
                feet=0.74 + 0.36 * height,
                centre=0.08 + spacing * (place + 0.5),
                reach=spacing * float(rng.uniform(0.3, 0.5)),
                # A stroll: a second later, a person still overlaps the place where it stood.
                speed=float(rng.uniform(0.015, 0.04)),
                start=float(rng.random()),
            )
        )
    return tuple(sorted(walks, key=lambda walk: walk.height))
