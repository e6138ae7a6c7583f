"""Heads on stored features: S and L~ are both rows of banks, and stay as they are.

Source: Wu et al., Long-Term Feature Banks, CVPR 2019, with the short-term 3D CNN frozen: minutes on
a CPU. Items of one clip share its window.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reelbank.heads.feature_bank.config import Loss
from reelbank.heads.feature_bank.head import make_head
from reelbank.heads.feature_bank.losses import class_scores, classification_loss
from reelbank.jobs.training.bank_dataset import row_dim
from reelbank.jobs.training.batches import on_device
from reelbank.jobs.training.cached_data import CachedBatch, CachedDataset, whole
from reelbank.jobs.training.describe import about
from reelbank.jobs.training.labelled.make import labelled_task
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.labelled.task import Features, ScoredTest
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.scoring import Prepared, ScoringTask
from reelbank.jobs.training.seeding import own_randomness, seed_all, seed_of
from reelbank.jobs.training.settings import AvaLabels, BankShortTerm, TrainSettings
from reelbank.stores.bank import FeatureBank
from reelbank.stores.boxes import ROI_KINDS
from reelbank.stores.store import Store


@dataclass(frozen=True, slots=True)
class Banks:
    """The banks that a head reads."""

    short_term: FeatureBank
    """Rows of the items (S)."""
    long_term: FeatureBank | None
    """Rows of the windows (L~); None for a head that reads none."""

    @property
    def features(self) -> Features:
        """Where there are short-term features."""
        bank = self.short_term
        category = bank.metadata.get("category")
        return Features(videos=bank.videos(), key_times=bank.times, category=category)

    @property
    def by_role(self) -> dict[str, FeatureBank | None]:
        """By what they are for."""
        return {"short_term": self.short_term, "long_term": self.long_term}


class CachedTask:
    """A head, the banks that it reads, and the samples that it is tested on."""

    def __init__(
        self,
        settings: TrainSettings,
        banks: Banks,
        test: ScoredTest,
        *,
        num_classes: int,
        loss: Loss,
    ) -> None:
        """The head's weights follow from the training's seed."""
        self._window, self._size = settings.long_term, settings.test.batch_size
        self._banks, self._loss, self.test = banks, loss, test
        self._num_classes = num_classes
        config = settings.head.config(
            short_term_dim=banks.short_term.dim,
            long_term_dim=None if banks.long_term is None else row_dim(banks.long_term),
            num_classes=num_classes,
            loss=loss,
        )
        with own_randomness(torch.device("cpu")):
            seed_all(seed_of(settings.training.seed, "weights"))
            self.model: nn.Module = make_head(config)

    def dataset(self, samples: Samples) -> CachedDataset:
        """Samples with their rows; ValueError where a row is missing."""
        banks = self._banks
        return CachedDataset(
            samples, banks.short_term, banks.long_term, self._window, loss=self._loss
        )

    def losses(self, batch: CachedBatch) -> Iterator[Tensor]:
        """One loss: the mean over items and, with a sigmoid, classes; none without items."""
        if len(batch.short_term):
            assert batch.targets is not None
            yield classification_loss(self._logits(batch), batch.targets, self._loss)

    def weight(self, batch: CachedBatch) -> float:
        """Number of items."""
        return float(len(batch.short_term))

    def scores(self) -> Tensor:
        """(m, num_classes) float32 on the CPU, of the items of the test."""
        return self.score(self.test.samples)

    def score(self, samples: Samples) -> Tensor:
        """(m, num_classes) float32, from clips in their order."""
        dataset, size = self.dataset(samples), self._size
        batches = (
            dataset.__getitems__(range(first, min(first + size, len(samples))))
            for first in range(0, len(samples), size)
        )
        device = next(self.model.parameters()).device
        found = [
            class_scores(self._logits(batch), self._loss).float().cpu()
            for batch in on_device(batches, device)
        ]
        return torch.cat([torch.empty(0, self._num_classes), *found])

    def _logits(self, batch: CachedBatch) -> Tensor:
        logits: Tensor = self.model(
            batch.short_term,
            batch.long_term,
            batch.mask,
            times=batch.times,
            window_of=batch.window_of,
        )
        return logits


def open_banks(settings: TrainSettings, store: Store) -> Banks:
    """The banks of a recipe; ValueError where the store lacks one or it is of the wrong kind."""
    assert isinstance(settings.short_term, BankShortTerm)
    short_term = store.bank(settings.short_term.bank)
    _check_kind(settings, short_term)
    window = settings.long_term
    return Banks(short_term, None if window is None else store.bank(window.bank))


def prepare_cached(settings: TrainSettings, store: Store) -> Prepared:
    """A training on banks; ValueError where the store does not have what it needs."""
    banks = open_banks(settings, store)
    labelled = labelled_task(settings, store, banks.features)
    samples, test = labelled.training(), labelled.test()
    classes = labelled.classes
    scorer = CachedTask(settings, banks, test, num_classes=len(classes), loss=labelled.loss)
    return Prepared(
        task=ScoringTask(scorer, num_draws=settings.test.num_draws),
        data=TrainingData(dataset=scorer.dataset(samples), collate=whole),
        labelled=labelled,
        samples=samples,
        about=about(settings, classes, samples, test.samples, banks.by_role),
    )


def _check_kind(settings: TrainSettings, bank: FeatureBank) -> None:
    """Boxes need a bank with a row for each, films and segments one with a row for each clip."""
    needs_boxes = isinstance(settings.labels, AvaLabels)
    if needs_boxes and bank.kind not in ROI_KINDS:
        raise ValueError(
            f"short_term.bank={bank.name!r} is of kind {bank.kind!r}, which has no boxes; labels "
            f"of kind 'ava' need one of kind {' or '.join(ROI_KINDS)}"
        )
    if not needs_boxes and bank.kind != "clip":
        raise ValueError(
            f"short_term.bank={bank.name!r} is of kind {bank.kind!r}; labels of kind "
            f"{settings.labels.kind!r} need one of kind 'clip'"
        )
