"""Pixels turned, resized, cropped and flipped, with boxes in [0, 1] that move along.

Frames are (H, W, 3) uint8 RGB; boxes are (n, 4) float32 x1 y1 x2 y2 in [0, 1] of the frame.
Resizing moves no box, since boxes are relative. All resizing is OpenCV's INTER_LINEAR (half-pixel
centres, no antialiasing), as the published 3D CNNs were trained with.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


def swap_channels(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make RGB of BGR."""
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def turn(rgb: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Turn a frame counter-clockwise by 0, 90, 180 or 270 degrees."""
    if degrees == 0:
        return rgb
    return np.asarray(cv2.rotate(rgb, _TURNS[degrees]), dtype=np.uint8)


def resize_to(rgb: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """Resize a frame; the same array where it has that size already."""
    if rgb.shape[:2] == (height, width):
        return rgb
    resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def short_side_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height once the shorter side is `size`: the longer one is rounded, half up."""
    short, long = min(width, height), max(width, height)
    scaled = (2 * long * size + short) // (2 * short)
    return (size, scaled) if width <= height else (scaled, size)


def resize_short_side(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a frame so that its shorter side has `size` pixels; see `short_side_size`."""
    width, height = short_side_size(rgb.shape[1], rgb.shape[0], size)
    return resize_to(rgb, width=width, height=height)


def crop(
    rgb: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    *,
    left: int,
    top: int,
    width: int,
    height: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut a rectangle out; boxes are relative to it and clipped (outside: an empty box)."""
    frame_height, frame_width = rgb.shape[:2]
    if not (0 <= left <= frame_width - width and 0 <= top <= frame_height - height):
        raise ValueError(
            f"a crop of {width}x{height} at ({left}, {top}) leaves the frame of "
            f"{frame_width}x{frame_height}; use a smaller one"
        )
    frame_size = np.array([frame_width, frame_height] * 2, np.float32)
    corner = np.array([left, top] * 2, np.float32)
    moved = (boxes * frame_size - corner) / np.array([width, height] * 2, np.float32)
    cut = np.ascontiguousarray(rgb[top : top + height, left : left + width])
    return cut, np.clip(moved, 0.0, 1.0).astype(np.float32)


def centre_crop(
    rgb: NDArray[np.uint8], boxes: NDArray[np.float32], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut the middle square of `size` pixels out; odd remainders go to the right and the bottom."""
    left, top = (rgb.shape[1] - size) // 2, (rgb.shape[0] - size) // 2
    return crop(rgb, boxes, left=left, top=top, width=size, height=size)


def flip(
    rgb: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mirror a frame left to right."""
    mirrored = np.ascontiguousarray(rgb[:, ::-1])
    x1, y1, x2, y2 = boxes.T
    return mirrored, np.stack([1 - x2, y1, 1 - x1, y2], axis=1).astype(np.float32)
