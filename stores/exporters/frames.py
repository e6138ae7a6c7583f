"""Key times and picture sizes: what formats made of numbered pictures need of a video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores.live import LiveSet
from reelbank.stores.store import Store
from reelbank.stores.times import TOLERANCE_SECONDS


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a video's upright frame."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""


def sizes(store: Store) -> dict[str, Size]:
    """Picture size of each video that was probed."""
    found = store.sql(
        "SELECT video_id, width, height FROM videos WHERE width > 0 AND height > 0"
    ).to_pylist()
    return {line["video_id"]: Size(line["width"], line["height"]) for line in found}


def size_of(video_id: str, known: Mapping[str, Size]) -> Size:
    """Size of a video that has boxes; ValueError where it is not known yet."""
    if video_id not in known:
        raise ValueError(
            f"video {video_id!r} has boxes but no size in the table videos: its extraction is not "
            "finished; finish it, or name the videos to export with --video"
        )
    return known[video_id]


def key_times(store: Store, video_id: str, detections: pa.Table) -> NDArray[np.float64]:
    """Key times of a video, rising: those of its banks and those with detections.

    In a store without banks, key times without detections left no trace.
    """
    index = store.table("index", video_id)
    times = [table["time"].to_numpy() for table in (index, detections)]
    return distinct(np.concatenate(times))


def distinct(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The times once each, rising; those within the tolerance are the same."""
    rising = np.unique(times)
    return rising[np.diff(rising, prepend=-np.inf) > TOLERANCE_SECONDS]


def key_step(live: LiveSet, video_id: str, times: NDArray[np.float64]) -> float:
    """Seconds between key times, as the detections' units say; else the smallest gap, else 1."""
    said = {
        float(step)
        for unit in live.units(video_id, "detections")
        for step in [unit.details.get("ingredients", {}).get("key_step_seconds")]
        if step is not None
    }
    if len(said) > 1:
        raise ValueError(
            f"video {video_id!r} has key times of several steps, {sorted(said)} s: its settings "
            "changed; extract it again to make it whole"
        )
    if said:
        return said.pop()
    return float(np.diff(times).min()) if len(times) > 1 else 1.0


def numbers(video_id: str, times: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    """Number of each key time, the one at 0 s being 1."""
    exact = times / step
    found = np.rint(exact).astype(np.int64)
    if np.any(np.abs(exact - found) > 1e-3):
        worst = times[np.argmax(np.abs(exact - found))]
        raise ValueError(
            f"video {video_id!r} has a key time {worst} s that is no multiple of its step, {step} s"
        )
    return found + 1


def pixel_box(box: Sequence[float], size: Size) -> list[float]:
    """x1 y1 x2 y2 in [0, 1] -> x y width height in pixels, to a thousandth."""
    x1, y1, x2, y2 = box
    scaled = (x1 * size.width, y1 * size.height, (x2 - x1) * size.width, (y2 - y1) * size.height)
    return [round(float(value), 3) for value in scaled]
