"""Drawn things, ready to be pasted into pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.outlines import Part

OVERSAMPLING = 4
"""Drawn this much larger, then shrunk, for smooth edges."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawn person or thing, ready to be blended into a frame."""

    colour: NDArray[np.uint16]
    """(height, width, 3) RGB, already multiplied by the opacity."""
    clear: NDArray[np.uint16]
    """(height, width, 1) how much of the ground shows through, 0 to 255."""
    left: int
    """Column of the sprite's left edge from the person's middle line, in pixels."""
    top: int
    """Row of the sprite's upper edge from the ground under the feet, in pixels."""
    box: tuple[int, int, int, int]
    """Tight box of the person without its shadow: x1 y1 x2 y2 from middle line and ground."""


def rasterise(
    parts: Sequence[Part], *, rows: int, columns: int, scale: int, origin: tuple[float, float]
) -> NDArray[np.uint8]:
    """Parts drawn into (rows, columns, 4) RGB, multiplied by the opacity, and opacity.

    `scale` pixels are one unit of the outlines, whose point (0, 0) comes to `origin`, in units.
    """
    canvas = np.zeros((rows * OVERSAMPLING, columns * OVERSAMPLING, 4), np.uint8)
    for colour, polygon in parts:
        points = np.round((polygon + np.array(origin)) * (scale * OVERSAMPLING)).astype(np.int32)
        cv2.fillPoly(canvas, [points], (*colour, 255))
    # Shrinking black and clear surroundings along leaves the colour multiplied by the opacity.
    shrunk = cv2.resize(canvas, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def paste(picture: NDArray[np.uint8], sprite: Sprite, *, x: int, ground: int) -> None:
    """Blend a sprite into the picture, cut at the picture's edges."""
    left, top = x + sprite.left, ground + sprite.top
    rows, columns = sprite.clear.shape[:2]
    x1, x2 = max(left, 0), min(left + columns, picture.shape[1])
    y1, y2 = max(top, 0), min(top + rows, picture.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    under = picture[y1:y2, x1:x2]
    under[:] = under * sprite.clear[inside] // 255 + sprite.colour[inside]
