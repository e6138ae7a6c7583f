"""Known boxes from a folder of CSV files, and the digest that names them in a stage's key.

The files are those of the project's own label format: a header that names at least name, time, x1,
y1, x2, y2 and label, in any order. `name` is a video's id, or the last part of it without suffix.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("name", "time", "x1", "y1", "x2", "y2", "label")


@dataclass(frozen=True, slots=True)
class KnownBoxes:
    """What labels say of one moment of one video."""

    boxes: NDArray[np.float32]
    """(n, 4) x1 y1 x2 y2 in [0, 1], in the order of the file."""
    labels: tuple[str, ...]
    """n names."""


Moments = Mapping[int, KnownBoxes]
"""Boxes by time in whole milliseconds."""


def milliseconds(seconds: float) -> int:
    """A time as labels are found by it."""
    return round(1000 * seconds)


def label_files(folder: str) -> list[Path]:
    """The CSV files of the folder by name; ValueError where there is none."""
    found = sorted(Path(folder).expanduser().glob("*.csv"))
    if not found:
        raise ValueError(
            f"the labels detector's folder {folder} holds no CSV file; give the folder of label "
            "files, such as annotations/boxes of a generated theatre"
        )
    return found


def labels_digest(folder: str) -> str:
    """SHA-256 of names and contents of the folder's files, hexadecimal."""
    total = hashlib.sha256()
    for path in label_files(folder):
        content = hashlib.sha256(_bytes(path)).hexdigest()
        total.update(f"{content} {path.name}\n".encode())
    return total.hexdigest()


def read_labels(folder: str) -> dict[str, Moments]:
    """Boxes of every video of the folder by its name; ValueError names file and line."""
    gathered: dict[str, dict[int, list[tuple[NDArray[np.float32], str]]]] = {}
    for path in label_files(folder):
        for name, time, box, label in _lines(path):
            gathered.setdefault(name, {}).setdefault(time, []).append((box, label))
    return {
        name: {
            time: KnownBoxes(np.stack([box for box, _ in found]), tuple(one for _, one in found))
            for time, found in moments.items()
        }
        for name, moments in gathered.items()
    }


def name_in(names: Mapping[str, Moments], video_id: str) -> str | None:
    """The name by which the labels know a video; None where they do not."""
    last = video_id.rpartition("/")[2]
    stem, dot, _ = last.rpartition(".")
    for name in (video_id, last, stem if dot else last):
        if name in names:
            return name
    return None


def _lines(path: Path) -> Iterator[tuple[str, int, NDArray[np.float32], str]]:
    try:
        # Line ends inside of a name are the reader's to judge.
        reader = csv.DictReader(io.StringIO(_bytes(path).decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason})") from error
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise ValueError(
            f"{path.name}: its header lacks {', '.join(sorted(missing))}; the labels detector "
            f"needs {', '.join(COLUMNS)}"
        )
    for line in reader:
        try:
            box = np.array([float(line[side]) for side in COLUMNS[2:6]], np.float32)
            time = milliseconds(float(line["time"]))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{path.name}, line {reader.line_num}: time, x1, y1, x2 and y2 must be numbers"
            ) from error
        x1, y1, x2, y2 = box.tolist()
        if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and line["label"]):
            raise ValueError(
                f"{path.name}, line {reader.line_num}: a box needs a label and "
                "0 <= x1 < x2 <= 1, 0 <= y1 < y2 <= 1"
            )
        yield line["name"], time, box, line["label"]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"label file {path} cannot be read ({error.strerror}); make it readable"
        ) from error
