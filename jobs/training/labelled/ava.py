"""Actions of persons at key times, as in AVA: items are boxes, the measure is frame mAP.

Source: Wu et al., Long-Term Feature Banks, CVPR 2019, section 4: detections of score 0.9 or more
learn the classes of the labelled box that they overlap by 0.9 or more, or that they have none;
those of score 0.85 or more are tested. Excluded moments are neither learned from nor tested.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelbank.heads.feature_bank.config import Loss
from reelbank.heads.metrics.average_precision import ALL_POINTS, average_precision
from reelbank.heads.metrics.boxes import GroundTruth, KeyFrames, detections_of_scores
from reelbank.heads.metrics.frame import FRAME_PROTOCOLS, rank_detections
from reelbank.jobs.training.labelled.boxes import best_overlaps, read_detections
from reelbank.jobs.training.labelled.classes import Classes, read_classes
from reelbank.jobs.training.labelled.lines import column, numbered, read_lines, videos_of
from reelbank.jobs.training.labelled.measurement import Measurement, precision_measured
from reelbank.jobs.training.labelled.moments import moments_of, places_among
from reelbank.jobs.training.labelled.samples import Samples, boxed_clips
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import AvaLabels, EvaluationSettings
from reelbank.stores.store import Store

TASK, EXCLUDED = "action", "excluded"


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of some splits: a box with one class each."""

    videos: tuple[str, ...]
    """Films, sorted."""
    video: NDArray[np.int64]
    """(l,) number of the film."""
    times: NDArray[np.float64]
    """(l,) key time."""
    boxes: NDArray[np.float64]
    """(l, 4)."""
    label_ids: NDArray[np.int64]
    """(l,) number of the class."""
    excluded: NDArray[np.int64]
    """Excluded moments of these films, sorted."""


class AvaTask:
    """Boxes with any number of classes each."""

    loss: Loss = "sigmoid"

    def __init__(
        self, labels: AvaLabels, test: EvaluationSettings, store: Store, features: Features
    ) -> None:
        """Raises ValueError where the store has no such label set, or the set no such class."""
        self._labels, self._test, self._store, self._features = labels, test, store, features
        self._learned = self._read(labels.train)
        self.classes: Classes = read_classes(store, labels.set, TASK, labels.evaluated)

    def training(self) -> Samples:
        """Detections beside labelled boxes, with the classes of the one they show, if any."""
        known = self.ground_truth()
        found = read_detections(self._store, known.videos, self._features.category)
        found = found.take(found.scores >= self._labels.min_score)
        clip = places_among(
            moments_of(known.video, known.times), moments_of(found.video, found.times)
        )
        found, clip = found.take(clip >= 0), clip[clip >= 0]
        assert known.boxes is not None
        assert known.targets is not None
        shown, overlap = best_overlaps(found.boxes, clip, known.boxes, known.clip)
        is_shown = overlap >= self._labels.min_iou
        targets = np.where(is_shown[:, None], known.targets[shown], np.uint8(0))
        return boxed_clips(
            known.videos,
            found.video,
            found.times,
            place=found.place,
            boxes=found.boxes,
            targets=targets,
        )

    def ground_truth(self) -> Samples:
        """The labelled boxes that are learned, with their classes; they have no row."""
        lines = self._learned
        # Lines of one box say one class each.
        whole = np.column_stack([lines.video, lines.times, lines.boxes])
        whole, number = np.unique(whole, axis=0, return_inverse=True)
        targets = np.zeros((len(whole), len(self.classes)), np.uint8)
        columns = self.classes.columns(lines.label_ids, self._labels.set)
        targets[number.reshape(-1), columns] = 1
        return boxed_clips(
            lines.videos,
            whole[:, 0].astype(np.int64),
            whole[:, 1],
            place=np.full(len(whole), -1, np.int64),
            boxes=whole[:, 2:],
            targets=targets,
        )

    def test(self) -> "AvaTest":
        """Detections at the key times of the test splits."""
        lines = self._read(self._labels.test)
        found = read_detections(self._store, lines.videos, self._features.category)
        found = found.take(found.scores >= self._test.min_score)
        labelled = np.unique(moments_of(lines.video, lines.times))
        at = moments_of(found.video, found.times)
        if self._labels.protocol == "activitynet":
            found = found.take(places_among(labelled, at) >= 0)
        else:  # All key times between the first and the last label of a film.
            bounds = np.searchsorted(labelled, moments_of(np.arange(len(lines.videos) + 1), 0.0))
            first, last = labelled[bounds[:-1]], labelled[bounds[1:] - 1]
            is_between = (first[found.video] - 1 <= at) & (at <= last[found.video] + 1)
            found = found.take(is_between & (places_among(lines.excluded, at) < 0))
        samples = boxed_clips(
            lines.videos,
            found.video,
            found.times,
            place=found.place,
            boxes=found.boxes,
            targets=None,
        )
        return AvaTest(samples, lines, self.classes, self._labels)

    def _read(self, splits: tuple[str, ...]) -> _Lines:
        """Lines of these splits, but for those of excluded moments."""
        found = read_lines(self._store, self._labels.set, splits=splits, tasks=(TASK, EXCLUDED))
        is_excluded = pc.equal(found["task"], EXCLUDED).to_numpy()
        found, left_out = found.filter(~is_excluded), found.filter(is_excluded)
        self._check(found)
        videos = videos_of(found)
        at = moments_of(numbered(found, videos), column(found, "time"))
        found = found.filter(places_among(_moments(left_out, videos), at) < 0)
        videos = videos_of(found)
        boxes = np.stack([column(found, name) for name in ("x1", "y1", "x2", "y2")], axis=1)
        return _Lines(
            videos=videos,
            video=numbered(found, videos),
            times=column(found, "time"),
            boxes=boxes,
            label_ids=column(found, "label_id").astype(np.int64),
            excluded=_moments(left_out, videos),
        )

    def _check(self, lines: pa.Table) -> None:
        needed = ("time", "x1", "y1", "x2", "y2", "label_id")
        if not len(lines) or any(lines[name].null_count for name in needed):
            raise ValueError(
                f"label set {self._labels.set} does not have a time, a box and a class on every "
                f"line of task {TASK!r}; kind 'ava' needs them all"
            )


