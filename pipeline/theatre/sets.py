"""Backgrounds: sets with a texture of their own, each seen by several cameras.

Edges stay soft, mostly level and lighter than the clothes, so that people stand out and nothing
else looks like one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class View:
    """What one camera of a set sees."""

    wall: RGB
    floor: RGB
    horizon: float
    """Height of the line between wall and floor, over the height of the frame."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A set: a wall's pattern and decoration, under several cameras."""

    name: str
    pattern: str
    """Key of `PATTERNS`."""
    trim: RGB
    """Colour of the band along the floor and of the decoration."""
    views: tuple[View, ...]


SETS = (
    Stage(
        "station",
        "tiles",
        (66, 112, 128),
        (
            View((206, 222, 214), (150, 142, 134), 0.66),
            View((232, 196, 132), (126, 112, 100), 0.6),
        ),
    ),
    Stage(
        "market",
        "bricks",
        (150, 84, 62),
        (
            View((226, 160, 128), (164, 150, 138), 0.64),
            View((150, 168, 196), (176, 168, 160), 0.7),
        ),
    ),
    Stage(
        "gallery",
        "plaster",
        (120, 100, 76),
        (
            View((240, 238, 232), (190, 150, 108), 0.68),
            View((138, 186, 152), (158, 122, 90), 0.63),
        ),
    ),
    Stage(
        "harbour",
        "boards",
        (60, 96, 140),
        (
            View((158, 206, 236), (170, 160, 140), 0.62),
            View((244, 210, 184), (130, 134, 140), 0.68),
        ),
    ),
    Stage(
        "theatre",
        "plaster",
        (112, 46, 66),
        (
            View((206, 150, 176), (150, 118, 98), 0.67),
            View((190, 184, 228), (120, 108, 124), 0.62),
        ),
    ),
)


def draw_view(
    set_index: int, camera: int, *, width: int, height: int, seed: int
) -> NDArray[np.uint8]:
    """Background (height, width, 3) RGB of one camera, the same for the same arguments."""
    stage = SETS[set_index]
    view = stage.views[camera]
    rng = np.random.default_rng([seed, 2, set_index, camera])
    horizon = round(view.horizon * height)
    canvas: NDArray[np.float32] = np.empty((height, width, 3), np.float32)
    canvas[:horizon] = view.wall
    canvas[horizon:] = view.floor
    canvas[:horizon] *= np.linspace(0.94, 1.03, horizon, dtype=np.float32)[:, None, None]
    canvas[horizon:] *= np.linspace(0.86, 1.08, height - horizon, dtype=np.float32)[:, None, None]
    PATTERNS[stage.pattern](canvas[:horizon], rng)
    _floor_lines(canvas[horizon:])
    _pictures(canvas[:horizon], stage.trim, rng)
    band = max(2, height // 60)
    canvas[horizon - band : horizon] = 0.5 * canvas[horizon - band : horizon] + 0.5 * np.array(
        stage.trim, np.float32
    )
    canvas *= _clouds(height, width, rng)[..., None] * _light(height, width, rng)[..., None]
    soft: NDArray[np.float32] = np.asarray(cv2.GaussianBlur(canvas, (0, 0), height / 450))
    grain = rng.normal(0, 1.6, (height, width, 1)).astype(np.float32)
    picture: NDArray[np.uint8] = np.clip(soft + grain, 0, 255).astype(np.uint8)
    return picture


def _tiles(wall: NDArray[np.float32], rng: np.random.Generator) -> None:
    size = max(6, len(wall) // 11)
    tones = rng.uniform(0.95, 1.02, (len(wall) // size + 1, wall.shape[1] // size + 1, 1))
    wall *= np.kron(tones, np.ones((size, size, 1)))[: len(wall), : wall.shape[1]].astype(
        np.float32
    )
    wall[::size] *= 0.93
    wall[:, ::size] *= 0.95


def _bricks(wall: NDArray[np.float32], rng: np.random.Generator) -> None:
    tall = max(4, len(wall) // 18)
    wide = 3 * tall
    for row in range(0, len(wall), tall):
        shift = int(rng.integers(wide))
        tones = np.repeat(rng.uniform(0.93, 1.03, wall.shape[1] // wide + 3), wide)
        wall[row : row + tall] *= tones[shift : shift + wall.shape[1], None].astype(np.float32)
        wall[row] *= 0.92


def _plaster(wall: NDArray[np.float32], rng: np.random.Generator) -> None:
    wall *= _clouds(len(wall), wall.shape[1], rng)[..., None]


def _boards(wall: NDArray[np.float32], rng: np.random.Generator) -> None:
    tall = max(5, len(wall) // 9)
    for row in range(0, len(wall), tall):
        wall[row : row + tall] *= float(rng.uniform(0.95, 1.03))
        wall[row] *= 0.88


PATTERNS: dict[str, Callable[[NDArray[np.float32], np.random.Generator], None]] = {
    "tiles": _tiles,
    "bricks": _bricks,
    "plaster": _plaster,
    "boards": _boards,
}


def _floor_lines(floor: NDArray[np.float32]) -> None:
    """Level joints that draw nearer to each other towards the horizon."""
    for depth in np.linspace(0.15, 1, 7):
        row = int(depth**2 * (len(floor) - 1))
        floor[row] *= 0.92


def _pictures(wall: NDArray[np.float32], trim: RGB, rng: np.random.Generator) -> None:
    """Wide, flat pictures or signs high on the wall."""
    rows, columns = wall.shape[:2]
    x = int(rng.uniform(0.02, 0.15) * columns)
    while x < 0.9 * columns:
        wide, tall = (int(rng.uniform(low, high) * rows) for low, high in ((0.6, 1.0), (0.2, 0.32)))
        y = int(rng.uniform(0.06, 0.14) * rows)
        frame = wall[y : y + tall, x : x + wide]
        frame *= 0.55
        frame += 0.45 * np.array(trim, np.float32)
        inner = frame[4:-4, 4:-4]
        if inner.size:
            inner[:] = _landscape(inner.shape[0], inner.shape[1], trim, rng)
        x += wide + int(rng.uniform(0.25, 0.7) * rows)


def _landscape(rows: int, columns: int, trim: RGB, rng: np.random.Generator) -> NDArray[np.float32]:
    """Pale sky over two ranges of hills, in tones of `trim`."""
    colour = np.array(trim, np.float32)
    fade = np.linspace(0.82, 0.95, rows, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(colour * (1 - fade) + 250 * fade, (rows, columns, 3)).copy()
    across = np.linspace(0, 2 * np.pi, columns)
    down = np.arange(rows)[:, None]
    for level, tone in ((0.55, 0.55), (0.75, 0.3)):
        waves = np.sin(across * rng.uniform(0.6, 1.4) + rng.uniform(0, 6)) * rng.uniform(0.08, 0.16)
        picture[down > (level + waves) * rows] = colour * (1 - tone) + 235 * tone
    return picture


def _clouds(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise around 1 at three scales."""
    total = np.ones((height, width), np.float32)
    for cells, strength in ((4, 0.03), (12, 0.02), (48, 0.012)):
        coarse = rng.normal(0, strength, (cells, 2 * cells)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _light(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A pool of light somewhere, darker corners."""
    across = np.linspace(0, 1, width, dtype=np.float32)[None] - np.float32(rng.uniform(0.3, 0.7))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None] - np.float32(0.35)
    return np.asarray(1.05 - 0.35 * (across**2 + 0.6 * down**2), np.float32)
