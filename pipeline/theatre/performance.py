"""A play as pictures, and where in them everything is."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.theatre.play import Play
from reelbank.pipeline.theatre.puppets import HAND, draw_puppet, moved, parcel_box
from reelbank.pipeline.theatre.roles import GENRES
from reelbank.pipeline.theatre.sets import draw_view
from reelbank.pipeline.theatre.sprites import Sprite, paste
from reelbank.pipeline.theatre.staging import CAST_SIZE, StageShot
from reelbank.pipeline.theatre.things import cue_shift, draw_cue, draw_prop
from reelbank.pipeline.theatre.timeline import Acting, Timeline

PUPPET_HEIGHT = 0.56
"""Height of a standing puppet over that of the frame."""
ZOOMS = (1.0, 0.92)
"""Size of everything before each camera of a set."""
FEET = 0.95
"""Ground under the puppets over the height of the frame."""
STROLL = 0.03
"""Furthest way from a puppet's place in a walk, over the width of the frame."""
SPRITES_KEPT = 1024
"""Drawings that are kept, so that memory does not grow with the film."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """A sprite and where it goes in one frame."""

    sprite: Sprite
    x: int
    ground: int

    @property
    def box(self) -> Box:
        """x1 y1 x2 y2 in pixels, also outside of the frame."""
        x1, y1, x2, y2 = self.sprite.box
        return (self.x + x1, self.ground + y1, self.x + x2, self.ground + y2)


@dataclass(frozen=True, slots=True)
class Placed:
    """Something in a frame that labels name."""

    category: str
    """'person', or the name of a thing."""
    member: int
    """Place in the cast of the puppet, or of the puppet that holds the thing; -1 for a prop."""
    box: Box
    """x1 y1 x2 y2 in pixels, cut at the frame's edges; a person's holds what the person holds."""


class Performance:
    """Frames of one play; a frame does not depend on those drawn before it."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._timeline = Timeline(play)
        self._starts = [shot.start_frame for shot in play.shots]
        self._puppet = lru_cache(SPRITES_KEPT)(draw_puppet)
        self._thing = lru_cache(SPRITES_KEPT)(draw_cue)
        self._prop = lru_cache(SPRITES_KEPT)(draw_prop)
        self._views: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame in order: (height, width, 3) RGB."""
        return map(self.picture, range(self._play.config.num_frames))

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Frame `number`: (height, width, 3) RGB."""
        shot = self.shot(number)
        picture = self._view(shot).copy()
        pieces = [self._prop_piece(shot)]
        for member in self._order(shot):
            pieces += self._pieces(member, self._timeline.at(member, number), shot)
        for piece in pieces:
            paste(picture, piece.sprite, x=piece.x, ground=piece.ground)
        return picture

    def placed(self, number: int) -> list[Placed]:
        """Everything in frame `number`: the cast in order, then things."""
        shot = self.shot(number)
        people, things = [], []
        for member in range(CAST_SIZE):
            acting = self._timeline.at(member, number)
            pieces = self._pieces(member, acting, shot)
            people.append(Placed("person", member, self._cut(_union([one.box for one in pieces]))))
            for cue, piece in zip(acting.cues, pieces[1:], strict=True):
                things.append(Placed(cue.name, member, self._cut(piece.box)))
            if acting.stance.holds:
                things.append(Placed("parcel", member, self._parcel(pieces[0], acting, shot)))
        prop = list(GENRES.values())[shot.prop]
        things.append(Placed(prop, -1, self._cut(self._prop_piece(shot).box)))
        return people + things

    def shot(self, number: int) -> StageShot:
        """The shot that frame `number` is in."""
        return self._play.shots[bisect_right(self._starts, number) - 1]

    def _view(self, shot: StageShot) -> NDArray[np.uint8]:
        camera = (shot.set_index, shot.camera)
        if camera not in self._views:
            config = self._play.config
            self._views[camera] = draw_view(
                *camera, width=config.width, height=config.height, seed=config.seed
            )
        return self._views[camera]

    def _order(self, shot: StageShot) -> list[int]:
        return sorted(range(CAST_SIZE), key=lambda member: shot.places[member])

    def _height(self, shot: StageShot) -> int:
        return round(PUPPET_HEIGHT * ZOOMS[shot.camera] * self._play.config.height)

    def _pieces(self, member: int, acting: Acting, shot: StageShot) -> list[Piece]:
        """The puppet, then what it shows."""
        config, height, zoom = self._play.config, self._height(shot), ZOOMS[shot.camera]
        place = 0.5 + zoom * ((shot.places[member] + 0.5) / CAST_SIZE - 0.5)
        x = round((place + zoom * STROLL * acting.stroll) * config.width)
        ground = round(FEET * zoom * config.height)
        pieces = [Piece(self._puppet(acting.stance, height), x, ground)]
        for cue in acting.cues:
            hand = moved(acting.stance, (HAND * (cue.side, 1))[None])[0]
            right, down = cue_shift(cue.name, cue.phase)
            pieces.append(
                Piece(
                    self._thing(cue.name, cue.coat, height),
                    x + round((hand[0] + right) * height),
                    ground + round((hand[1] + down - 1.0) * height),
                )
            )
        return pieces

    def _prop_piece(self, shot: StageShot) -> Piece:
        config = self._play.config
        sprite = self._prop(list(GENRES.values())[shot.prop], round(0.75 * self._height(shot)))
        return Piece(
            sprite, round(shot.prop_place / CAST_SIZE * config.width), round(0.14 * config.height)
        )

    def _parcel(self, puppet: Piece, acting: Acting, shot: StageShot) -> Box:
        height = self._height(shot)
        x1, y1, x2, y2 = parcel_box(acting.stance)
        top = puppet.ground - height
        low = (puppet.x + x1 * height, top + y1 * height)
        high = (puppet.x + x2 * height, top + y2 * height)
        corners = (*np.floor(low).astype(int).tolist(), *np.ceil(high).astype(int).tolist())
        return self._cut((corners[0], corners[1], corners[2], corners[3]))

    def _cut(self, box: Box) -> Box:
        width, height = self._play.config.width, self._play.config.height
        x1, y1, x2, y2 = box
        return max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)


def _union(boxes: list[Box]) -> Box:
    corners = np.array(boxes)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