class AvaTest:
    """Frame mAP of the detections of some splits."""

    def __init__(
        self, samples: Samples, lines: _Lines, classes: Classes, labels: AvaLabels
    ) -> None:
        self.samples, self._classes = samples, classes
        self._protocol = FRAME_PROTOCOLS[labels.protocol]
        self._truth = GroundTruth(
            _at(lines.video, lines.times),
            torch.from_numpy(lines.boxes),
            torch.from_numpy(lines.label_ids),
        )
        # A detection may lie within a millisecond of its label.
        known, first = np.unique(moments_of(lines.video, lines.times), return_index=True)
        place = places_among(known, moments_of(samples.video, samples.times))
        self._seconds = np.where(place >= 0, lines.times[first[place]], samples.times)

    def measure(self, scores: Tensor, *, num_draws: int = 0) -> Measurement:
        """Frame mAP at IoU 0.5, from (m, num_classes) scores."""
        samples, columns = self.samples, self._classes.evaluated_columns
        class_ids = torch.tensor([self._classes.ids[column] for column in columns])
        assert samples.boxes is not None
        claims = detections_of_scores(
            _at(samples.video[samples.clip], self._seconds[samples.clip]),
            torch.from_numpy(samples.boxes),
            scores[:, columns],
            class_ids=class_ids,
        )
        ranked = rank_detections(self._truth, claims, class_ids=class_ids, protocol=self._protocol)
        names = [self._classes.names[column] for column in columns]
        found = average_precision(ranked.ranking, ALL_POINTS)
        return precision_measured(names, found, ranked.ranking, ALL_POINTS, num_draws=num_draws)


def _moments(lines: pa.Table, videos: tuple[str, ...]) -> NDArray[np.int64]:
    """Moments of the lines of these films, rising."""
    number = numbered(lines, videos)
    return np.unique(moments_of(number, column(lines, "time"))[number >= 0])


def _at(video: NDArray[np.int64], times: NDArray[np.float64]) -> KeyFrames:
    return KeyFrames(torch.from_numpy(video), torch.from_numpy(times))
