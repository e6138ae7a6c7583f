"""Actions over spans of a film, as in Charades: items are clips, the measure is mAP over films.

Source: Wu et al., Long-Term Feature Banks, CVPR 2019, section 6: a clip has the classes of all
spans that it overlaps; in the test, the highest score of ten clips that are spread over the film.
"""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from reelbank.heads.feature_bank.config import Loss
from reelbank.heads.metrics.average_precision import average_precision
from reelbank.heads.metrics.video import VIDEO_PROTOCOLS, rank_videos
from reelbank.jobs.training.labelled.classes import Classes, read_classes
from reelbank.jobs.training.labelled.lines import column, numbered, read_lines, videos_of
from reelbank.jobs.training.labelled.measurement import Measurement, precision_measured
from reelbank.jobs.training.labelled.samples import Samples, whole_clips
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import CharadesLabels
from reelbank.stores.store import Store

TASK, NOTHING = "action", "no_action"


class CharadesTask:
    """Clips with any number of classes each."""

    loss: Loss = "sigmoid"

    def __init__(self, labels: CharadesLabels, store: Store, features: Features) -> None:
        """Raises ValueError where the store has no such label set, or the set no such class."""
        self._labels, self._store, self._features = labels, store, features
        self._learned = self._read(labels.train)
        self.classes: Classes = read_classes(store, labels.set, TASK, labels.evaluated)

    def training(self) -> Samples:
        """Every clip of the training films, with the classes of its time."""
        lines, videos = self._learned, videos_of(self._learned)
        numbers = numbered(lines, videos)
        video, times, targets = [], [], []
        for number, name in enumerate(videos):
            own = lines.filter(numbers == number)
            found = self._key_times(name)
            video.append(np.full(len(found), number, np.int64))
            times.append(found)
            targets.append(self._targets(own, found))
        return whole_clips(
            videos, np.concatenate(video), np.concatenate(times), np.concatenate(targets)
        )

    def test(self) -> "CharadesTest":
        """A few clips of each test film."""
        lines = self._read(self._labels.test)
        videos = videos_of(lines)
        spread = [_spread(self._key_times(name), self._labels.num_clips) for name in videos]
        video = np.repeat(np.arange(len(videos)), [len(times) for times in spread])
        samples = whole_clips(videos, video, np.concatenate(spread), None)
        return CharadesTest(samples, self._of_films(lines, videos), self.classes, self._labels)

    def _targets(self, lines: pa.Table, times: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(n, num_classes) of clips at these times; a span is half-open."""
        start, end = column(lines, "start_seconds"), column(lines, "end_seconds")
        half = self._labels.clip_seconds / 2
        low, high = times[:, None] - half, times[:, None] + half
        is_on = (start <= high) & (low < end)  # (n, lines); false where a line has no span
        found = np.zeros((len(times), len(self.classes)), np.uint8)
        clip, line = is_on.nonzero()
        found[clip, self._columns(lines)[line]] = 1
        return found

    def _of_films(self, lines: pa.Table, videos: tuple[str, ...]) -> NDArray[np.bool_]:
        """(videos, num_classes) whether a film has a class at any time."""
        found = np.zeros((len(videos), len(self.classes)), bool)
        has_class = lines["label_id"].is_valid().to_numpy()
        of_film = numbered(lines, videos)
        found[of_film[has_class], self._columns(lines)[has_class]] = True
        return found

    def _columns(self, lines: pa.Table) -> NDArray[np.int64]:
        """Column of each line's class; -1 for a film without actions."""
        ids, found = column(lines, "label_id"), np.full(len(lines), -1, np.int64)
        has_class = ~np.isnan(ids)
        found[has_class] = self.classes.columns(ids[has_class].astype(np.int64), self._labels.set)
        return found

    def _key_times(self, video: str) -> NDArray[np.float64]:
        assert self._features.key_times is not None
        if video not in self._features.videos:
            return np.empty(0)
        return self._features.key_times(video)

    def _read(self, splits: tuple[str, ...]) -> pa.Table:
        return read_lines(self._store, self._labels.set, splits=splits, tasks=(TASK, NOTHING))


class CharadesTest:
    """The mAP over the films of some splits."""

    def __init__(
        self,
        samples: Samples,
        has_class: NDArray[np.bool_],
        classes: Classes,
        labels: CharadesLabels,
    ) -> None:
        self.samples, self._classes = samples, classes
        self._has_class = torch.from_numpy(has_class)
        self._protocol = VIDEO_PROTOCOLS[labels.protocol]

    def measure(self, scores: Tensor, *, num_draws: int = 0) -> Measurement:
        """The mAP of the highest scores of each film, from (m, num_classes) scores of clips."""
        film = torch.from_numpy(self.samples.video)[:, None].expand_as(scores)
        # A film without features has no prediction.
        best = torch.full(self._has_class.shape, -torch.inf).scatter_reduce(
            0, film, scores.float(), "amax"
        )
        columns = self._classes.evaluated_columns
        ranking = rank_videos(
            best[:, columns], self._has_class[:, columns], protocol=self._protocol
        )
        definition = self._protocol.definition
        names = [self._classes.names[column] for column in columns]
        found = average_precision(ranking, definition)
        return precision_measured(names, found, ranking, definition, num_draws=num_draws)


def _spread(times: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """At most `count` of these times, in the middles of as many equal stretches."""
    places = ((np.arange(count) + 0.5) / count * len(times)).astype(np.int64)
    return times[np.unique(places[places < len(times)])]
