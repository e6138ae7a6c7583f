"""Outlines from which figures and things are made: rounded bars, ovals, tones."""

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]
Outline = NDArray[np.float64]
"""(n, 2) corners, x then y."""
Part = tuple[RGB, Outline]
"""A filled outline; of several, the later hides the earlier."""


def limb(start: Outline, end: Outline, wide: float, narrow: float | None = None) -> Outline:
    """Outline of a rounded bar from `start` (radius `wide`) to `end` (radius `narrow`)."""
    along = np.arctan2(*(end - start)[::-1])
    turn = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    back = start + wide * np.stack((np.cos(along + turn), np.sin(along + turn)), axis=1)
    turn = turn + np.pi
    front = end + (narrow or wide) * np.stack((np.cos(along + turn), np.sin(along + turn)), axis=1)
    return np.concatenate((back, front))


def oval(centre: Outline, across: float, down: float) -> Outline:
    """Outline of an upright ellipse with the radii `across` and `down`."""
    turn = np.linspace(0, 2 * np.pi, 33)[:-1]
    return np.asarray(centre + np.stack((across * np.cos(turn), down * np.sin(turn)), axis=1))


def slab(left: float, top: float, right: float, bottom: float) -> Outline:
    """Outline of an upright rectangle."""
    return np.array(((left, top), (right, top), (right, bottom), (left, bottom)))


def shaded(colour: RGB, factor: float) -> RGB:
    """A darker tone of a colour."""
    red, green, blue = (round(channel * factor) for channel in colour)
    return red, green, blue
