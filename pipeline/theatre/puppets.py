"""Puppets as sprites: one drawing for each build, coat, movement and pose, then pasted.

In outlines a standing puppet of build 0 is one unit tall: its crown at y=0, its soles at y=1, its
middle at x=0. Cues are held above the shoulders and poses are done by trunk and legs, so that a
puppet can do both at once and neither hides the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.outlines import RGB, Outline, Part, limb, oval, shaded, slab
from reelbank.pipeline.theatre.sprites import Sprite, rasterise

COATS: dict[str, RGB] = {
    "red": (200, 36, 40),
    "yellow": (236, 190, 24),
    "green": (30, 140, 62),
    "blue": (36, 78, 200),
}
"""Colour of coats, and of the cues for those who wear them."""

NUM_PHASES = 8
"""Drawings of one cycle of a movement."""
CYCLE_SECONDS = {"stand": 1.0, "walk": 1.0, "hop": 1.0, "sway": 1.6}
"""Slow enough for clips that look four times a second."""
HOP_HEIGHT = 0.15
SWAY = 0.17
KNEEL_DEPTH = 0.24
HAND = np.array((0.25, -0.05))
"""Hand of a raised arm, from the middle of the crown; the other side mirrors it."""

_DARK: RGB = (34, 30, 36)
_PAPER: RGB = (222, 196, 150)
_MARGIN = 0.6
"""Units left, right and above the puppet that its sprite may need."""


@dataclass(frozen=True, slots=True)
class Build:
    """Limbs, texture and face of a puppet."""

    pattern: str
    """'bands' or 'dots' on the coat."""
    wide: float
    """Width of the coat, 1 is usual."""
    leg: float
    """Radius of a leg."""
    skin: RGB
    hat: bool
    """A tall hat instead of hair."""


BUILDS = (
    Build("bands", 0.9, 0.04, (238, 198, 160), hat=True),
    Build("dots", 1.2, 0.058, (150, 98, 66), hat=False),
)


@dataclass(frozen=True, slots=True)
class Stance:
    """All that decides the drawing of a puppet."""

    coat: str
    """Key of `COATS`."""
    build: int
    movement: str
    """Key of `CYCLE_SECONDS`."""
    phase: int
    """Drawing of the movement's cycle, below `NUM_PHASES`."""
    kneels: bool
    """The look of both prospective actions."""
    holds: bool
    """The look of both contextual actions: a parcel before the chest."""
    right_up: bool
    """The arm on the left of the picture shows a contextual cue."""
    left_up: bool
    """The arm on the right of the picture shows a prospective cue."""


def moved(stance: Stance, points: Outline) -> Outline:
    """Points of the trunk moved as the stance moves it: up, down, or leaning from the feet."""
    turn = 2 * np.pi * stance.phase / NUM_PHASES
    sink = KNEEL_DEPTH if stance.kneels else 0.0
    rise = HOP_HEIGHT * np.sin(turn / 2) if stance.movement == "hop" else 0.0
    lean = SWAY * np.sin(turn) if stance.movement == "sway" else 0.0
    shift = np.stack((lean * (1.0 - points[:, 1]), np.zeros(len(points))), axis=1)
    return np.asarray(points + shift + (0.0, sink - rise))


