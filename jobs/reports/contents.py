"""What the page shows of each video, read from the store."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores.store import Store


@dataclass(frozen=True, slots=True)
class Sightings:
    """Detections of a video, by time and rank: parallel arrays."""

    times: NDArray[np.float64]
    boxes: NDArray[np.float32]
    """(n, 4) x1 y1 x2 y2 in [0, 1]."""
    scores: NDArray[np.float32]
    track_ids: list[int | None]
    categories: list[str]

    def at(self, time: float) -> list[int]:
        """Which detections were made at a key time."""
        low, high = np.searchsorted(self.times, [time - 1e-6, time + 1e-6])
        return list(range(int(low), int(high)))


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything about one video that its part of the page is made from."""

    video: dict[str, Any]
    """Its line of the table `videos`."""
    shots: list[dict[str, Any]]
    """Lines of `shots`, by start; empty without that stage."""
    tracks: list[dict[str, Any]]
    """Lines of `tracks`, by number."""
    sightings: Sightings
    failures: list[dict[str, Any]]
    """Lines of `failures`, by start."""

    @property
    def video_id(self) -> str:
        """Its name in the store."""
        return str(self.video["video_id"])

    @property
    def seconds(self) -> float:
        """Length of its time line: as far as anything is known of it."""
        ends = [self.video["covered_seconds"] or self.video["end_seconds"] or 0.0]
        ends += [shot["end_seconds"] for shot in self.shots[-1:]]
        ends += [float(self.sightings.times[-1])] if len(self.sightings.times) else []
        return max(ends)


def read_contents(store: Store, video: dict[str, Any]) -> Contents:
    """Collect what the store knows of one line of `videos`."""
    video_id = video["video_id"]
    return Contents(
        video=video,
        shots=_lines(store, "shots", video_id, "start_seconds"),
        tracks=_lines(store, "tracks", video_id, "track_id"),
        sightings=_sightings(store.detections(video_id)),
        failures=_lines(store, "failures", video_id, "start_seconds"),
    )


def _lines(store: Store, table: str, video_id: str, order: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.table(table, video_id).sort_by(order).to_pylist()
    return found


def _sightings(table: pa.Table) -> Sightings:
    corners = [table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")]
    return Sightings(
        times=np.asarray(table["time"].to_numpy(), np.float64),
        boxes=np.stack(corners, axis=1).astype(np.float32),
        scores=np.asarray(table["score"].to_numpy(), np.float32),
        track_ids=table["track_id"].to_pylist(),
        categories=table["category"].to_pylist(),
    )
