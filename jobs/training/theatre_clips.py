"""Clips of generated films held in memory, with everybody's box, actions and identity.

For training a network before it is put to use, as on Kinetics and AVA: the films of a theatre are
short and small, so that all their frames fit into memory and each is decoded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from reelbank.pipeline.decode.probe import probe
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.pipeline.decode.sampling import TIME_TOLERANCE
from reelbank.pipeline.settings import BackboneSettings
from reelbank.pipeline.theatre.theatre import Theatre
from reelbank.stores.importers import ava
from reelbank.stores.importers.label_set import ReadOptions


class PeopleBatch(NamedTuple):
    """Clips and the people in them."""

    frames: Tensor
    """(N, T, h, w, 3) uint8 RGB."""
    boxes: Tensor
    """(M, 4) float32 x1 y1 x2 y2 in [0, 1], clip after clip."""
    counts: Tensor
    """(N,) int64 people of each clip; they add up to M."""
    targets: Tensor
    """(M, num_classes) float32, 0 or 1."""


@dataclass(frozen=True, slots=True)
class Film:
    """A decoded film."""

    frames: NDArray[np.uint8]
    """(n, h, w, 3) RGB."""
    times: NDArray[np.float64]
    """(n,) when each comes on screen, rising."""
    rate: float
    """Mean frames per second."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Everybody at one key time of a film."""

    film: str
    """Name of its file, without suffix."""
    split: str
    time: float
    """Seconds."""
    boxes: NDArray[np.float32]
    """(n, 4) x1 y1 x2 y2 in [0, 1]."""
    targets: NDArray[np.float32]
    """(n, num_classes) 0 or 1."""


@dataclass(frozen=True, slots=True)
class People:
    """All that the label files of a theatre say of people."""

    classes: tuple[str, ...]
    """Names: the actions by number, then the identities."""
    moments: tuple[Moment, ...]
    """By film and time."""


def read_people(theatre: Theatre) -> People:
    """Boxes, actions and identities from the label files, which are in AVA's format."""
    files = sorted((theatre.annotations / "ava").iterdir())
    labels = ava.read(files, ReadOptions(name="theatre"))
    actions = labels.classes.column("label").to_pylist()
    numbers = labels.classes.column("label_id").to_pylist()
    lines = labels.lines.to_pylist()
    identities = sorted({line["instance_id"] for line in lines})
    place = {("action", number): index for index, number in enumerate(numbers)}
    place |= {("person", who): len(numbers) + index for index, who in enumerate(identities)}
    found: dict[tuple[str, str, float], dict[int, tuple[list[float], list[int]]]] = {}
    for line in lines:
        at = found.setdefault((line["source_name"], line["split"], line["time"]), {})
        who = line["instance_id"]
        corners = [line[name] for name in ("x1", "y1", "x2", "y2")]
        _, classes = at.setdefault(who, (corners, [place["person", who]]))
        classes.append(place["action", line["label_id"]])
    names = (*actions, *(f"person {who}" for who in identities))
    moments = [
        _moment(*key, people=list(at.values()), num_classes=len(names))
        for key, at in sorted(found.items())
    ]
    return People(names, tuple(moments))


def _moment(
    film: str,
    split: str,
    time: float,
    *,
    people: Sequence[tuple[list[float], list[int]]],
    num_classes: int,
) -> Moment:
    targets = np.zeros((len(people), num_classes), np.float32)
    for row, (_, classes) in enumerate(people):
        targets[row, classes] = 1.0
    boxes = np.array([corners for corners, _ in people], np.float32)
    return Moment(film, split, time, boxes, targets)


def decoded(path: Path) -> Film:
    """All frames of a film; for short ones alone, since they stay in memory."""
    stat = path.stat()
    info = probe(
        str(path),
        video_id=path.name,
        source=str(path),
        digest="",
        num_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
    ).info
    with PyAVReader(str(path), info, threads=1) as reader:
        shown = [(frame.time, frame.rgb) for frame in reader]
    times = np.array([time for time, _ in shown])
    return Film(np.stack([rgb for _, rgb in shown]), times, info.rate)


class PeopleClips(Dataset[PeopleBatch]):
    """A clip around each moment; taken several at once."""

    def __init__(
        self,
        moments: Sequence[Moment],
        films: dict[str, Film],
        clip: BackboneSettings,
        *,
        jitter: float,
    ) -> None:
        """`clip` is resolved; `jitter`: furthest shift of each side of a box, over that side."""
        self.moments, self.films, self.clip, self.jitter = tuple(moments), films, clip, jitter

    def __len__(self) -> int:
        return len(self.moments)

    def __getitems__(self, indices: Sequence[int]) -> PeopleBatch:
        """The clips of these moments; boxes are shifted by torch's generator."""
        moments = [self.moments[index] for index in indices]
        boxes = torch.from_numpy(np.concatenate([one.boxes for one in moments]))
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        shifts = (2 * torch.rand(boxes.shape) - 1) * self.jitter
        return PeopleBatch(
            frames=torch.from_numpy(np.stack([self._frames(one) for one in moments])),
            boxes=(boxes + shifts * sides).clamp(0.0, 1.0),
            counts=torch.tensor([len(one.boxes) for one in moments]),
            targets=torch.from_numpy(np.concatenate([one.targets for one in moments])),
        )

    def _frames(self, moment: Moment) -> NDArray[np.uint8]:
        film = self.films[moment.film]
        times = np.array(self.clip.sample_times(moment.time, film.rate)) + TIME_TOLERANCE
        # The frame on screen at a time is the last that came before it.
        shown = np.searchsorted(film.times, times, side="right") - 1
        return film.frames[np.clip(shown, 0, None)]
