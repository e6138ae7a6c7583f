"""Coarse colours of a box, for a tracker to compare: cheap, and the same on every machine.

48 numbers: 24 of the upper half (a shirt), then 24 of the lower half (trousers). Each half counts
256 pixels on a fixed 16 x 16 grid over the middle 60 % of the box's width, where a standing person
is: 8 hues dark, 8 hues bright, 8 greys. Grey cloth has bins of its own, since its hue is noise.
"""

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 48
GRID = 16
CENTRE_WIDTH = 0.6
NUM_HUES = 8
NUM_GREYS = 8
BINS_OF_HALF = 2 * NUM_HUES + NUM_GREYS
MIN_SATURATION = 0.25
"""Below it a pixel counts as grey."""
MIN_CHROMA = 24
"""Of 255; dark pixels have a hue of noise."""


def appearance(rgb: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Histograms (n, 48) of `boxes` (n, 4) in [0, 1] of the frame `rgb` (height, width, 3).

    Each half sums to about 255; a box without area inside the frame has zeros.
    """
    histograms = np.zeros((len(boxes), NUM_BINS), dtype=np.uint8)
    clipped = np.clip(boxes.astype(np.float64), 0.0, 1.0)
    # Not-a-number compares false, and so has no area.
    seen = np.flatnonzero(np.all(clipped[:, 2:] > clipped[:, :2], axis=1))
    if not len(seen):
        return histograms
    bins = _colour_bins(_sample(rgb, clipped[seen]))  # (m, 32, 16)
    halves = bins.reshape(len(seen) * 2, GRID * GRID)
    offsets = np.arange(len(halves))[:, None] * BINS_OF_HALF
    counts = np.bincount((halves + offsets).ravel(), minlength=len(halves) * BINS_OF_HALF)
    # 256 pixels in one bin would not fit: 255 stands for all.
    histograms[seen] = np.minimum(counts, 255).astype(np.uint8).reshape(len(seen), NUM_BINS)
    return histograms


def _sample(rgb: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels (n, 32, 16, 3) at the centres of a grid over the middle of each box."""
    height, width = rgb.shape[:2]
    down = (np.arange(2 * GRID) + 0.5) / (2 * GRID)
    across = 0.5 + CENTRE_WIDTH * ((np.arange(GRID) + 0.5) / GRID - 0.5)
    y = boxes[:, 1:2] + down * (boxes[:, 3:4] - boxes[:, 1:2])
    x = boxes[:, 0:1] + across * (boxes[:, 2:3] - boxes[:, 0:1])
    rows = np.minimum((y * height).astype(np.intp), height - 1)
    columns = np.minimum((x * width).astype(np.intp), width - 1)
    pixels: NDArray[np.int32] = rgb[rows[:, :, None], columns[:, None, :]].astype(np.int32)
    return pixels


def _colour_bins(pixels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Bin of each pixel (..., 3): 0-15 hue and brightness, 16-23 grey."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    brightest = pixels.max(axis=-1)
    chroma = brightest - pixels.min(axis=-1)
    safe = np.maximum(chroma, 1)
    hue = np.where(  # in sixths of the circle, [-1, 5)
        brightest == red,
        (green - blue) / safe,
        np.where(brightest == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    # Bins are centred on red, so that reds stay together.
    hue_bin = np.floor(hue * (NUM_HUES / 6.0) + 0.5).astype(np.int64) % NUM_HUES
    coloured = hue_bin + NUM_HUES * (brightest >= 128)
    grey = 2 * NUM_HUES + (pixels.sum(axis=-1) * NUM_GREYS) // (3 * 256)
    is_coloured = (chroma >= MIN_CHROMA) & (chroma >= MIN_SATURATION * brightest)
    bins: NDArray[np.int64] = np.where(is_coloured, coloured, grey)
    return bins
