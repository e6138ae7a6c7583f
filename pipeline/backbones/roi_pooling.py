"""From the maps of a backbone to feature rows: of boxes, the clip, its moments, a kxk grid.

Source of the RoI features: the detection head of Feichtenhofer et al., SlowFast Networks,
ICCV 2019, section 5: mean over time, RoIAlign 7x7, max over the 49, pathways side by side.
Half-pixel alignment (`aligned=True`) and as many samples for each bin as its size asks for
(sampling ratio 0), as in PySlowFast's own training configurations. The same pooling without the
half pixel is that of Wu, PhD thesis, section 7.1.4, as released (RoIAlign of Caffe2).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ROI_RESOLUTION = 7
ROI_SAMPLING_RATIO = 0
ROI_ALIGNED = True


def roi_features(
    maps: Sequence[Tensor],
    boxes: Sequence[Tensor],
    *,
    clip_size: tuple[int, int] | None = None,
    spatial_stride: int = 32,
    resolution: int = ROI_RESOLUTION,
    aligned: bool = ROI_ALIGNED,
) -> Tensor:
    """Rows (sum of n_i, sum of C_i), float32: clip by clip, box by box.

    `maps`: (N, C_i, T_i, h, w) for each pathway. `boxes`: for each of the N clips (n_i, 4), x1 y1
    x2 y2 in [0, 1] of the frame. With `clip_size` (height, width of the clip in pixels) boxes are
    scaled by 1 / `spatial_stride`, as the published detectors were trained; without it the map is
    taken to span the frame: the same where the clip's sides are multiples of the stride.
    Without `aligned` boxes are not shifted by half a cell, and are at least one cell large.
    """
    if len(boxes) != len(maps[0]):
        raise ValueError(f"boxes for {len(boxes)} clips, maps of {len(maps[0])}; give one for each")
    from torchvision.ops import roi_align

    pathways = []
    for path in maps:
        height, width = map_extent(path, clip_size, spatial_stride)
        scale = torch.tensor([width, height, width, height], device=path.device)
        scaled = [b.to(path.device, torch.float32).reshape(-1, 4) * scale for b in boxes]
        bins = roi_align(
            path.mean(dim=2).float(),  # (N, C, T, h, w) -> (N, C, h, w)
            scaled,
            output_size=resolution,
            sampling_ratio=ROI_SAMPLING_RATIO,
            aligned=aligned,
        )
        pathways.append(bins.amax(dim=(2, 3)))
    return torch.cat(pathways, dim=1)


def map_extent(
    path: Tensor, clip_size: tuple[int, int] | None, spatial_stride: int
) -> tuple[float, float]:
    """Height and width of the frame in cells of the map."""
    if clip_size is None:
        return float(path.shape[-2]), float(path.shape[-1])
    return clip_size[0] / spatial_stride, clip_size[1] / spatial_stride


def clip_features(maps: Sequence[Tensor]) -> Tensor:
    """Rows (N, sum of C_i), float32: the mean over time and space."""
    return torch.cat([path.float().mean(dim=(2, 3, 4)) for path in maps], dim=1)


def moment_features(maps: Sequence[Tensor]) -> Tensor:
    """Rows (N, T, sum of C_i), float32: the mean over space at each time of the shortest pathway.

    Their mean over time is `clip_features`. Source: Wu, PhD thesis, section 7.4.1, S'_t.
    """
    num_times = min(path.shape[2] for path in maps)
    rows = [path.float().mean(dim=(3, 4)) for path in maps]  # (N, C_i, T_i)
    even = [F.adaptive_avg_pool1d(row, num_times) for row in rows]
    return torch.cat(even, dim=1).transpose(1, 2)


def grid_features(maps: Sequence[Tensor], k: int) -> Tensor:
    """Rows (N, k * k * sum of C_i), float32: the mean over time, averaged to kxk cells.

    Cells follow each other row by row from the top left; each holds all channels, so that
    `rows.reshape(N, k, k, -1)` is the grid.
    """
    pooled = [F.adaptive_avg_pool2d(path.float().mean(dim=2), k) for path in maps]
    return torch.cat(pooled, dim=1).permute(0, 2, 3, 1).flatten(1)