def draw_puppet(stance: Stance, height_pixels: int) -> Sprite:
    """A puppet `height_pixels` tall when it stands."""
    columns, rows = round(2 * _MARGIN * height_pixels), round((1.06 + _MARGIN) * height_pixels)
    drawn = rasterise(
        _parts(stance), rows=rows, columns=columns, scale=height_pixels, origin=(_MARGIN, _MARGIN)
    )
    return as_sprite(drawn, x=columns // 2, y=round((1.0 + _MARGIN) * height_pixels))


def as_sprite(drawn: NDArray[np.uint8], *, x: int, y: int) -> Sprite:
    """A drawing (rows, columns, 4) as a sprite whose point of reference is at `x`, `y`."""
    opacity = drawn[..., 3]
    # Every pixel that is drawn at all: labels promise boxes that leave nothing out.
    rows, columns = np.flatnonzero(opacity.any(axis=1)), np.flatnonzero(opacity.any(axis=0))
    box = (columns[0] - x, rows[0] - y, columns[-1] + 1 - x, rows[-1] + 1 - y)
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Sprite(
        colour=drawn[inside][..., :3].astype(np.uint16),
        clear=255 - opacity[inside].astype(np.uint16)[..., None],
        left=int(box[0]),
        top=int(box[1]),
        box=(int(box[0]), int(box[1]), int(box[2]), int(box[3])),
    )


def parcel_box(stance: Stance) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 of the held parcel, in units from the middle of the crown."""
    corners = moved(stance, _PARCEL)
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


_PARCEL = slab(-0.17, 0.36, 0.17, 0.6)


def _parts(stance: Stance) -> list[Part]:
    """Colour and outline of each limb, from back to front."""
    build, coat = BUILDS[stance.build], COATS[stance.coat]
    parts = _legs(stance, build)
    trunk: list[Part] = [(coat, _coat(build, 0.2, 0.7)), *_pattern(build, coat)]
    trunk.append((build.skin, oval(np.array((0.0, 0.1)), 0.085, 0.1)))
    if build.hat:
        trunk += [(_DARK, slab(-0.12, 0.02, 0.12, 0.055)), (_DARK, slab(-0.07, -0.1, 0.07, 0.04))]
    else:
        trunk.append(((96, 60, 30), oval(np.array((0.0, 0.035)), 0.09, 0.055)))
    trunk += [(_DARK, oval(np.array((x, 0.1)), 0.016, 0.02)) for x in (-0.035, 0.035)]
    if stance.holds:
        trunk += [(shaded(_PAPER, 0.6), _PARCEL), (_PAPER, slab(-0.15, 0.38, 0.15, 0.58))]
        trunk.append(((150, 110, 60), slab(-0.02, 0.36, 0.02, 0.6)))
    for side, is_up in ((-1, stance.right_up), (1, stance.left_up)):
        trunk += _arm(side, is_up, stance.holds, build, coat)
    return parts + [(colour, moved(stance, outline)) for colour, outline in trunk]


def _coat(build: Build, top: float, bottom: float) -> Outline:
    """The coat between two heights: it widens downwards."""

    def half(y: float) -> float:
        return build.wide * (0.11 + 0.14 * (y - 0.2))

    return np.array(
        ((-half(top), top), (half(top), top), (half(bottom), bottom), (-half(bottom), bottom))
    )


def _pattern(build: Build, coat: RGB) -> list[Part]:
    if build.pattern == "bands":
        return [(shaded(coat, 0.6), _coat(build, y, y + 0.055)) for y in (0.27, 0.4, 0.53, 0.65)]
    spots = ((-0.07, 0.3), (0.07, 0.34), (-0.02, 0.45), (-0.12, 0.58), (0.1, 0.56))
    return [((244, 240, 230), oval(np.array(spot), 0.03, 0.03)) for spot in spots]


def _arm(side: int, is_up: bool, holds: bool, build: Build, coat: RGB) -> list[Part]:
    shoulder = np.array((side * 0.1 * build.wide, 0.25))
    if is_up:
        elbow, hand = np.array((side * 0.21, 0.15)), HAND * (side, 1)
    elif holds:
        elbow, hand = np.array((side * 0.22, 0.4)), np.array((side * 0.15, 0.5))
    else:
        elbow, hand = np.array((side * 0.19 * build.wide, 0.38)), np.array((side * 0.2, 0.52))
    sleeve = shaded(coat, 0.8)
    return [(sleeve, limb(shoulder, elbow, 0.04)), (build.skin, limb(elbow, hand, 0.03))]


def _legs(stance: Stance, build: Build) -> list[Part]:
    """Legs stay on the ground, but for a hop."""
    turn = 2 * np.pi * stance.phase / NUM_PHASES
    if stance.kneels:
        lift = HOP_HEIGHT * np.sin(turn / 2) if stance.movement == "hop" else 0.0
        return [(_DARK, oval(np.array((0.0, 0.94 - lift)), 0.24, 0.06))]
    swing = 0.16 * np.sin(turn) if stance.movement == "walk" else 0.0
    lift = HOP_HEIGHT * np.sin(turn / 2) if stance.movement == "hop" else 0.0
    parts: list[Part] = []
    for side in (-1, 1):
        hip = moved(stance, np.array(((side * 0.06, 0.68),)))[0]
        # A hopping puppet draws its feet up, so that the legs tell it too.
        foot = np.array((side * (0.07 + 0.5 * lift) + side * swing, 0.96 - 1.2 * lift))
        parts.append((shaded(_DARK, 1.0), limb(hip, foot, build.leg)))
    return parts
