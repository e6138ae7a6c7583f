"""COCO: one JSON file of images, boxes and categories.

An image is a key time of a video; no picture is written, but each image says of which video and
time it is, and has the name that a picture of it should have. The number of an image follows from
the video's place among all videos of the store and from the time alone, so that detections and
labels exported from one store agree on it.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa

from reelbank.stores.exporters.exporter import checked_labels
from reelbank.stores.exporters.frames import (
    Size,
    distinct,
    key_times,
    pixel_box,
    size_of,
    sizes,
)
from reelbank.stores.exporters.lines import LABEL_SET, by_video, label_values
from reelbank.stores.exporters.names import safe_name
from reelbank.stores.store import Store

_IMAGES_PER_VIDEO = 10**9
"""Numbers kept for each video: milliseconds of eleven days."""

_BOXES = f"{LABEL_SET} AND time IS NOT NULL AND x1 IS NOT NULL"


@dataclass(frozen=True, kw_only=True, slots=True)
class CocoExporter:
    """Detections with their scores; with `labels`, the boxes of that set as ground truth."""

    is_folder: ClassVar[bool] = False

    labels: str | None = None
    """Label set, 'name@version', in place of the detections."""

    def write(self, store: Store, videos: Sequence[str], output: Path) -> Mapping[str, int]:
        """One image for each key time (of labels: for each time with a box), a line for each."""
        source = _labelled(store, videos, self.labels) if self.labels else _detected(store, videos)
        places = {video_id: place for place, video_id in enumerate(store.live().videos())}
        known = sizes(store)
        with (
            output.open("w", encoding="utf-8") as stream,
            tempfile.TemporaryFile("w+", dir=output.parent, encoding="utf-8") as later,
        ):
            images, annotations = _Items(stream), _Items(later)
            stream.write('{"images":[\n')
            for video_id, times, boxes in source.videos:
                if not len(times):
                    continue
                size = size_of(video_id, known)
                first = places[video_id] * _IMAGES_PER_VIDEO + 1
                for time in times.tolist():
                    images.add(_image(video_id, time, first, size))
                for box in boxes:
                    annotations.add(_annotation(box, annotations.num + 1, first, size))
            stream.write('\n],"annotations":[\n')
            later.seek(0)
            shutil.copyfileobj(later, stream)
            categories = json.dumps(source.categories, ensure_ascii=False)
            stream.write(f'\n],"categories":{categories}}}\n')
        return {
            "images": images.num,
            "annotations": annotations.num,
            "categories": len(source.categories),
        }


@dataclass(frozen=True, slots=True)
class _Source:
    """What to write: categories, and of each video its times and boxes."""

    categories: list[dict[str, Any]]
    videos: Iterator[tuple[str, np.ndarray, list["_Box"]]]


@dataclass(frozen=True, slots=True)
class _Box:
    time: float
    category_id: int
    corners: tuple[float, float, float, float]
    extra: Mapping[str, Any]
    """Fields of its own: score, or instance_id."""


class _Items:
    """Items of a JSON array, one a line."""

    def __init__(self, stream: IO[str]) -> None:
        self.num = 0
        self._stream = stream

    def add(self, item: Mapping[str, Any]) -> None:
        text = json.dumps(item, ensure_ascii=False, allow_nan=False)
        self._stream.write(f",\n{text}" if self.num else text)
        self.num += 1


def _image(video_id: str, time: float, first: int, size: Size) -> dict[str, Any]:
    return {
        "id": _image_id(time, first),
        "width": size.width,
        "height": size.height,
        "file_name": f"{safe_name(video_id)}/{time:.3f}.jpg",
        "video_id": video_id,
        "time": time,
    }


def _annotation(box: _Box, number: int, first: int, size: Size) -> dict[str, Any]:
    bounds = pixel_box(box.corners, size)
    return {
        "id": number,
        "image_id": _image_id(box.time, first),
        "category_id": box.category_id,
        "bbox": bounds,
        "area": round(bounds[2] * bounds[3], 3),
        "iscrowd": 0,
        **box.extra,
    }


def _image_id(time: float, first: int) -> int:
    return first + round(time * 1000)


# Detections.


def _detected(store: Store, videos: Sequence[str]) -> _Source:
    names = store.sql("SELECT DISTINCT category FROM detections ORDER BY category")
    numbers = {name: number for number, name in enumerate(names["category"].to_pylist(), 1)}
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return _Source(categories, _videos_detected(store, videos, numbers))


def _videos_detected(
    store: Store, videos: Sequence[str], numbers: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray, list[_Box]]]:
    for video_id in videos:
        found = store.detections(video_id)
        times = key_times(store, video_id, found)
        yield video_id, times, [_detection(line, numbers) for line in _plain(found).to_pylist()]


def _plain(detections: pa.Table) -> pa.Table:
    return detections.select(["time", "category", "score", "x1", "y1", "x2", "y2", "track_id"])


def _detection(line: Mapping[str, Any], numbers: Mapping[str, int]) -> _Box:
    extra = {"score": round(line["score"], 6)}
    if line["track_id"] is not None:
        extra["track_id"] = line["track_id"]
    return _Box(line["time"], numbers[line["category"]], _corners(line), extra)


# Labels.


def _labelled(store: Store, videos: Sequence[str], labels: str) -> _Source:
    values = label_values(checked_labels(store.live(), labels))
    numbers = _label_numbers(store, values)
    if not numbers:
        raise ValueError(
            f"label set {labels!r} has no boxes with a time, and COCO is made of those; "
            "reelbank query 'SELECT * FROM labels LIMIT 9' shows what it holds"
        )
    categories = [
        {"id": number, "name": str(label_id) if label is None else label, "supercategory": task}
        for (task, label, label_id), number in numbers.items()
    ]
    return _Source(categories, _videos_labelled(store, videos, values, numbers))


_Class = tuple[str, str | None, int | None]


def _label_numbers(store: Store, values: Mapping[str, str]) -> dict[_Class, int]:
    """Number of each class: the set's own where that tells them apart, otherwise the place."""
    found = store.sql(
        f"SELECT DISTINCT task, label, label_id FROM labels WHERE {_BOXES} "
        "UNION SELECT task, label, label_id FROM classes WHERE "
        f"{LABEL_SET} AND task IN (SELECT task FROM labels WHERE {_BOXES}) "
        "ORDER BY task, label, label_id",
        values,
    )
    columns = (found[name].to_pylist() for name in ("task", "label", "label_id"))
    classes: list[_Class] = list(zip(*columns, strict=True))
    given = [label_id for _, _, label_id in classes if label_id is not None]
    if len(set(given)) == len(classes):
        return dict(zip(classes, given, strict=True))
    return {one: number for number, one in enumerate(classes, 1)}


def _videos_labelled(
    store: Store, videos: Sequence[str], values: Mapping[str, str], numbers: Mapping[_Class, int]
) -> Iterator[tuple[str, np.ndarray, list[_Box]]]:
    lines = by_video(
        store, "labels", videos, order=("time", "source_line"), where=_BOXES, values=values
    )
    for video_id, found in lines:
        times = distinct(np.asarray(found["time"].to_numpy(), np.float64))
        yield video_id, times, [_label(line, numbers) for line in found.to_pylist()]


def _label(line: Mapping[str, Any], numbers: Mapping[_Class, int]) -> _Box:
    extra = {name: line[name] for name in ("instance_id", "split") if line[name] is not None}
    number = numbers[line["task"], line["label"], line["label_id"]]
    return _Box(line["time"], number, _corners(line), extra)


def _corners(line: Mapping[str, Any]) -> tuple[float, float, float, float]:
    return line["x1"], line["y1"], line["x2"], line["y2"]
