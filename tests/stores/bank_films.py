"""Random films in random parts for the tests of a bank, and the plain model to compare with."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from hypothesis import strategies as st

from reelbank import open_store
from reelbank.stores.groups import encode_group
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.store import Store
from tests.stores.builders import unit

DIM = 3
BANK = "person"
KINDS_OF_STORE = ("plain", "zstd", "remote", "remote zstd", "foreign")


@dataclass(frozen=True)
class FilmPart:
    """A stretch of one film; numbers count key times from 0."""

    low: int
    high: int
    counts: dict[int, int]
    """Rows at each key time that the part has."""


@dataclass(frozen=True)
class Films:
    """What to build."""

    step: float
    is_step_told: bool
    """Whether the bank's metadata says the step."""
    is_roi: bool
    parts: dict[str, list[FilmPart]]


@dataclass(frozen=True)
class Model:
    """What the bank must answer, in plain dictionaries."""

    step: float
    rows: dict[str, dict[int, np.ndarray]]
    """Rows (m, DIM) by video and number of the key time."""
    boxes: dict[str, dict[int, np.ndarray]]

    def window(
        self, video_id: str, inside: range, limit: int | None
    ) -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
        """Rows, boxes, numbers of the key times, and counts."""
        numbers = [number for number in self.rows[video_id] if number in inside]
        rows = [self.rows[video_id][number][:limit] for number in numbers]
        boxes = [self.boxes[video_id][number][:limit] for number in numbers]
        return (
            np.concatenate([np.empty((0, DIM), np.float16), *rows]),
            np.concatenate([np.empty((0, 4), np.float32), *boxes]),
            numbers,
            [len(some) for some in rows],
        )


@st.composite
def films(draw: st.DrawFn) -> Films:
    """Two films: gaps, key times without rows, parts without rows, banks of one row each."""
    is_roi = draw(st.booleans())
    parts: dict[str, list[FilmPart]] = {}
    for video_id in ("film.mp4", "it's\nanother.mp4"):
        number, found = 0, []
        for _ in range(draw(st.integers(1, 3))):
            length = draw(st.integers(1, 9))
            inside = st.integers(number, number + length - 1)
            kept = sorted(draw(st.sets(inside, min_size=1)))
            if draw(st.booleans()):
                kept = list(range(number, number + length))
            some = {n: draw(st.integers(0, 3)) if is_roi else 1 for n in kept}
            found.append(FilmPart(number, number + length, some))
            number += length + draw(st.integers(0, 2))
        parts[video_id] = found
    step = draw(st.sampled_from([1.0, 0.1, 1 / 3, 0.5]))
    return Films(step, draw(st.booleans()), is_roi, parts)


@contextmanager
def built(films: Films, kind: str, folder: Path) -> Iterator[tuple[Store, Model]]:
    """A store with these films: the first part of both lies in one group, the others alone.

    Inner chunks are of 4 rows and shards of 8, so that windows cross them.
    """
    name = os.urandom(6).hex()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reelbank.stores.groups.ROWS_PER_CHUNK", 4)
        patch.setattr("reelbank.stores.groups.SHARD_BYTES", 8 * DIM * 2)
        uri = f"memory://bank-{name}" if kind.startswith("remote") else str(folder / name)
        store = open_store(uri, create=True)
        model = _filled(store, films, compression="zstd" if "zstd" in kind else "none")
    if kind == "foreign":
        rewrite_by_zarr(store)
    yield store, model
    if store.files.is_local:
        shutil.rmtree(store.uri)


def _filled(store: Store, films: Films, compression: str) -> Model:
    rng = np.random.default_rng(0)
    rows: dict[str, dict[int, np.ndarray]] = {video_id: {} for video_id in films.parts}
    boxes: dict[str, dict[int, np.ndarray]] = {video_id: {} for video_id in films.parts}
    for video_id, parts in films.parts.items():
        for number, count in ((n, c) for part in parts for n, c in part.counts.items()):
            rows[video_id][number] = rng.normal(size=(count, DIM)).astype(np.float16)
            boxes[video_id][number] = np.sort(rng.random((count, 4), np.float32), axis=1)
    pieces = [(video_id, part) for video_id, parts in films.parts.items() for part in parts]
    firsts = [(video_id, parts[0]) for video_id, parts in films.parts.items()]
    others = [[one] for one in pieces if not any(one[1] is part for _, part in firsts)]
    for some in [firsts, *others]:
        _commit(store, films, some, rows, compression)
    lines = [
        line
        for video_id, numbers in boxes.items()
        for number, held in numbers.items()
        for line in _detections(video_id, number * films.step, held)
    ]
    if films.is_roi:
        units = [unit(video_id, "detections") for video_id in films.parts]
        attempt = store.new_attempt()
        table = pa.Table.from_pylist(lines, schema=SCHEMAS["detections"])
        entry = store.write_table(
            "detections",
            key=store.commit_key("detections", units),
            attempt=attempt,
            data=table,
        )
        store.commit("detections", units, [entry], run="run", attempt=attempt)
    return Model(films.step, rows, boxes)


