"""What is looked at of a clip: a size, a rectangle, mirrored or not; boxes move with the pixels.

Source: Wu, PhD thesis, section 7.2.1. A box that the crop cuts is looked at as far as it is inside;
of one that is wholly outside the crop's border is looked at, in a test only where no other view has
the box.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.jobs.training.clips.config import AugmentConfig, ViewsConfig
from reelbank.pipeline.decode.transforms import crop, flip, resize_to, short_side_size

MAX_TEST_CROP = 256
"""Side of the square of the larger scales in testing, as in the released code; a smaller scale's
square has its side."""


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a frame; pixels are those after resizing."""

    width: int
    """Width to which the frame is resized."""
    height: int
    """Height to which the frame is resized."""
    left: int
    """First column of the crop."""
    top: int
    """First row of the crop."""
    crop_width: int
    """Columns of the crop."""
    crop_height: int
    """Rows of the crop."""
    is_flipped: bool
    """Whether the crop is then mirrored left to right."""


def whole_view(width: int, height: int, short_side: int) -> View:
    """What an extraction looks at: the frame of width x height pixels, resized."""
    size = short_side_size(width, height, short_side)
    return View(*size, 0, 0, *size, is_flipped=False)


def drawn_view(
    config: AugmentConfig, width: int, height: int, generator: np.random.Generator
) -> View:
    """A view for training of frames of width x height pixels; of a resolved config."""
    assert config.short_side is not None
    low, high = config.short_side
    size = short_side_size(width, height, int(generator.integers(low, high + 1)))
    crop_width, crop_height = (config.crop_size,) * 2 if config.crop_size else size
    assert crop_width is not None
    assert crop_height is not None
    left = int(generator.integers(size[0] - crop_width + 1))
    top = int(generator.integers(size[1] - crop_height + 1))
    is_flipped = config.flip and bool(generator.integers(2))
    return View(*size, left, top, crop_width, crop_height, is_flipped)


def views_for_test(config: ViewsConfig, width: int, height: int) -> Iterator[View]:
    """All views of a test of frames of width x height pixels; of a resolved config."""
    assert config.scales is not None
    for scale in config.scales:
        size = short_side_size(width, height, scale)
        for left, top, crop_width, crop_height in _crops(config.crops, size, scale):
            for is_flipped in (False, True) if config.flip else (False,):
                yield View(*size, left, top, crop_width, crop_height, is_flipped)


def _crops(kind: str, size: tuple[int, int], scale: int) -> Iterator[tuple[int, int, int, int]]:
    if kind == "whole":
        yield (0, 0, *size)
        return
    side = min(scale, MAX_TEST_CROP)
    room = size[0] - side, size[1] - side
    middle = room[0] // 2, room[1] // 2
    if kind == "centre":
        yield (*middle, side, side)
        return
    for share in (0, 1, 2):  # Along the longer side.
        left, top = (room[0] * share // 2, middle[1])
        if size[0] < size[1]:
            left, top = (middle[0], room[1] * share // 2)
        yield left, top, side, side


def seen(
    frames: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32], view: View
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The clip (T, h, w, 3) that the view shows of frames (H, W, 3), and the boxes (n, 4) in it.

    A box outside the crop has no area: it lies on the border.
    """
    shown = {id(frame): _look(frame, boxes, view) for frame in frames}  # Some stand there twice.
    return np.stack([shown[id(frame)][0] for frame in frames]), shown[id(frames[0])][1]


def _look(
    frame: NDArray[np.uint8], boxes: NDArray[np.float32], view: View
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    resized = resize_to(frame, width=view.width, height=view.height)
    cut, moved = crop(
        resized,
        boxes,
        left=view.left,
        top=view.top,
        width=view.crop_width,
        height=view.crop_height,
    )
    return flip(cut, moved) if view.is_flipped else (cut, moved)


def is_inside(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the moved boxes (n, 4) have a part in the crop."""
    inside: NDArray[np.bool_] = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return inside


def on_border(boxes: NDArray[np.float32], view: View, *, stride: int) -> NDArray[np.float32]:
    """The moved boxes (n, 4), those outside the crop as the strip of its border next to them.

    The strip is at least `stride` pixels, a cell of the network's map, wide and high: RoIAlign
    makes nothing of no area.
    """
    moved = boxes.copy()
    outside = ~is_inside(boxes)
    for low, high, side in ((0, 2, view.crop_width), (1, 3, view.crop_height)):
        least = stride / side
        starts = np.minimum(moved[outside, low], np.float32(1 - least))
        moved[outside, low] = starts
        moved[outside, high] = np.maximum(moved[outside, high], starts + np.float32(least))
    return moved
