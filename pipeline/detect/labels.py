"""Known boxes with the faults of a detector: for films whose labels are known, as generated ones.

Every fault is drawn from the seed, the video and the time, so that a moment gives the same in any
batch, part or run. A box keeps more than half of its overlap with the truth whatever the jitter.

Calibration: scores of true boxes and of false ones are drawn evenly from ranges of the settings.
"""

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.detect.appearance import appearance
from reelbank.pipeline.detect.boxes import area, rank
from reelbank.pipeline.detect.config import LabelsConfig
from reelbank.pipeline.detect.label_files import KnownBoxes, milliseconds, name_in, read_labels
from reelbank.pipeline.detect.moments import Moment
from reelbank.stores.records import Detections

THUMBNAIL = 8
"""Side in pixels of the picture of a box that is its feature vector."""

_NOTHING = KnownBoxes(np.zeros((0, 4), np.float32), ())


class LabelsDetector:
    """Gives what label files say of a video's moment, with jitter, misses and false boxes."""

    untrained = False
    feature_dim = 3 * THUMBNAIL**2

    def __init__(self, config: LabelsConfig) -> None:
        self.config = config
        self._labels = read_labels(config.labels)

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        """Detections of each frame, shown at the same place of `moments`.

        RoI features are the box as a picture of 8 x 8, RGB in [0, 1]. ValueError where a video has
        no labels, or where no moments are given.
        """
        if moments is None and len(frames):
            raise ValueError("the labels detector finds nothing in a frame of unknown time")
        return [
            self._detect_one(frame, moment)
            for frame, moment in zip(frames, moments or (), strict=True)
        ]

    def _detect_one(self, frame: NDArray[np.uint8], moment: Moment) -> Detections:
        name = name_in(self._labels, moment.video_id)
        if name is None:
            raise ValueError(
                f"the label files in {self.config.labels} say nothing of {moment.video_id!r}; "
                "give the folder of its labels, or take the video out of the input"
            )
        known = self._labels[name].get(milliseconds(moment.time), _NOTHING)
        boxes, scores, categories = self._faulty(known, self._rng(name, moment.time))
        kept = rank(boxes, scores)
        kept = kept[(scores[kept] >= self.config.min_score) & (area(boxes[kept]) > 0)]
        kept = kept[: self.config.max_per_frame]
        return Detections(
            boxes=boxes[kept],
            scores=scores[kept],
            categories=tuple(categories[place] for place in kept),
            features=_thumbnails(frame, boxes[kept]),
            appearance=appearance(frame, boxes[kept]),
        )

    def _rng(self, name: str, time: float) -> np.random.Generator:
        text = f"{self.config.seed} {milliseconds(time)} {name}"
        return np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))

    def _faulty(
        self, known: KnownBoxes, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
        """Boxes, scores and labels: the known ones that are not missed, then false ones."""
        config, count = self.config, len(known.labels)
        # Draws for every box, missed or not: the others do not change with the rate of misses.
        is_found = rng.random(count) >= config.miss_rate
        shifts = rng.uniform(-config.jitter, config.jitter, (count, 4)).astype(np.float32)
        scores = rng.uniform(*config.true_scores, count)
        sides = known.boxes[:, 2:] - known.boxes[:, :2]
        true = np.clip(known.boxes + shifts * np.concatenate((sides, sides), axis=1), 0.0, 1.0)
        num_false = int(rng.poisson(config.false_per_frame))
        corners = rng.uniform(0.0, 0.75, (num_false, 2))
        false = np.concatenate((corners, corners + rng.uniform(0.1, 0.25, (num_false, 2))), axis=1)
        boxes = np.concatenate((true[is_found], false)).astype(np.float32)
        false_scores = rng.uniform(*config.false_scores, num_false)
        labels = [label for label, found in zip(known.labels, is_found, strict=True) if found]
        return (
            boxes,
            np.concatenate((scores[is_found], false_scores)).astype(np.float32),
            labels + [config.false_category] * num_false,
        )


def _thumbnails(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each box of the frame as 8 x 8 pixels, in one row (n, 192)."""
    height, width = frame.shape[:2]
    rows: NDArray[np.float32] = np.zeros((len(boxes), 3 * THUMBNAIL**2), np.float32)
    for number, (x1, y1, x2, y2) in enumerate(boxes.astype(np.float64)):
        left, top = min(int(x1 * width), width - 1), min(int(y1 * height), height - 1)
        right, bottom = max(left + 1, int(np.ceil(x2 * width))), int(np.ceil(y2 * height))
        crop = np.ascontiguousarray(frame[top : max(top + 1, bottom), left:right])
        small = cv2.resize(crop, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        rows[number] = np.asarray(small, np.float32).reshape(-1) / 255.0
    return rows
