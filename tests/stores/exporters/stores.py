"""Stores with something of everything that exporters read."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reelbank.stores.labels import label_schema
from reelbank.stores.store import Store, open_store
from tests.stores.builders import commit_lines, filled_store, unit


def commit_videos(store: Store, names: list[str], *, width: int = 640, height: int = 360) -> None:
    """Lines of the table videos: probed, and of one size."""
    lines = [
        {
            "video_id": name,
            "source": name,
            "digest": "d0",
            "width": width,
            "height": height,
            "status": "ok",
        }
        for name in names
    ]
    commit_lines(store, "video", [unit(name, "video") for name in names], {"videos": lines})


def whole_store(folder: Path) -> Store:
    """`filled_store` with sizes: videos 'one.mp4' and "two's.mp4"."""
    store = filled_store(open_store(folder, create=True))
    commit_videos(store, ["one.mp4", "two's.mp4"])
    return store


def tracked_video(
    store: Store, name: str, *, times: list[float], step: float, tracks: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Commit detections at random places: rank r belongs to track r, the last rank to none."""
    random = np.random.default_rng(seed)
    lines = []
    for time in times:
        corners = np.sort(random.random((tracks + 1, 2, 2)), axis=1).astype(np.float32)
        for rank, ((x1, y1), (x2, y2)) in enumerate(corners):
            box = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
            category = "person" if rank % 2 else "dog"
            score = np.float32(0.9 - rank / 10)
            place = {"video_id": name, "time": time, "rank": rank}
            lines.append(place | {"category": category, "score": score, "appearance": None} | box)
    ingredients = {"ingredients": {"key_step_seconds": step}}
    commit_lines(
        store, "detections", [unit(name, "detections", details=ingredients)], {"detections": lines}
    )
    ids = {
        "video_id": name,
        "shot_id": 0,
        "start_seconds": times[0],
        "end_seconds": times[-1],
        "num_detections": len(times),
        "mean_score": 0.5,
    }
    made = [
        ids | {"track_id": one, "category": "person" if one % 2 else "dog"} for one in range(tracks)
    ]
    links = [
        {"video_id": name, "track_id": one, "time": time, "rank": one}
        for time in times
        for one in range(tracks)
    ]
    commit_lines(store, "tracks", [unit(name, "tracks")], {"tracks": made, "links": links})
    return lines


def label_line(video_id: str, number: int, **values: Any) -> dict[str, Any]:
    """A line of `labels` for `commit_set`; what is not given is null."""
    columns = dict.fromkeys(label_schema("labels").names)
    given = {"video_id": video_id, "source_name": "name", "source_line": number, "task": "action"}
    return columns | given | values


def commit_set(
    store: Store,
    label_set: str,
    lines: list[dict[str, Any]],
    classes: dict[int, str],
    *,
    evaluated: set[int] | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Bring in a label set given as 'name@version'; its classes are of the task 'action'."""
    known = [
        {
            "task": "action",
            "label_id": number,
            "label": label,
            "evaluated": evaluated is None or number in evaluated,
        }
        for number, label in classes.items()
    ]
    name, version = label_set.split("@")
    store.commit_labels(
        name,
        version,
        lines=pa.Table.from_pylist(lines, schema=label_schema("labels")),
        classes=pa.Table.from_pylist(known, schema=label_schema("classes")),
        details=details or {},
        run="import",
    )
