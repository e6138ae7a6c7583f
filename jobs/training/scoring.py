"""What a training needs beyond the loop's own protocol: scores, and a test that measures them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from reelbank.jobs.training.config import TrainingConfig
from reelbank.jobs.training.labelled.classes import Classes
from reelbank.jobs.training.labelled.measurement import Measurement
from reelbank.jobs.training.labelled.samples import Samples, whole_clips
from reelbank.jobs.training.labelled.task import LabelledTask, ScoredTest
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.loop import evaluate


class Scorer(Protocol):
    """A model, its losses, and the scores that it gives the items of its test."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        ...

    @property
    def test(self) -> ScoredTest:
        """What is tested on."""
        ...

    def losses(self, batch: Any) -> Iterator[Tensor]:
        """As of a `Task`."""
        ...

    def weight(self, batch: Any) -> float | Tensor:
        """As of a `Task`."""
        ...

    def scores(self) -> Tensor:
        """(m, num_classes) float32 on the CPU, of the items of the test."""
        ...

    def score(self, samples: Samples) -> Tensor:
        """The same of any samples of the store."""
        ...


class ScoringTask:
    """A `Task` that is evaluated by measuring a scorer's scores."""

    def __init__(self, scorer: Scorer, *, num_draws: int) -> None:
        """`num_draws` draws of films give the error bars."""
        self.scorer, self._num_draws = scorer, num_draws
        self.model: nn.Module = scorer.model
        self.test = scorer.test
        """What is tested on."""

    def losses(self, batch: Any) -> Iterator[Tensor]:
        """The scorer's."""
        return self.scorer.losses(batch)

    def weight(self, batch: Any) -> float | Tensor:
        """The scorer's."""
        return self.scorer.weight(batch)

    def evaluate(self) -> dict[str, Any]:
        """Metrics of the test, and under `details` what stands behind them."""
        found = self.test.measure(self.scorer.scores(), num_draws=self._num_draws)
        return {**found.metrics, "details": found.details}


def scores_of(scorer: Scorer, samples: Samples, config: TrainingConfig) -> Tensor:
    """(m, num_classes) float32 of a model, in evaluation mode and in the config's precision."""
    found: Tensor = evaluate(_Scores(scorer, samples), config)["scores"]
    return found


class _Scores:
    """A task whose evaluation gives the scores themselves."""

    def __init__(self, scorer: Scorer, samples: Samples) -> None:
        self._scorer, self._samples = scorer, samples
        self.model = scorer.model
        self.losses, self.weight = scorer.losses, scorer.weight

    def evaluate(self) -> dict[str, Any]:
        return {"scores": self._scorer.score(self._samples)}


class NoTest:
    """In the place of a test where there are no labels."""

    samples = whole_clips((), np.empty(0, np.int64), np.empty(0), None)

    def measure(self, scores: Tensor, *, num_draws: int = 0) -> Measurement:
        """Nothing."""
        return Measurement({})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that could begin."""

    task: ScoringTask
    """Model, losses and test."""
    data: TrainingData
    """What it learns from."""
    labelled: LabelledTask
    """Classes and labels."""
    samples: Samples
    """The samples of `data`."""
    about: Mapping[str, Any]
    """What checkpoints say of it, as plain JSON."""

    @property
    def classes(self) -> Classes:
        """Columns of the scores."""
        return self.labelled.classes

    @property
    def test(self) -> ScoredTest:
        """What is tested on."""
        return self.task.test
