"""Segments of films with one verb and one noun, as in EPIC-Kitchens: items are clips in the middle
of segments, the measure is accuracy.

Source: Wu et al., Long-Term Feature Banks, CVPR 2019, section 5: verbs and nouns are learned by
models of their own; an action is right where both are, and its score is the product of theirs and
of how often the verb has this noun in the training set.
"""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelbank.heads.feature_bank.config import Loss
from reelbank.heads.metrics.accuracy import (
    EpicAccuracy,
    action_prior,
    epic_accuracy,
    top_accuracy,
)
from reelbank.jobs.training.labelled.classes import Classes, read_classes
from reelbank.jobs.training.labelled.lines import column, numbered, read_lines, videos_of
from reelbank.jobs.training.labelled.measurement import Measurement
from reelbank.jobs.training.labelled.samples import Samples, whole_clips
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import EpicLabels
from reelbank.stores.store import Store

_SEGMENT = ["video_id", "start_seconds", "end_seconds"]


class EpicTask:
    """Clips with exactly one class each."""

    loss: Loss = "softmax"

    def __init__(self, labels: EpicLabels, store: Store, features: Features) -> None:
        """Raises ValueError where the store has no such label set or splits."""
        self._labels, self._store, self._features = labels, store, features
        self._learned = self._read(labels.train)
        self.classes: Classes = read_classes(store, labels.set, labels.task)

    def training(self) -> Samples:
        """The segments of the training splits, with their class."""
        lines = self._learned
        samples, found = self._middles(lines)
        columns = self.learned_columns()[found]
        targets = np.zeros((len(samples), len(self.classes)), np.uint8)
        targets[np.arange(len(samples)), columns] = 1
        return whole_clips(samples.videos, samples.video, samples.times, targets)

    def test(self) -> "EpicTest":
        """The segments of the test splits."""
        lines = self._read(self._labels.test)
        samples, found = self._middles(lines)
        return EpicTest(samples, found, self._columns(lines), lines.select(_SEGMENT))

    def learned_columns(self) -> NDArray[np.int64]:
        """(segments,) column of the class of each training segment, in the label set's order."""
        return self._columns(self._learned)

    def _columns(self, lines: pa.Table) -> NDArray[np.int64]:
        ids = column(lines, "label_id").astype(np.int64)
        return self.classes.columns(ids, self._labels.set)

    def _middles(self, lines: pa.Table) -> tuple[Samples, NDArray[np.int64]]:
        """A clip for each segment of a film with features, and which lines these are."""
        videos = videos_of(lines)
        video = numbered(lines, videos)
        middle = (column(lines, "start_seconds") + column(lines, "end_seconds")) / 2
        times = np.full(len(lines), np.nan)
        for number in np.unique(video).tolist():
            name = videos[number]
            if name in self._features.videos:
                own = video == number
                times[own] = self._nearest(name, middle[own])
        found = np.flatnonzero(~np.isnan(times))
        order = found[np.lexsort((times[found], video[found]))]
        return whole_clips(videos, video[order], times[order], None), order

    def _nearest(self, video: str, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The key times next to these; NaN for all where the film has none."""
        if self._features.key_times is None:
            return times
        known = self._features.key_times(video)
        if not len(known):
            return np.full(len(times), np.nan)
        place = np.searchsorted(known, times)
        before = known[np.maximum(place - 1, 0)]
        after = known[np.minimum(place, len(known) - 1)]
        return np.where(times - before <= after - times, before, after)

    def _read(self, splits: tuple[str, ...]) -> pa.Table:
        found = read_lines(self._store, self._labels.set, splits=splits, tasks=(self._labels.task,))
        if found["start_seconds"].null_count or found["label_id"].null_count:
            raise ValueError(
                f"label set {self._labels.set} does not have a span and a class on every line of "
                f"task {self._labels.task!r}; kind 'epic' needs both"
            )
        return found


class EpicTest:
    """Top-1 and top-5 accuracy on the segments of some splits."""

    def __init__(
        self,
        samples: Samples,
        found: NDArray[np.int64],
        columns: NDArray[np.int64],
        segments: pa.Table,
    ) -> None:
        """`found` (m,): which of the segments each sample is."""
        self.samples, self.segments = samples, segments
        self._found = torch.from_numpy(found)
        self.columns = torch.from_numpy(columns)
        """(segments,) the class of each, in the order of the label set."""

    def measure(self, scores: Tensor, *, num_draws: int = 0) -> Measurement:
        """Accuracy over all segments; one without features is wrong."""
        found = top_accuracy(self.of_segments(scores), self.columns)
        return Measurement({"top1": found.top1, "top5": found.top5})

    def of_segments(self, scores: Tensor) -> Tensor:
        """(segments, num_classes) in the order of the label set; all alike without features."""
        whole = torch.zeros(len(self.columns), scores.shape[1])
        whole[self._found] = scores.float()
        return whole


def prior_of(verbs: EpicTask, nouns: EpicTask) -> Tensor:
    """(verbs, nouns) float64: how often a verb of the training splits has each noun."""
    labels = [torch.from_numpy(one.learned_columns()) for one in (verbs, nouns)]
    if len(labels[0]) != len(labels[1]):
        raise ValueError(
            f"{len(labels[0])} training segments have a verb and {len(labels[1])} a noun; give "
            "both recipes the same training splits, and each segment both labels"
        )
    return action_prior(*labels, num_verbs=len(verbs.classes), num_nouns=len(nouns.classes))


def actions_measured(
    verbs: tuple[EpicTest, Tensor], nouns: tuple[EpicTest, Tensor], prior: Tensor
) -> EpicAccuracy:
    """Accuracy of verbs, nouns and actions of the same segments, from each one's (m, num_classes).

    Scores are probabilities. ValueError where the tests are of other segments.
    """
    if not verbs[0].segments.equals(nouns[0].segments):
        raise ValueError("verbs and nouns are tested on other segments; give both the same splits")
    # Logarithms of probabilities are logits; a segment without features has zeros.
    logits = [test.of_segments(scores).clamp_min(1e-30).log() for test, scores in (verbs, nouns)]
    return epic_accuracy(logits[0], logits[1], verbs[0].columns, nouns[0].columns, prior=prior)