def _detections(video_id: str, time: float, boxes: np.ndarray) -> Iterator[dict[str, Any]]:
    """A line for each box, and one of another category before each."""
    for number, box in enumerate(boxes.tolist()):
        for rank, category in ((2 * number, "car"), (2 * number + 1, "person")):
            yield {
                "video_id": video_id,
                "time": time,
                "rank": rank,
                "category": category,
                "score": 1.0 - rank / 16,
                **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
                "appearance": bytes(48),
            }


def _commit(
    store: Store,
    films: Films,
    pieces: list[tuple[str, FilmPart]],
    rows: dict[str, dict[int, np.ndarray]],
    compression: str,
) -> None:
    told = {"key_step_seconds": films.step} if films.is_step_told else {}
    kind = {"kind": "person", "category": "person"} if films.is_roi else {"kind": "clip"}
    held = [[rows[video_id][number] for number in part.counts] for video_id, part in pieces]
    counts = [len(one) for some in held for one in some]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    times = [number * films.step for _, part in pieces for number in part.counts]
    units, offset = [], 0
    for video_id, part in pieces:
        end = offset + len(part.counts)
        base = unit(
            video_id,
            f"bank:{BANK}",
            start_seconds=part.low * films.step,
            end_seconds=part.high * films.step,
            key=f"{video_id} {part.low}",
            details={"bank": kind | told},
        )
        low, high = int(first[offset]), int(first[end])
        units.append(
            replace(
                base,
                time_offset=offset,
                num_times=len(part.counts),
                row_offset=low,
                num_rows=high - low,
            )
        )
        offset = end
    key, attempt = store.commit_key(f"bank:{BANK}", units), store.new_attempt()
    group = store.write_bank(
        BANK,
        key=key,
        attempt=attempt,
        rows=np.concatenate([one for some in held for one in some]),
        times=np.array(times, np.float64),
        first=first,
        units=units,
        compression=compression,
    )
    index = pa.table(
        {
            "bank": [BANK] * len(times),
            "video_id": [video_id for video_id, part in pieces for _ in part.counts],
            "time": times,
            "first_row": first[:-1],
            "num_rows": np.diff(first).astype(np.int32),
        },
        schema=SCHEMAS["index"],
    )
    files = [group, store.write_table("index", key=key, attempt=attempt, data=index)]
    store.commit(f"bank:{BANK}", units, files, run="run", attempt=attempt)


def rewrite_by_zarr(store: Store) -> None:
    """Write each group anew as another program might: other chunks, no shards, other codecs."""
    for path in group_paths(store):
        where = f"{store.uri}/{path}"
        group = zarr.open_group(where, mode="r")
        found = {name: (group[name][...], group[name].shape) for name in ("rows", "time", "first")}
        shutil.rmtree(where)
        other = zarr.create_group(where, zarr_format=3)
        for name, (values, shape) in found.items():
            chunks = (5, *shape[1:])
            array = other.create_array(name, shape=shape, dtype=values.dtype, chunks=chunks)
            if values.size:
                array[...] = values


def group_paths(store: Store) -> list[str]:
    """Groups of the bank that are live."""
    items = store.live().select(stage=f"bank:{BANK}")
    return sorted({entry.path for item in items if (entry := item.file("bank", BANK))})


def encoded(rows: np.ndarray, compression: str = "none") -> dict[str, bytes]:
    """Files of a group of one row at each second."""
    times = np.arange(len(rows), dtype=np.float64)
    return encode_group(rows, times, np.arange(len(rows) + 1), {}, compression)
