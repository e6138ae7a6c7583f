"""Where a play happens: sets, cameras, who stands beside whom, and what lies about.

The three labels of a whole film are drawn first, and the rest expresses them: the scene by the set
of most sequences, the relationship by the places of the red and the blue puppet, the genre by the
things on the sets.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reelbank.pipeline.theatre.roles import COLOURS, GENRES, RELATIONSHIPS
from reelbank.pipeline.theatre.sets import SETS

CAST_SIZE = len(COLOURS)
MAIN_SET_RATE = 0.75
"""Share of sequences on the set that the film's scene is named after."""
TELLING_RATE = 0.85
"""Share of sequences whose places, or whose thing, are those of the film's label."""
MIN_SEQUENCE_SECONDS, MAX_SEQUENCE_SECONDS = 15, 40
MIN_SHOT_SECONDS, MAX_SHOT_SECONDS = 3.0, 10.0

_LEADS = (COLOURS.index("red"), COLOURS.index("blue"))


@dataclass(frozen=True, slots=True)
class FilmLabels:
    """What is said of a whole film."""

    scene: int
    """Index in `sets.SETS`."""
    relationship: int
    """Index in `RELATIONSHIPS`."""
    genre: int
    """Index in `GENRES`."""


@dataclass(frozen=True, slots=True)
class StageShot:
    """One camera's view between two cuts."""

    start_frame: int
    end_frame: int
    set_index: int
    """Place in `sets.SETS`."""
    camera: int
    """Which of the set's cameras."""
    places: tuple[int, ...]
    """For each place of the cast, where it stands: 0 is leftmost."""
    prop: int
    """Index in `GENRES` of the thing on the set."""
    prop_place: int
    """Between which two puppets the thing is: 1 is right of the leftmost."""


def write_labels(seed: int) -> FilmLabels:
    """Labels of a whole film, evenly drawn."""
    rng = np.random.default_rng([seed, 30])
    scene, relationship, genre = (
        int(rng.integers(size)) for size in (len(SETS), len(RELATIONSHIPS), len(GENRES))
    )
    return FilmLabels(scene, relationship, genre)


def write_shots(
    labels: FilmLabels, *, num_frames: int, rate: int, seed: int
) -> tuple[StageShot, ...]:
    """Shots in order and without gaps: a sequence keeps set and places while cameras change."""
    rng = np.random.default_rng([seed, 31])
    shots: list[StageShot] = []
    edges = _edges(num_frames, MIN_SEQUENCE_SECONDS * rate, MAX_SEQUENCE_SECONDS * rate, rng)
    for start, end in pairwise(edges):
        set_index = _telling(labels.scene, len(SETS), MAIN_SET_RATE, rng)
        if shots and shots[-1].set_index == set_index:
            # The same set again must still be another picture, or no detector would see a cut.
            camera = 1 - shots[-1].camera
        else:
            camera = int(rng.integers(2))
        relationship = _telling(labels.relationship, len(RELATIONSHIPS), TELLING_RATE, rng)
        places = _places(RELATIONSHIPS[relationship], rng)
        prop = _telling(labels.genre, len(GENRES), TELLING_RATE, rng)
        prop_place = int(rng.integers(1, CAST_SIZE))
        cuts = _edges(
            end - start, round(MIN_SHOT_SECONDS * rate), round(MAX_SHOT_SECONDS * rate), rng
        )
        for first, last in pairwise(cuts):
            shots.append(
                StageShot(start + first, start + last, set_index, camera, places, prop, prop_place)
            )
            camera = 1 - camera
    return tuple(shots)


def _telling(own: int, size: int, rate: float, rng: np.random.Generator) -> int:
    """`own` in a share `rate` of cases, else one of the others."""
    if rng.random() < rate:
        return own
    return (own + int(rng.integers(1, size))) % size


def _edges(length: int, shortest: int, longest: int, rng: np.random.Generator) -> list[int]:
    """Borders of spans of random length from 0 to `length`; none is shorter than `shortest`."""
    edges = [0]
    while length - edges[-1] >= 2 * shortest:
        room = length - edges[-1] - shortest
        edges.append(edges[-1] + int(rng.integers(shortest, min(longest, room) + 1)))
    return [*edges, length]


def _places(relationship: str, rng: np.random.Generator) -> tuple[int, ...]:
    """Where each of the cast stands."""
    distance = {"friends": 1, "chaperoned": 2, "strangers": CAST_SIZE - 1}[relationship]
    left = int(rng.integers(CAST_SIZE - distance))
    ends = [left, left + distance]
    rng.shuffle(ends)
    places = dict(zip(_LEADS, ends, strict=True))
    rest = [place for place in range(CAST_SIZE) if place not in ends]
    rng.shuffle(rest)
    others = [member for member in range(CAST_SIZE) if member not in _LEADS]
    places |= dict(zip(others, rest, strict=True))
    return tuple(int(places[member]) for member in range(CAST_SIZE))
