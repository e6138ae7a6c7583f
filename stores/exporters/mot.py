"""MOTChallenge: the tracks of each video as one text of lines, and a seqinfo.ini beside it.

    data/<name>.txt                  frame,id,x,y,width,height,score,-1,-1,-1
    sequences/<name>/seqinfo.ini     picture size, number of frames, frames per second
    index.csv                        which video <name> is
    tracks.csv                       category of each id, for which the text has no place

A frame is a key time, so its rate is that of the key times. As the format has it, all counts start
at 1: the frame of time t is 1 + t / step, id is track_id + 1, and the top left pixel is (1, 1).
"""

import configparser
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reelbank.stores.exporters.frames import (
    Size,
    key_step,
    key_times,
    numbers,
    pixel_box,
    size_of,
    sizes,
)
from reelbank.stores.exporters.names import safe_name
from reelbank.stores.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class MotExporter:
    """Tracked detections; those without a track stay out."""

    is_folder: ClassVar[bool] = True

    def write(self, store: Store, videos: Sequence[str], output: Path) -> Mapping[str, int]:
        """A text for each video that has key times."""
        known, live = sizes(store), store.live()
        counts = {"sequences": 0, "tracks": 0, "boxes": 0}
        (output / "data").mkdir()
        with (
            (output / "index.csv").open("w", newline="", encoding="utf-8") as index_stream,
            (output / "tracks.csv").open("w", newline="", encoding="utf-8") as track_stream,
        ):
            index, tracks = csv.writer(index_stream), csv.writer(track_stream)
            index.writerow(["name", "video_id", "key_step_seconds", "num_frames"])
            tracks.writerow(["name", "id", "track_id", "category"])
            for video_id in videos:
                found = store.detections(video_id)
                times = key_times(store, video_id, found)
                if not len(times):
                    continue
                name, step = safe_name(video_id), key_step(live, video_id, times)
                num_frames = int(numbers(video_id, times, step)[-1])
                index.writerow([name, video_id, step, num_frames])
                size = size_of(video_id, known)
                _write_info(output / "sequences" / name, name, num_frames, step, size)
                tracked = found.filter(pc.is_valid(found["track_id"]))
                lines = _lines(video_id, tracked, step, size)
                (output / "data" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
                categories = _categories(tracked)
                tracks.writerows([name, id_ + 1, id_, of] for id_, of in categories.items())
                counts["sequences"] += 1
                counts["tracks"] += len(categories)
                counts["boxes"] += len(lines)
        return counts


def _lines(video_id: str, tracked: pa.Table, step: float, size: Size) -> list[str]:
    """Lines by frame and id."""
    times = np.asarray(tracked["time"].to_numpy(), np.float64)
    frames = numbers(video_id, times, step).tolist()
    lines = []
    for frame, line in zip(frames, tracked.to_pylist(), strict=True):
        x, y, width, height = pixel_box([line[name] for name in ("x1", "y1", "x2", "y2")], size)
        track = line["track_id"] + 1
        text = f"{x + 1:.3f},{y + 1:.3f},{width:.3f},{height:.3f},{line['score']:.6f}"
        lines.append((frame, track, f"{frame},{track},{text},-1,-1,-1\n"))
    return [text for _, _, text in sorted(lines)]


def _categories(tracked: pa.Table) -> dict[int, str]:
    """Category of each track, by track."""
    pairs = zip(tracked["track_id"].to_pylist(), tracked["category"].to_pylist(), strict=True)
    return dict(sorted(pairs))


def _write_info(folder: Path, name: str, num_frames: int, step: float, size: Size) -> None:
    info = configparser.ConfigParser()
    # Its keys are camel case, and it would make them lower case.
    info.optionxform = str  # type: ignore[assignment,method-assign]
    info["Sequence"] = {
        "name": name.replace("%", "%%"),
        "imDir": "img1",
        "frameRate": f"{1 / step:.6g}",
        "seqLength": str(num_frames),
        "imWidth": str(size.width),
        "imHeight": str(size.height),
        "imExt": ".jpg",
    }
    folder.mkdir(parents=True)
    with (folder / "seqinfo.ini").open("w", encoding="utf-8") as stream:
        info.write(stream, space_around_delimiters=False)
