"""Small commits for the tests: the shortest way to a store with something in it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from reelbank.stores.commits import Commit
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.store import FileEntry, Store, Unit

STRANGE_NAMES = (
    "plain.mp4",
    'it\'s "quoted".mp4',
    "line\nbreak.mp4",
    "../../etc/passwd",
    "films/Москва 東京.mkv",
    "a b [1]*?.mp4",
)


def unit(video_id: str, stage: str, **changes: Any) -> Unit:
    """A whole video by default."""
    given = {
        "video_id": video_id,
        "digest": "d0",
        "stage": stage,
        "start_seconds": 0.0,
        "end_seconds": math.inf,
        "key": f"{video_id}/{stage}",
        "num_rows": 0,
    }
    return Unit(**(given | changes))


def detection_lines(video_id: str, times: dict[float, list[str]]) -> list[dict[str, Any]]:
    """Lines of `detections`: for each key time the categories by falling score."""
    return [
        {
            "video_id": video_id,
            "time": time,
            "rank": rank,
            "category": category,
            "score": 1.0 - rank / 16,
            "x1": 0.1,
            "y1": 0.2,
            "x2": 0.5,
            "y2": 0.75,
            "appearance": bytes(range(48)),
        }
        for time, categories in times.items()
        for rank, category in enumerate(categories)
    ]


def write_lines(
    store: Store,
    stage: str,
    units: list[Unit],
    lines: dict[str, list[dict[str, Any]]],
    attempt: str,
) -> list[FileEntry]:
    """Table files of a commit, not yet committed."""
    return [
        store.write_table(
            table,
            key=store.commit_key(stage, units),
            attempt=attempt,
            data=pa.Table.from_pylist(some, schema=SCHEMAS[table]),
        )
        for table, some in lines.items()
    ]


def commit_lines(
    store: Store,
    stage: str,
    units: list[Unit],
    lines: dict[str, list[dict[str, Any]]],
    run: str = "run",
) -> Commit | None:
    """Write and commit lines of the tables of one stage."""
    attempt = store.new_attempt()
    files = write_lines(store, stage, units, lines, attempt)
    return store.commit(stage, units, files, run=run, attempt=attempt)


def commit_bank(
    store: Store,
    bank: str,
    pieces: list[tuple[Unit, dict[float, np.ndarray]]],
    compression: str = "none",
) -> Commit | None:
    """Write and commit a bank: for each unit the rows (n, dim) of each key time."""
    stage = f"bank:{bank}"
    counts = [len(rows) for _, held in pieces for rows in held.values()]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    units, offset = [], 0
    for one, held in pieces:
        low, high = int(first[offset]), int(first[offset + len(held)])
        units.append(
            replace(
                one,
                time_offset=offset,
                num_times=len(held),
                row_offset=low,
                num_rows=high - low,
            )
        )
        offset += len(held)
    key, attempt = store.commit_key(stage, units), store.new_attempt()
    times = [time for _, held in pieces for time in held]
    rows = np.concatenate([rows for _, held in pieces for rows in held.values()])
    group = store.write_bank(
        bank,
        key=key,
        attempt=attempt,
        rows=rows,
        times=np.array(times, np.float64),
        first=first,
        units=units,
        compression=compression,
    )
    index = pa.table(
        {
            "bank": [bank] * len(times),
            "video_id": [one.video_id for one, held in pieces for _ in held],
            "time": times,
            "first_row": first[:-1],
            "num_rows": np.diff(first).astype(np.int32),
        },
        schema=SCHEMAS["index"],
    )
    files = [group, store.write_table("index", key=key, attempt=attempt, data=index)]
    return store.commit(stage, units, files, run="run", attempt=attempt)


def filled_store(store: Store) -> Store:
    """Two videos: detections, shots, tracks, a person bank, a clip bank and a run."""
    held = {0.0: ["car", "person", "person"], 1.0: [], 2.0: ["person", "car"]}
    videos = ["one.mp4", "two's.mp4"]
    units = [unit(name, "detections", num_rows=5) for name in videos]
    lines = [line for name in videos for line in detection_lines(name, held)]
    commit_lines(store, "detections", units, {"detections": lines})
    shots = [
        {
            "video_id": name,
            "shot_id": 0,
            "start_seconds": 0.0,
            "end_seconds": 3.0,
            "start_frame": 0,
            "end_frame": 75,
        }
        for name in videos
    ]
    commit_lines(store, "shots", [unit(name, "shots") for name in videos], {"shots": shots})
    tracks = [
        {
            "video_id": name,
            "track_id": 7,
            "category": "person",
            "shot_id": 0,
            "start_seconds": 0.0,
            "end_seconds": 2.0,
            "num_detections": 2,
            "mean_score": 0.9,
        }
        for name in videos
    ]
    links = [
        {"video_id": name, "track_id": 7, "time": time, "rank": rank}
        for name in videos
        for time, rank in ((0.0, 1), (2.0, 0))
    ]
    units = [unit(name, "tracks") for name in videos]
    commit_lines(store, "tracks", units, {"tracks": tracks, "links": links})
    for number, name in enumerate(videos):
        commit_bank(store, "person", [(person_unit(name), person_rows(10.0 * number))])
        clip = {time: np.full((1, 3), time + number, np.float32) for time in held}
        commit_bank(
            store, "clip", [(unit(name, "bank:clip", details={"bank": {"kind": "clip"}}), clip)]
        )
    store.write_run("r1", {"started": "2026-01-01", "state": "done"})
    return store


def person_unit(name: str) -> Unit:
    """A bank that holds the detections called 'person'."""
    details = {"bank": {"kind": "person", "category": "person", "untrained": True}}
    return unit(name, "bank:person", details=details)


def person_rows(base: float) -> dict[float, np.ndarray]:
    """Rows of the two persons at 0 s and of the one at 2 s."""
    return {
        0.0: np.array([[base, 0, 0, 0], [base + 1, 0, 0, 0]], np.float16),
        1.0: np.empty((0, 4), np.float16),
        2.0: np.array([[base + 2, 0, 0, 0]], np.float16),
    }
