"""What every kind of labelled task gives: classes, samples to learn from, and a test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reelbank.heads.feature_bank.config import Loss
from reelbank.jobs.training.labelled.classes import Classes
from reelbank.jobs.training.labelled.measurement import Measurement
from reelbank.jobs.training.labelled.samples import Samples


@dataclass(frozen=True, slots=True)
class Features:
    """Where there are short-term features."""

    videos: Sequence[str]
    """Films that have any."""
    key_times: Callable[[str], NDArray[np.float64]] | None
    """Times of a film that have features, rising; None: any time that is asked for."""
    category: str | None = "person"
    """Detections that have a row, where rows are of boxes; None: all."""


class ScoredTest(Protocol):
    """Samples to be scored, and what is right."""

    @property
    def samples(self) -> Samples:
        """Without targets."""
        ...

    def measure(self, scores: Tensor, *, num_draws: int = 0) -> Measurement:
        """What these scores come to: (m, num_classes) float32, in the order of the items.

        `num_draws` draws of films give the error bars, where there can be any; 0: none.
        """
        ...


class LabelledTask(Protocol):
    """A label set, read for a kind of task."""

    @property
    def classes(self) -> Classes:
        """Columns of targets and scores."""
        ...

    @property
    def loss(self) -> Loss:
        """`sigmoid` for any number of classes, `softmax` for exactly one."""
        ...

    def training(self) -> Samples:
        """What is learned from, with targets."""
        ...

    def test(self) -> ScoredTest:
        """What is tested on."""
        ...
