"""How fast a thousand hours of film answer: a generated store of 14 million detections.

Run `python -m tests.benchmarks.large_store [--videos 10000] [--detections 14000000]
[--keep FOLDER] [--output FILE.json]`. The store is written through the store's own interface, a
commit for each video and stage, as extraction leaves it; then everything is measured again on the
store compacted. Times are of this machine now, warm, the median of several tries.
"""

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from reelbank.stores.care.compact import compact
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.stages import bank_stage
from reelbank.stores.store import Store, Unit, open_store

SECONDS = 360
"""Length of each video; its key times are the whole seconds."""
SHOT_SECONDS = 6
TRACKED = 0.7
"""Share of the detections that a track holds."""
PERSONS = 0.8
"""Share of the detections that are persons, and so have a row in the bank."""
BANK, DIM = "person", 8
CHUNK = 100
"""Videos made at once."""
TRIES = 20


@dataclass(frozen=True, slots=True)
class Size:
    """How much to make."""

    videos: int
    detections: int

    def names(self, first: int, last: int) -> list[str]:
        """Video ids of a stretch."""
        return [f"films/{number:06d}.mp4" for number in range(first, last)]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing measured."""

    what: str
    state: str
    """'raw' as extraction leaves it, or 'compacted'."""
    goal: float | None
    """Seconds; None: reported only."""
    seconds: float


# Making the store: columns of many videos at once, then a slice for each commit.


def make_chunk(size: Size, first: int, last: int) -> dict[str, pa.Table]:
    """Tables of the videos first to last, by video and time; the same each time."""
    rng = np.random.default_rng(first)
    names = pa.array(size.names(first, last))
    per_video = size.detections // size.videos
    count = (last - first) * per_video
    video = np.repeat(np.arange(last - first, dtype=np.int32), per_video)
    seconds = np.sort(rng.integers(0, SECONDS, (last - first, per_video)), axis=1).reshape(-1)
    starts = np.flatnonzero(np.diff(video * SECONDS + seconds, prepend=-1))
    sizes = np.diff(starts, append=count)
    rank = (np.arange(count) - np.repeat(starts, sizes)).astype(np.int32)
    corner = rng.random((2, count), np.float32) * np.float32(0.5)
    persons = rng.random(count) < PERSONS
    columns = {
        "video_id": _spelled(names, video),
        "time": seconds.astype(np.float64),
        "rank": rank,
        "category": _spelled(pa.array(["car", "person"]), persons.astype(np.int32)),
        "score": (1 / (1 + rank)).astype(np.float32),
        "x1": corner[0],
        "y1": corner[1],
        "x2": corner[0] + np.float32(0.3),
        "y2": corner[1] + np.float32(0.4),
        "appearance": _blobs(rng.integers(0, 256, (count, 48), np.uint8)),
    }
    tracked = rng.random(count) < TRACKED
    track = seconds // SHOT_SECONDS * 8 + rank % 8
    links = {
        "video_id": _spelled(names, video[tracked]),
        "track_id": track[tracked].astype(np.int32),
        "time": columns["time"][tracked],
        "rank": rank[tracked],
    }
    return {
        "detections": _table("detections", columns),
        "links": _table("links", links),
        "tracks": _tracks(names, video[tracked], seconds[tracked], track[tracked]),
        "shots": _shots(names),
        "videos": _videos(size.names(first, last)),
    }


def _table(name: str, columns: dict[str, Any]) -> pa.Table:
    return pa.table(columns, schema=SCHEMAS[name])


def _spelled(names: pa.Array, numbers: np.ndarray) -> pa.Array:
    return names.take(pa.array(numbers))


def _blobs(values: np.ndarray) -> pa.Array:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def _tracks(names: pa.Array, video: np.ndarray, second: np.ndarray, track: np.ndarray) -> pa.Table:
    key = video.astype(np.int64) * 10_000 + track
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    first, last = order[starts], order[starts + counts - 1]
    columns = {
        "video_id": _spelled(names, video[first]),
        "track_id": track[first].astype(np.int32),
        "category": pa.array(["person"] * len(first)),
        "shot_id": (second[first] // SHOT_SECONDS).astype(np.int32),
        "start_seconds": second[first].astype(np.float64),
        "end_seconds": second[last].astype(np.float64),
        "num_detections": counts.astype(np.int32),
        "mean_score": np.full(len(first), 0.5, np.float32),
    }
    return _table("tracks", columns)


def _shots(names: pa.Array) -> pa.Table:
    per_video = SECONDS // SHOT_SECONDS
    shot = np.tile(np.arange(per_video, dtype=np.int32), len(names))
    columns = {
        "video_id": _spelled(names, np.repeat(np.arange(len(names)), per_video)),
        "shot_id": shot,
        "start_seconds": shot * float(SHOT_SECONDS),
        "end_seconds": (shot + 1) * float(SHOT_SECONDS),
        "start_frame": shot.astype(np.int64) * SHOT_SECONDS * 25,
        "end_frame": (shot.astype(np.int64) + 1) * SHOT_SECONDS * 25,
    }
    return _table("shots", columns)


def _videos(names: list[str]) -> pa.Table:
    lines = [
        {"video_id": name, "source": f"/{name}", "digest": name, "status": "ok"}
        | {"end_seconds": float(SECONDS), "covered_seconds": float(SECONDS)}
        for name in names
    ]
    return pa.Table.from_pylist(lines, schema=SCHEMAS["videos"])


STAGES = {
    "video": ("videos",),
    "detections": ("detections",),
    "shots": ("shots",),
    "tracks": ("tracks", "links"),
}


def fill(store: Store, size: Size, *, console: Console) -> None:
    """Write everything, a commit for each video and stage; banks in larger groups."""
    began = time.perf_counter()
    for first in range(0, size.videos, CHUNK):
        names = size.names(first, min(first + CHUNK, size.videos))
        tables = make_chunk(size, first, first + len(names))
        _commit_bank(store, names, tables["detections"])
        for name in names:
            for stage, written in STAGES.items():
                _commit(store, stage, name, {one: _of(tables[one], name) for one in written})
        if (first + CHUNK) % 1000 == 0:
            console.print(f"{first + CHUNK} videos, {time.perf_counter() - began:.0f} s")


def _of(table: pa.Table, name: str) -> pa.Table:
    """Lines of a video; tables are sorted by video."""
    low, high = _bounds(table, name)
    return table.slice(low, high - low)


def _bounds(table: pa.Table, name: str) -> tuple[int, int]:
    column = table["video_id"].combine_chunks()
    edges = []
    for after in (False, True):
        low, high = 0, len(column)
        while low < high:
            middle = (low + high) // 2
            found = column[middle].as_py()
            low, high = (
                (middle + 1, high)
                if found < name or (after and found == name)
                else (
                    low,
                    middle,
                )
            )
        edges.append(low)
    return edges[0], edges[1]


def _commit(store: Store, stage: str, name: str, tables: dict[str, pa.Table]) -> None:
    units = [_unit(name, stage)]
    key, attempt = store.commit_key(stage, units), store.new_attempt()
    files = [
        store.write_table(table, key=key, attempt=attempt, data=data)
        for table, data in tables.items()
    ]
    store.commit(stage, units, files, run="benchmark", attempt=attempt)


def _unit(name: str, stage: str, **changes: Any) -> Unit:
    return Unit(
        video_id=name,
        digest=name,
        stage=stage,
        start_seconds=0.0,
        end_seconds=math.inf,
        key=f"{stage}/{name}",
        num_rows=0,
        **changes,
    )


def _commit_bank(store: Store, names: list[str], detections: pa.Table) -> None:
    """A row for each person: of its second and its place among the persons, else at random."""
    details = {"bank": {"kind": "person", "category": "person", "model": "random", "dim": DIM}}
    held = detections.filter(pa.compute.field("category") == "person")
    number = pa.compute.index_in(held["video_id"], pa.array(names)).to_numpy()
    seconds = number.astype(np.int64) * SECONDS + held["time"].to_numpy().astype(np.int64)
    counts = np.bincount(seconds, minlength=len(names) * SECONDS)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    units = []
    for place, name in enumerate(names):
        low, high = int(first[place * SECONDS]), int(first[(place + 1) * SECONDS])
        unit = _unit(name, bank_stage(BANK), details=details, time_offset=place * SECONDS)
        unit = replace(unit, num_times=SECONDS, row_offset=low, num_rows=high - low)
        units.append(unit)
    times = np.tile(np.arange(SECONDS, dtype=np.float64), len(names))
    rows = np.random.default_rng(len(held)).standard_normal((len(held), DIM)).astype(np.float16)
    key, attempt = store.commit_key(bank_stage(BANK), units), store.new_attempt()
    given = {"key": key, "attempt": attempt}
    group = store.write_bank(BANK, rows=rows, times=times, first=first, units=units, **given)
    index = pa.table(
        {
            "bank": pa.array([BANK] * len(times)),
            "video_id": _spelled(pa.array(names), np.repeat(np.arange(len(names)), SECONDS)),
            "time": times,
            "first_row": first[:-1],
            "num_rows": np.diff(first).astype(np.int32),
        },
        schema=SCHEMAS["index"],
    )
    files = [group, store.write_table("index", data=index, **given)]
    store.commit(bank_stage(BANK), units, files, run="benchmark", attempt=attempt)


# Measuring.

COUNT = "select video_id, count(*) as n from detections group by video_id"
ONE_VIDEO = "select * from detections where video_id = ? and time >= ? and time < ?"
ROWS = "select * from rows where video_id = ? and time between ? and ?"
JOIN = """
select video_id, t.track_id, count(*) as num, avg(d.score) as score,
       min(s.start_seconds) as shot_start
