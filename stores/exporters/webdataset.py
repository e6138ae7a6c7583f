"""webdataset: tar files of samples, for training jobs that read in sequence.

    shard-000000.tar
      <video>~<number>.rows.npy     (n, dim) rows of one video, or of one stretch of it
      <video>~<number>.times.npy    (n,) float64, the key time of each row
      <video>~<number>.boxes.npy    (n, 4) float32, x1 y1 x2 y2 in [0, 1]; banks of boxes alone
      <video>~<number>.video.json   video_id, bank, start_seconds, end_seconds
      <video>~<number>.labels.json  lines of the label set that touch the stretch

Plain arrays, nothing pickled. The same store gives the same bytes.
"""

import io
import json
import math
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.stores.bank import FeatureBank
from reelbank.stores.boxes import ROI_KINDS
from reelbank.stores.exporters.exporter import checked_labels
from reelbank.stores.exporters.lines import LABEL_SET, by_video, label_values
from reelbank.stores.exporters.names import safe_name
from reelbank.stores.store import Store
from reelbank.stores.times import TOLERANCE_SECONDS

DEFAULT_SHARD_BYTES = 512_000_000
"""Size of a shard where nothing else is asked for."""

LEAST_SECONDS = 0.001
"""Shortest stretch: well above the differences by which times still count as the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebDatasetExporter:
    """Rows of one bank, a sample for each video or for each stretch of one."""

    is_folder: ClassVar[bool] = True

    bank: str
    """Name of the bank."""
    labels: str | None = None
    """Label set, 'name@version', whose lines go with the samples."""
    seconds: float | None = None
    """Length of a stretch; None makes one sample of each video."""
    shard_bytes: int = DEFAULT_SHARD_BYTES
    """Greatest size of a shard; a sample that is larger alone has a shard of its own."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not LEAST_SECONDS <= self.seconds < math.inf:
            raise ValueError(
                f"--seconds {self.seconds} must be {LEAST_SECONDS} or more; leave it out for one "
                "sample of each video"
            )
        if self.shard_bytes < 1:
            raise ValueError(f"--shard-mb must be more than 0, not {self.shard_bytes / 1e6:g}")

    def write(self, store: Store, videos: Sequence[str], output: Path) -> Mapping[str, int]:
        """Shards in the order of the videos; those that the bank does not hold are left out."""
        bank = store.bank(self.bank)
        held = set(bank.videos())
        chosen = [video_id for video_id in videos if video_id in held]
        labels = self._labels(store, chosen)
        shards = _Shards(output, self.shard_bytes)
        num_rows = 0
        for video_id in chosen:
            found = next(labels)[1] if labels else None
            for sample in _samples(bank, video_id, self.seconds, found):
                shards.add(sample)
                num_rows += len(sample.rows)
        shards.close()
        return {"shards": shards.num_shards, "samples": shards.num_samples, "rows": num_rows}

    def _labels(self, store: Store, videos: Sequence[str]) -> Iterator[tuple[str, pa.Table]] | None:
        if self.labels is None:
            return None
        values = label_values(checked_labels(store.live(), self.labels))
        order = ("time", "start_seconds", "source_line", "task")
        return by_video(store, "labels", videos, order=order, where=LABEL_SET, values=values)


@dataclass(frozen=True, slots=True)
class _Sample:
    key: str
    rows: NDArray[Any]
    times: NDArray[np.float64]
    boxes: NDArray[np.float32] | None
    video: Mapping[str, Any]
    labels: list[dict[str, Any]] | None

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents of its files."""
        arrays = {"rows": self.rows, "times": self.times, "boxes": self.boxes}
        for name, array in arrays.items():
            if array is not None:
                yield f"{self.key}.{name}.npy", _npy(array)
        yield f"{self.key}.video.json", _json(self.video)
        if self.labels is not None:
            yield f"{self.key}.labels.json", _json(self.labels)


def _samples(
    bank: FeatureBank, video_id: str, seconds: float | None, labels: pa.Table | None
) -> Iterator[_Sample]:
    """Samples of one video; stretches without a key time are none."""
    has_boxes = bank.kind in ROI_KINDS
    for number, start, end in _stretches(bank.times(video_id), seconds):
        found = bank.window(video_id, (start + end) / 2, end - start, boxes=has_boxes)
        yield _Sample(
            # Dots end the key of a sample; '~' is in no encoded name.
            key=f"{safe_name(video_id).replace('.', '%2E')}~{number:06d}",
            rows=found.rows,
            times=found.times,
            boxes=found.boxes if has_boxes else None,
            video={
                "video_id": video_id,
                "bank": bank.name,
                "start_seconds": start,
                "end_seconds": None if seconds is None else end,
            },
            labels=None
            if labels is None
            else _touching(labels, start, math.inf if seconds is None else end),
        )


def _stretches(
    key_times: NDArray[np.float64], seconds: float | None
) -> Iterator[tuple[int, float, float]]:
    """Number, start and end of each stretch that has a key time."""
    if not len(key_times):
        return
    if seconds is None:
        yield 0, 0.0, float(key_times[-1]) + 1.0
        return
    for number in np.unique(np.floor((key_times + TOLERANCE_SECONDS) / seconds)).astype(int):
        yield int(number), float(number * seconds), float((number + 1) * seconds)


def _touching(labels: pa.Table, start: float, end: float) -> list[dict[str, Any]]:
    """Labels at a time inside, of a span that overlaps, or of the whole video; without nulls."""
    lines = []
    for line in labels.drop_columns(["label_set", "version", "video_id"]).to_pylist():
        first = line["time"] if line["time"] is not None else line["start_seconds"]
        last = line["time"] if line["time"] is not None else line["end_seconds"]
        outside = (first is not None and first >= end) or (
            last is not None and (last < start or (last == start and line["time"] is None))
        )
        if not outside:
            lines.append({name: value for name, value in line.items() if value is not None})
    return lines


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True).encode()


class _Shards:
    """Tar files of a bounded size, one after the other."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.num_shards = self.num_samples = 0
        self._folder, self._limit = folder, limit
        self._tar: tarfile.TarFile | None = None

    def add(self, sample: _Sample) -> None:
        """Put a sample into the open shard, or into a new one where it would be too large."""
        members = list(sample.members())
        if self._tar is not None and _size_with(self._tar, members) > self._limit:
            self.close()
        if self._tar is None:
            path = self._folder / f"shard-{self.num_shards:06d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
            self.num_shards += 1
        for name, data in members:
            # What TarInfo does not say, time and owner, stays 0: the same bytes each time.
            info = tarfile.TarInfo(name)
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))
        self.num_samples += 1

    def close(self) -> None:
        """End the open shard."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def _size_with(tar: tarfile.TarFile, members: Sequence[tuple[str, bytes]]) -> int:
    """Bytes of the whole file, were it closed after these members."""
    blocks = sum(_NAME_BLOCKS + math.ceil(len(data) / tarfile.BLOCKSIZE) for _, data in members)
    size = tar.offset + (blocks + 2) * tarfile.BLOCKSIZE
    return math.ceil(size / tarfile.RECORDSIZE) * tarfile.RECORDSIZE


_NAME_BLOCKS = 3
"""Header of a member, and at most two blocks for a name of more than 100 bytes."""
