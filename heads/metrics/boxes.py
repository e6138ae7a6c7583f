"""Labelled and scored boxes at key frames, as rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reelbank.heads.metrics.ranking import check_scores

_MICROSECONDS = 1_000_000
"""Key times that differ by less are the same, as in the official evaluator of AVA."""


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """The key frame of each row. ValueError for a time that is not a finite number."""

    video: Tensor
    """(n,) int64: number of the video; what is evaluated together shares the numbers."""
    seconds: Tensor
    """(n,) float64: key time."""

    def __post_init__(self) -> None:
        if self.video.ndim != 1 or self.video.shape != self.seconds.shape:
            raise ValueError(
                "video and seconds must both be (n,), got "
                f"{tuple(self.video.shape)} and {tuple(self.seconds.shape)}"
            )
        if not self.seconds.isfinite().all():
            raise ValueError("seconds must be finite numbers: leave out rows without a time")


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """A row for each box and action. ValueError for shapes and boxes that make no sense.

    A row whose label is not evaluated still says that its key frame was annotated.
    """

    at: KeyFrames
    """Key frame of each of the n rows."""
    boxes: Tensor
    """(n, 4) float, x1 y1 x2 y2 with x1 <= x2 and y1 <= y2."""
    labels: Tensor
    """(n,) int64: id of the action."""

    def __post_init__(self) -> None:
        _check_rows("ground truth", self.at, self.boxes, self.labels)
        upside_down = (self.boxes[:, :2] > self.boxes[:, 2:]).any(1)
        if upside_down.any():
            row = int(upside_down.nonzero()[0, 0])
            raise ValueError(
                f"row {row} of the ground truth has the box {self.boxes[row].tolist()}; "
                "boxes are x1 y1 x2 y2 with x1 <= x2 and y1 <= y2"
            )


@dataclass(frozen=True, slots=True)
class Detections:
    """A row for each box and action claimed. ValueError for shapes that do not fit, and for NaN."""

    at: KeyFrames
    """Key frame of each of the n rows."""
    boxes: Tensor
    """(n, 4) float, x1 y1 x2 y2; a box without area is left out by the evaluation."""
    labels: Tensor
    """(n,) int64: id of the action."""
    scores: Tensor
    """(n,) float."""

    def __post_init__(self) -> None:
        _check_rows("detections", self.at, self.boxes, self.labels)
        if self.scores.shape != self.labels.shape:
            raise ValueError(
                f"scores must be {tuple(self.labels.shape)}, got {tuple(self.scores.shape)}"
            )
        check_scores(self.scores)


def detections_of_scores(
    at: KeyFrames, boxes: Tensor, scores: Tensor, *, class_ids: Tensor
) -> Detections:
    """A row for each of m boxes and each class, from (m, 4) boxes and (m, num_classes) scores.

    class_ids: (num_classes,) int64: id of each column's action.
    """
    if scores.shape != (len(boxes), len(class_ids)):
        raise ValueError(
            f"scores must be ({len(boxes)}, {len(class_ids)}), boxes by classes, "
            f"got {tuple(scores.shape)}"
        )
    times = len(class_ids)
    return Detections(
        KeyFrames(at.video.repeat_interleave(times), at.seconds.repeat_interleave(times)),
        boxes.repeat_interleave(times, 0),
        class_ids.repeat(len(boxes)),
        scores.reshape(-1),
    )


def key_frame_numbers(*groups: KeyFrames) -> list[Tensor]:
    """(n,) int64 for each group: equal numbers exactly where video and key time are equal."""
    video = torch.cat([group.video for group in groups])
    stamps = torch.cat([(group.seconds.double() * _MICROSECONDS).round() for group in groups])
    _, video_index = torch.unique(video, return_inverse=True)
    times, time_index = torch.unique(stamps, return_inverse=True)
    pairs = video_index * max(1, len(times)) + time_index
    _, numbers = torch.unique(pairs, return_inverse=True)
    return list(torch.split(numbers, [len(group.video) for group in groups]))


def _check_rows(name: str, at: KeyFrames, boxes: Tensor, labels: Tensor) -> None:
    expected = at.video.shape
    if boxes.shape != (*expected, 4) or labels.shape != expected:
        raise ValueError(
            f"{name} of {len(at.video)} key frames need boxes ({len(at.video)}, 4) and labels "
            f"({len(at.video)},), got {tuple(boxes.shape)} and {tuple(labels.shape)}"
        )
    if not boxes.isfinite().all():
        raise ValueError(f"boxes of the {name} must be finite numbers: leave out the others")
