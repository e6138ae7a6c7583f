"""The named sizes of the benchmark."""

from dataclasses import dataclass, field, replace

from reelbank.pipeline.theatre.annotations import SPLITS
from reelbank.pipeline.theatre.difficulty import Difficulty


@dataclass(frozen=True, kw_only=True, slots=True)
class TheatreSize:
    """How many films of which length and size; every split has films of its own."""

    num_films: dict[str, int]
    """Films of each split."""
    seconds: int
    """Length of each film."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    rate: int
    """Frames per second."""
    supports: tuple[float, ...]
    """Supports in seconds whose ceilings are stored."""
    difficulty: Difficulty = field(default_factory=Difficulty)
    """The same for every size that is for training."""

    def __post_init__(self) -> None:
        if set(self.num_films) != set(SPLITS) or min(self.num_films.values()) < 1:
            raise ValueError(
                f"num_films={self.num_films} is not possible; give 1 or more of each of "
                f"{', '.join(SPLITS)}"
            )


_SUPPORTS = (2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
_SMALL = TheatreSize(
    num_films={"train": 8, "validation": 1, "test": 3},
    seconds=600,
    width=160,
    height=96,
    rate=8,
    supports=_SUPPORTS,
)

SIZES = {
    # For tests: all parts of it in seconds, so everything is shorter than in the others.
    "tiny": TheatreSize(
        num_films={"train": 2, "validation": 1, "test": 1},
        seconds=48,
        width=96,
        height=64,
        rate=8,
        supports=(2.0, 4.0, 6.0, 12.0, 20.0),
        difficulty=Difficulty(
            horizon_seconds=6,
            act_seconds=24,
            act_jitter_seconds=8,
            min_pose_seconds=3,
            max_pose_seconds=4,
            cue_seconds=2,
            gap_seconds=1,
        ),
    ),
    # For a demo: two hours of film, made in minutes on two cores.
    "small": _SMALL,
    # For claims, over seeds, on two cores: ten hours, as eight films are soon known by heart.
    "medium": replace(_SMALL, num_films={"train": 40, "validation": 6, "test": 14}),
    # For a GPU: twenty hours of film.
    "full": TheatreSize(
        num_films={"train": 40, "validation": 8, "test": 12},
        seconds=1200,
        width=320,
        height=192,
        rate=12,
        supports=_SUPPORTS,
    ),
}
"""Sizes by name."""


def size_named(name: str) -> TheatreSize:
    """The size of that name; ValueError with the names known."""
    if name not in SIZES:
        raise ValueError(f"size {name!r} is unknown; known: {', '.join(SIZES)}")
    return SIZES[name]
