"""Upright, person-shaped figures as sprites: drawn once for each height and step, then pasted.

The outline (head, shoulders, arms, two legs) is what a histogram-of-gradients detector looks for.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.outlines import RGB, limb, oval, shaded
from reelbank.pipeline.theatre.sprites import Sprite, rasterise

NUM_STEPS = 12
"""Poses in one whole stride."""
STRIDE_IN_HEIGHTS = 0.75
"""Way walked in one whole stride, over the person's height."""


@dataclass(frozen=True, slots=True)
class Look:
    """Colours by which a person is known again."""

    skin: RGB
    hair: RGB
    shirt: RGB
    trousers: RGB


LOOKS = (
    Look((224, 172, 138), (52, 36, 28), (168, 28, 36), (34, 38, 58)),
    Look((142, 92, 62), (24, 20, 20), (24, 62, 140), (46, 44, 42)),
    Look((236, 192, 160), (120, 74, 30), (18, 98, 62), (58, 44, 34)),
    Look((196, 140, 104), (30, 26, 26), (96, 30, 118), (24, 30, 48)),
    Look((232, 184, 150), (86, 86, 90), (150, 78, 12), (40, 34, 30)),
    Look((110, 72, 50), (18, 16, 16), (12, 92, 112), (62, 30, 36)),
    Look((226, 178, 140), (148, 100, 40), (34, 34, 38), (28, 52, 90)),
    Look((180, 126, 92), (36, 24, 20), (122, 104, 14), (30, 30, 34)),
)
NUM_PEOPLE = len(LOOKS)

TORSO = np.array(
    ((0.045, 0.145), (0.125, 0.172), (0.142, 0.21), (0.118, 0.34), (0.104, 0.44), (0.11, 0.535))
)
"""Right-hand outline of the torso from neck to hip; the left mirrors it."""


def draw_person(person: int, height_pixels: int, step: int, *, facing: int) -> Sprite:
    """Person `person` at `step` of `NUM_STEPS`, walking right (`facing` +1) or left (-1)."""
    margin = 0.3
    columns, rows = round(2 * margin * height_pixels), round(1.08 * height_pixels)
    drawn = rasterise(
        _parts(LOOKS[person], 2 * np.pi * step / NUM_STEPS, facing),
        rows=rows,
        columns=columns,
        scale=height_pixels,
        origin=(margin, 0.02),
    )
    opacity = drawn[..., 3]
    solid = np.argwhere(opacity > 127)
    (y1, x1), (y2, x2) = solid.min(axis=0), solid.max(axis=0) + 1

    ground = round(1.02 * height_pixels)
    floor: NDArray[np.uint8] = np.zeros((rows, columns), np.uint8)
    axes = (round(0.16 * height_pixels), max(1, round(0.022 * height_pixels)))
    cv2.ellipse(floor, (columns // 2, ground), axes, 0, 0, 360, 110, -1)
    shadow = np.asarray(cv2.GaussianBlur(floor, (0, 0), 0.012 * height_pixels + 0.5), np.uint16)
    clear = (255 - opacity.astype(np.uint16)) * (255 - shadow) // 255
    return Sprite(
        colour=drawn[..., :3].astype(np.uint16),
        clear=clear[..., None],
        left=-(columns // 2),
        top=-ground,
        box=(int(x1) - columns // 2, int(y1) - ground, int(x2) - columns // 2, int(y2) - ground),
    )


def _parts(look: Look, phase: float, facing: int) -> list[tuple[RGB, NDArray[np.float64]]]:
    """Colour and outline of each limb, from back to front; head at y=0, ground at y=1."""
    swing = 0.26 * np.sin(phase)
    bob = 0.008 * np.cos(2 * phase)
    parts: list[tuple[RGB, NDArray[np.float64]]] = []
    for side, angle in ((-1, -swing), (1, swing)):
        shade = 0.82 if side < 0 else 1.0
        hip = np.array((0.05 * side, 0.5 + bob))
        lift = 0.12 * max(0.0, np.cos(phase) * side)
        knee = hip + 0.25 * np.array((np.sin(angle) * facing * 0.8, np.cos(angle)))
        ankle = knee + 0.225 * np.array((np.sin(angle - lift) * facing * 0.8, np.cos(angle)))
        toe = ankle + np.array((0.04 * facing + 0.012 * side, 0.02))
        trousers = shaded(look.trousers, shade)
        parts.append((shaded((38, 32, 30), shade), limb(ankle, toe, 0.026, 0.02)))
        parts.append((trousers, limb(hip, knee, 0.058, 0.045)))
        parts.append((trousers, limb(knee, ankle, 0.045, 0.034)))
    for side, angle in ((-1, swing), (1, -swing)):
        shade = 0.78 if side < 0 else 0.9
        shoulder = np.array((0.122 * side, 0.2 + bob))
        elbow = shoulder + 0.155 * np.array((0.12 * side + 0.5 * np.sin(angle) * facing, 0.98))
        hand = elbow + 0.14 * np.array((-0.02 * side + 0.7 * np.sin(angle) * facing, 0.95))
        parts.append((look.skin, limb(elbow, hand, 0.024, 0.02)))
        parts.append((shaded(look.shirt, shade), limb(shoulder, elbow, 0.036, 0.029)))
    torso = np.array((0.0, bob)) + np.concatenate((TORSO, TORSO[::-1] * (-1, 1)))
    parts.append((look.shirt, torso))
    parts.append((shaded(look.skin, 0.85), limb(np.array((0, 0.12)), np.array((0, 0.16)), 0.036)))
    head = np.array((0.01 * facing, 0.068 + bob))
    parts.append((look.hair, oval(head + np.array((-0.006 * facing, -0.01)), 0.057, 0.07)))
    parts.append((look.skin, oval(head + np.array((0.012 * facing, 0.016)), 0.044, 0.056)))
    return parts
