"""Generated films with known labels: written as a script, drawn, encoded as H.264."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.figures import NUM_STEPS, STRIDE_IN_HEIGHTS, draw_person
from reelbank.pipeline.theatre.script import Scene, Script, Walk, write_script
from reelbank.pipeline.theatre.sets import draw_view
from reelbank.pipeline.theatre.sprites import Sprite, paste
from reelbank.pipeline.theatre.writer import FilmWriter

DEMO_FILMS = (("station.mp4", 70.0), ("market/evening.mp4", 60.0), ("gallery.mkv", 50.0))
"""Name below the folder, and seconds, of each film of the demo."""


@dataclass(frozen=True, slots=True)
class FilmTruth:
    """Labels of a film; the three parallel arrays hold one entry per person and frame."""

    num_frames: int
    cuts: tuple[int, ...]
    """First frame of every shot but the first, rising."""
    script: Script
    """Sets, cameras and walks that the film was drawn from."""
    frames: NDArray[np.int32]
    """(n,) frame of each box, rising."""
    people: NDArray[np.int32]
    """(n,) identity in each box; the same number is the same person in every shot."""
    boxes: NDArray[np.float32]
    """(n, 4) x1 y1 x2 y2 in [0, 1] of the frame: tight around the person, also where hidden."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A sprite and where it goes in one frame."""

    person: int
    sprite: Sprite
    x: int
    ground: int


class _Wardrobe:
    """Sprites already drawn, so that a person in a pose is drawn once for each height."""

    def __init__(self) -> None:
        self._sprites: dict[tuple[int, int, int, int], Sprite] = {}

    def sprite(self, person: int, height_pixels: int, step: int, facing: int) -> Sprite:
        key = (person, height_pixels, step, facing)
        if key not in self._sprites:
            self._sprites[key] = draw_person(person, height_pixels, step, facing=facing)
        return self._sprites[key]


def make_film(path: Path, config: FilmConfig) -> FilmTruth:
    """Draw the film of `config` into `path` (container by its suffix) and return its labels."""
    script = write_script(config)
    frames: list[int] = []
    people: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    with FilmWriter(path, width=config.width, height=config.height, rate=config.rate) as writer:
        for number, (picture, placed) in enumerate(_pictures(script, config)):
            writer.write(picture)
            for actor in placed:
                frames.append(number)
                people.append(actor.person)
                boxes.append(_box(actor, config))
    return FilmTruth(
        num_frames=config.num_frames,
        cuts=tuple(scene.start_frame for scene in script.scenes[1:]),
        script=script,
        frames=np.array(frames, np.int32),
        people=np.array(people, np.int32),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
    )


def demo_films(folder: Path, *, seed: int = 0) -> list[Path]:
    """Make the three films of the demo, three minutes in all, below `folder`."""
    paths = [folder / name for name, _ in DEMO_FILMS]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    configs = [
        FilmConfig(seed=seed + number, seconds=seconds)
        for number, (_, seconds) in enumerate(DEMO_FILMS)
    ]
    # Drawing and encoding release the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(make_film, paths, configs))
    return paths


def _pictures(
    script: Script, config: FilmConfig
) -> Iterator[tuple[NDArray[np.uint8], list[_Placed]]]:
    """Every frame (height, width, 3) RGB with the people placed in it, farthest first."""
    views: dict[tuple[int, int], NDArray[np.uint8]] = {}
    margin = round(0.06 * config.width)
    for scene in script.scenes:
        wardrobe = _Wardrobe()  # Of one scene, so that memory does not grow with the film.
        camera = (scene.set_index, scene.camera)
        if camera not in views:
            width = config.width + 2 * margin
            views[camera] = draw_view(*camera, width=width, height=config.height, seed=config.seed)
        for number in range(scene.start_frame, scene.end_frame):
            pan = _pan_pixels(scene, number, config)
            left = margin + pan
            picture = views[camera][:, left : left + config.width].copy()
            placed = [
                _place(walk, (number - scene.start_frame) / config.rate, pan, config, wardrobe)
                for walk in scene.walks
            ]
            for actor in placed:
                paste(picture, actor.sprite, x=actor.x, ground=actor.ground)
            yield picture, placed


def _pan_pixels(scene: Scene, number: int, config: FilmConfig) -> int:
    """How far the camera has turned at frame `number`; at most half of its movement either way."""
    done = (number - scene.start_frame) / (scene.end_frame - scene.start_frame)
    return round(scene.pan * config.width * (done - 0.5))


def _place(
    walk: Walk, seconds: float, pan: int, config: FilmConfig, wardrobe: _Wardrobe
) -> _Placed:
    place, facing = walk.place(seconds)
    height_pixels = round(walk.height * config.height)
    strides = walk.speed * seconds * config.width / (STRIDE_IN_HEIGHTS * height_pixels)
    step = int((strides + walk.start) % 1.0 * NUM_STEPS)
    return _Placed(
        person=walk.person,
        sprite=wardrobe.sprite(walk.person, height_pixels, step, facing),
        x=round(place * config.width) - pan,
        ground=round(walk.feet * config.height),
    )


def _box(actor: _Placed, config: FilmConfig) -> tuple[float, float, float, float]:
    """The person's box in [0, 1], cut at the frame's edges."""
    x1, y1, x2, y2 = actor.sprite.box
    return (
        max(actor.x + x1, 0) / config.width,
        max(actor.ground + y1, 0) / config.height,
        min(actor.x + x2, config.width) / config.width,
        min(actor.ground + y2, config.height) / config.height,
    )
