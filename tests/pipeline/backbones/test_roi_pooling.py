"""Feature rows from maps, against plain formulas and a plain RoIAlign."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelbank.pipeline.backbones.roi_pooling import (
    clip_features,
    grid_features,
    moment_features,
    roi_features,
)

FULL = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def random_map(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bilinear(plane: NDArray[np.float64], y: float, x: float) -> float:
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = plane[top, left] * (1 - fx) + plane[top, right] * fx
    lower = plane[bottom, left] * (1 - fx) + plane[bottom, right] * fx
    return float(upper * (1 - fy) + lower * fy)


def plain_roi(
    plane: NDArray[np.float64],
    box: list[float],
    scale: tuple[float, float],
    *,
    aligned: bool = True,
) -> float:
    """Max over 7x7 bins, each the mean of ceil(bin size) squared bilinear samples.

    Half-pixel; or, not aligned, without a shift and of boxes of at least one cell.
    """
    shift = 0.5 if aligned else 0.0
    x1, x2 = (box[i] * scale[1] - shift for i in (0, 2))
    y1, y2 = (box[i] * scale[0] - shift for i in (1, 3))
    if not aligned:
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    bin_h, bin_w = (y2 - y1) / 7, (x2 - x1) / 7
    rows, columns = math.ceil(bin_h), math.ceil(bin_w)
    bins = []
    for i in range(7):
        for j in range(7):
            samples = [
                bilinear(
                    plane,
                    y1 + i * bin_h + (a + 0.5) * bin_h / rows,
                    x1 + j * bin_w + (b + 0.5) * bin_w / columns,
                )
                for a in range(rows)
                for b in range(columns)
            ]
            bins.append(sum(samples) / max(len(samples), 1))
    return max(bins)


def test_a_full_box_on_a_7x7_map_is_the_maximum_over_the_time_average() -> None:
    maps = (random_map(2, 5, 3, 7, 7),)
    rows = roi_features(maps, [FULL, FULL])
    torch.testing.assert_close(rows, maps[0].mean(2).amax((2, 3)))


def test_a_full_box_on_a_14x21_map_is_the_maximum_of_its_cell_averages() -> None:
    maps = (random_map(1, 4, 2, 14, 21),)
    expected = F.avg_pool2d(maps[0].mean(2), (2, 3)).amax((2, 3))
    torch.testing.assert_close(roi_features(maps, [FULL]), expected)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.02, 1), st.floats(0.02, 1)),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
def test_any_box_agrees_with_a_plain_roialign(
    corner_and_size: tuple[float, float, float, float], seed: int, by_pixels: bool, aligned: bool
) -> None:
    x, y, width, height = corner_and_size
    box = np.float32([x, y, min(x + width, 1), min(y + height, 1)]).tolist()
    maps = (random_map(1, 2, 2, 4, 8, seed=seed),)
    clip_size = (128, 228) if by_pixels else None
    scale = (128 / 32, 228 / 32) if by_pixels else (4.0, 8.0)
    rows = roi_features(
        maps, [torch.tensor([box])], clip_size=clip_size, spatial_stride=32, aligned=aligned
    )
    planes = maps[0].mean(2)[0].double().numpy()
    expected = [plain_roi(plane, box, scale, aligned=aligned) for plane in planes]
    np.testing.assert_allclose(rows[0].numpy(), expected, atol=1e-4)


def test_rows_follow_clips_then_boxes_and_pathways_stand_side_by_side() -> None:
    slow, fast = random_map(3, 4, 2, 7, 7), random_map(3, 2, 8, 7, 7, seed=1)
    left, right = torch.tensor([[0, 0, 0.5, 1.0]]), torch.tensor([[0.5, 0, 1.0, 1.0]])
    boxes = [torch.cat([left, right]), torch.zeros(0, 4), right]
    rows = roi_features((slow, fast), boxes)
    assert rows.shape == (3, 6)
    torch.testing.assert_close(rows[0], roi_features((slow[:1], fast[:1]), [left])[0])
    torch.testing.assert_close(rows[2], roi_features((slow[2:], fast[2:]), [right])[0])
    torch.testing.assert_close(rows[:, :4], roi_features((slow,), boxes))
    assert roi_features((slow, fast), [torch.zeros(0, 4)] * 3).shape == (0, 6)


def test_boxes_for_another_number_of_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="boxes for 1 clips, maps of 2"):
        roi_features((random_map(2, 1, 1, 7, 7),), [FULL])


def test_clip_rows_are_means_and_a_grid_of_one_cell_is_the_same() -> None:
    maps = (random_map(2, 4, 2, 5, 7), random_map(2, 3, 8, 5, 7, seed=1))
    expected = torch.cat([m.mean((2, 3, 4)) for m in maps], 1)
    torch.testing.assert_close(clip_features(maps), expected)
    torch.testing.assert_close(grid_features(maps, 1), expected)


def test_a_grid_row_is_a_grid_of_cells_with_all_channels() -> None:
    maps = (random_map(2, 4, 2, 6, 9), random_map(2, 3, 8, 6, 9, seed=1))
    rows = grid_features(maps, 3)
    assert rows.shape == (2, 3 * 3 * 7)
    grid = rows.reshape(2, 3, 3, 7)
    for i in range(3):
        for j in range(3):
            cell = [m[:, :, :, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].mean((2, 3, 4)) for m in maps]
            torch.testing.assert_close(grid[:, i, j], torch.cat(cell, 1))


def test_rows_of_half_precision_maps_are_float32() -> None:
    maps = (random_map(1, 4, 2, 4, 6).bfloat16(),)
    for rows in (clip_features(maps), grid_features(maps, 2), roi_features(maps, [FULL])):
        assert rows.dtype == torch.float32


def test_moments_are_means_over_space_and_their_mean_is_the_clips_row():
    slow, fast = random_map(2, 5, 4, 3, 6), random_map(2, 3, 16, 3, 6, seed=1)
    moments = moment_features([slow, fast])
    assert moments.shape == (2, 4, 8)
    torch.testing.assert_close(moments[1, 2, :5], slow[1, :, 2].mean(dim=(1, 2)))
    torch.testing.assert_close(moments[1, 2, 5:], fast[1, :, 8:12].mean(dim=(1, 2, 3)))
    torch.testing.assert_close(moments.mean(dim=1), clip_features([slow, fast]))