from (select unnest(?) as video_id)
join detections d using (video_id)
join links l using (video_id, time, rank)
join tracks t using (video_id, track_id)
join shots s using (video_id, shot_id)
group by all
"""
"""With the videos as a table: of a long `in (...)` DuckDB does not know how few it leaves, and
joins shots with detections first, which takes twenty times as long."""


def measure(store: Store, state: str, size: Size) -> Iterator[Line]:
    """Everything that has a goal, and what is worth knowing beside it."""
    rng = np.random.default_rng(7)

    def some_video() -> tuple[str, float]:
        name = size.names(0, size.videos)[int(rng.integers(size.videos))]
        return name, float(rng.integers(SECONDS - 60))

    def detections() -> Any:
        name, start = some_video()
        return store.detections(name, start, start + 60)

    def through_sql() -> Any:
        name, start = some_video()
        return store.sql(ONE_VIDEO, [name, start, start + 60])

    def rows() -> Any:
        name, start = some_video()
        return store.sql(ROWS, [name, start, start + 60])

    def join() -> Any:
        first = int(rng.integers(max(1, size.videos - 100)))
        return store.sql(JOIN, [size.names(first, min(first + 100, size.videos))])

    def count() -> Any:
        found = store.sql(COUNT)
        if len(found) != size.videos:
            raise RuntimeError(f"{len(found)} videos counted, {size.videos} were written")
        return found

    is_compact = state == "compacted"
    yield Line("open", state, 0.5, timed(lambda: open_store(store.uri).live(), tries=3))
    yield Line("first query", state, None, timed(lambda: store.sql("select 1"), tries=1))
    yield Line("look for news (live)", state, None, timed(store.live))
    yield Line("a minute: store.detections", state, 0.005, timed(detections))
    yield Line("a minute: SQL", state, 0.030 if is_compact else None, timed(through_sql))
    yield Line("a minute of rows: SQL", state, None, timed(rows, tries=5))
    yield Line("count for each video", state, 0.2 if is_compact else 2.0, timed(count, tries=5))
    yield Line("join for 100 videos", state, 1.0, timed(join, tries=5))
    yield Line("info", state, None, timed(store.info, tries=3))


def timed(run: Callable[[], Any], *, tries: int = TRIES) -> float:
    """Median seconds of a call; the first, which warms up, does not count where there are more."""
    found = []
    for _ in range(tries + (tries > 1)):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return statistics.median(found[1:] or found)


def show(lines: list[Line], console: Console) -> None:
    """Print goal and measured."""
    table = Table("what", "store", "goal ms", "measured ms", "")
    for line in lines:
        verdict = "" if line.goal is None else "yes" if line.seconds <= line.goal else "NO"
        goal = "" if line.goal is None else f"{line.goal * 1e3:.0f}"
        table.add_row(line.what, line.state, goal, f"{line.seconds * 1e3:.1f}", verdict)
    console.print(table)


def main() -> None:
    """Make, measure, compact, measure; print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--detections", type=int, default=14_000_000)
    parser.add_argument("--keep", type=Path, help="folder of the store, used again")
    parser.add_argument("--output", type=Path, default=Path("benchmarks-out/large_store.json"))
    options = parser.parse_args()
    console, size = Console(), Size(options.videos, options.detections)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="reelbank-large-"))
    try:
        found = run(folder, size, console)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1))


def run(folder: Path, size: Size, console: Console) -> dict[str, Any]:
    """All measurements, as plain JSON."""
    raw = open_store(str(folder / "raw"), create=True)
    began = time.perf_counter()
    if not raw.live():
        fill(raw, size, console=console)
    seconds_to_make = time.perf_counter() - began
    lines = list(measure(raw, "raw", size))
    show(lines, console)
    began = time.perf_counter()
    compact(raw)
    seconds_to_compact = time.perf_counter() - began
    lines += measure(open_store(raw.uri), "compacted", size)
    show(lines, console)
    return {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "size": asdict(size),
        "seconds_to_make": seconds_to_make,
        "seconds_to_compact": seconds_to_compact,
        "lines": [asdict(line) for line in lines],
    }


if __name__ == "__main__":
    main()
