"""Things as sprites: the four cues in any coat's colour, and what lies about on a set."""

import numpy as np

from reelbank.pipeline.theatre.outlines import RGB, Outline, Part, limb, oval, shaded, slab
from reelbank.pipeline.theatre.puppets import COATS, NUM_PHASES, as_sprite
from reelbank.pipeline.theatre.sprites import Sprite, rasterise

_DARK: RGB = (24, 22, 28)
_WHITE: RGB = (246, 246, 240)
_MARGIN = 0.6


def draw_cue(name: str, coat: str, height_pixels: int) -> Sprite:
    """Thing of a cue in the colour of a coat, held at its point of reference by a puppet."""
    return _drawn(_cue(name, COATS[coat]), height_pixels)


def cue_shift(name: str, phase: int) -> tuple[float, float]:
    """How far the thing is from the hand, x and y in units, as it is shaken, tossed or swung."""
    turn = 2 * np.pi * phase / NUM_PHASES
    if name == "phone":
        return 0.05 * float(np.sin(turn)), 0.0
    if name == "radio":
        return 0.0, 0.0
    if name == "ball":
        return 0.0, -0.13 * float(abs(np.sin(turn / 2)))
    return 0.06 * float(np.sin(turn)), 0.03 * float(np.cos(turn))


def draw_prop(name: str, height_pixels: int) -> Sprite:
    """Thing on a set, hanging or standing about its point of reference."""
    return _drawn(_PROPS[name], height_pixels)


def _drawn(parts: list[Part], height_pixels: int) -> Sprite:
    size = round(2 * _MARGIN * height_pixels)
    drawn = rasterise(
        parts, rows=size, columns=size, scale=height_pixels, origin=(_MARGIN, _MARGIN)
    )
    return as_sprite(drawn, x=size // 2, y=size // 2)


def _cue(name: str, colour: RGB) -> list[Part]:
    if name == "phone":
        return [
            (_DARK, slab(-0.085, -0.26, 0.085, 0.06)),
            (colour, slab(-0.06, -0.235, 0.06, 0.035)),
            (_WHITE, slab(-0.03, -0.02, 0.03, 0.015)),
        ]
    if name == "radio":
        return [
            (_DARK, limb(np.array((0.1, -0.1)), np.array((0.16, -0.28)), 0.016)),
            (_DARK, slab(-0.18, -0.14, 0.18, 0.06)),
            (colour, slab(-0.155, -0.115, 0.155, 0.035)),
            (_WHITE, oval(np.array((-0.08, -0.04)), 0.04, 0.04)),
            (_WHITE, oval(np.array((0.08, -0.04)), 0.04, 0.04)),
        ]
    if name == "ball":
        centre = np.array((0.0, -0.08))
        return [(_DARK, oval(centre, 0.13, 0.13)), (colour, oval(centre, 0.105, 0.105))]
    return [
        (_DARK, slab(-0.03, -0.02, 0.03, 0.06)),
        (_DARK, np.array(((0.0, -0.3), (0.18, 0.0), (-0.18, 0.0)))),
        (colour, np.array(((0.0, -0.24), (0.13, -0.025), (-0.13, -0.025)))),
    ]


def _heart() -> Outline:
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    x = 16 * np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.asarray(np.stack((x, -y), axis=1) / 100)


def _string(x: float) -> Part:
    return _DARK, limb(np.array((x, -0.05)), np.array((0.0, 0.28)), 0.008)


_PROPS: dict[str, list[Part]] = {
    "balloons": [
        *(_string(x) for x in (-0.14, 0.0, 0.14)),
        ((240, 128, 40), oval(np.array((-0.14, -0.14)), 0.08, 0.1)),
        ((250, 214, 90), oval(np.array((0.14, -0.12)), 0.08, 0.1)),
        ((240, 240, 236), oval(np.array((0.0, -0.2)), 0.08, 0.1)),
    ],
    "cactus": [
        ((40, 104, 70), limb(np.array((0.0, -0.2)), np.array((0.0, 0.24)), 0.06)),
        ((40, 104, 70), limb(np.array((-0.14, -0.06)), np.array((-0.14, 0.04)), 0.035)),
        ((40, 104, 70), limb(np.array((-0.14, 0.04)), np.array((0.0, 0.08)), 0.03)),
        ((52, 124, 84), limb(np.array((0.13, -0.12)), np.array((0.13, 0.0)), 0.035)),
        ((52, 124, 84), limb(np.array((0.13, 0.0)), np.array((0.0, 0.04)), 0.03)),
        ((150, 92, 60), slab(-0.1, 0.2, 0.1, 0.3)),
    ],
    "lantern": [
        (_DARK, slab(-0.1, -0.2, 0.1, -0.14)),
        (_DARK, limb(np.array((0.0, -0.3)), np.array((0.0, -0.18)), 0.02)),
        ((70, 66, 60), slab(-0.12, -0.14, 0.12, 0.2)),
        ((255, 236, 150), slab(-0.085, -0.11, 0.085, 0.17)),
        (_DARK, slab(-0.012, -0.14, 0.012, 0.2)),
    ],
    "heart": [(shaded((226, 60, 130), 0.6), 1.25 * _heart()), ((226, 60, 130), _heart())],
}
