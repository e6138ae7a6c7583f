"""Training on clips decoded on the fly, put together from a recipe and a store.

Source: Wu, PhD thesis, chapter 7: the network of the clip is fine-tuned with the head, that of the
bank is another one and stays as it was ("feature decoupling"): its rows come from the store.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig
from reelbank.heads.feature_bank.head import make_head
from reelbank.heads.feature_bank.losses import classification_loss
from reelbank.jobs.training.bank_dataset import BankDataset, row_dim
from reelbank.jobs.training.clips.config import ClipsConfig
from reelbank.jobs.training.clips.dataset import (
    ClipBatch,
    TestClips,
    TrainingClips,
    collate_clips,
)
from reelbank.jobs.training.clips.films import features_of, films_of, names_of, without_late
from reelbank.jobs.training.clips.mixing import mixed
from reelbank.jobs.training.clips.model import ClipModel
from reelbank.jobs.training.clips.testing import ClipTester
from reelbank.jobs.training.labelled.ava import AvaTask
from reelbank.jobs.training.labelled.make import labelled_task
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.labelled.task import LabelledTask, ScoredTest
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.seeding import own_randomness, seed_all, seed_of
from reelbank.jobs.training.settings import LongTermSettings, TrainSettings
from reelbank.pipeline.backbones.models import build_backbone
from reelbank.stores.bank import FeatureBank
from reelbank.stores.store import Store


class ClipTask:
    """A 3D CNN and a head, the samples that both are tested on, and the films and the bank."""

    def __init__(
        self,
        head: FeatureBankHeadConfig,
        settings: TrainSettings,
        test: ScoredTest,
        store: Store,
    ) -> None:
        """Load or draw the network's weights; the head's follow from the training's seed.

        Raises ValueError where weights do not fit.
        """
        assert isinstance(settings.short_term, ClipsConfig)
        self.test = test
        self._head, self._settings, self._store = head, settings, store
        self._config = settings.short_term.resolved()
        self.model = _model(head, self._config, settings.training.seed)

    def losses(self, batch: ClipBatch) -> Iterator[Tensor]:
        """One loss: the mean over items and, with a sigmoid, classes."""
        logits = self.model(batch.frames, batch.boxes, batch.clip_of, batch.window)
        kind = self._head.loss
        targets = batch.targets.argmax(dim=1) if kind == "softmax" else batch.targets
        yield classification_loss(logits, targets, kind)

    def weight(self, batch: ClipBatch) -> float:
        """Number of items."""
        return float(len(batch.targets))

    def scores(self) -> Tensor:
        """(m, num_classes) float32 on the CPU, of the items of the test."""
        return self.score(self.test.samples)

    def score(self, samples: Samples) -> Tensor:
        """(m, num_classes) float32 of any samples of the store, each over its views."""
        films = films_of(self._store, names_of(samples))
        tester = ClipTester(
            TestClips(samples, films, self._config),
            samples,
            windows_of(self._settings.long_term, self._store, samples),
            loss=self._head.loss,
            highest=self._settings.labels.kind == "charades",
            clips_at_once=self._config.test_batch,
            loaders=self._settings.training.loaders,
        )
        return tester.scores(self.model)


def make_clip_task(settings: TrainSettings, store: Store) -> tuple[ClipTask, TrainingData]:
    """Task and training set of a recipe whose `short_term` is of kind `clips`.

    Films are decoded from where the store says that they lie; rows of the bank, where the head
    reads one, are those that the store holds now. The dataset is a `TrainingClips` with `samples`.
    Raises ValueError where labels, films, bank or weights are not there or do not fit.
    """
    config = settings.short_term
    if not isinstance(config, ClipsConfig):
        raise ValueError(f"short_term is of kind {config.kind!r}; this training is for 'clips'")
    store = store.frozen()
    bank = None if settings.long_term is None else store.bank(settings.long_term.bank)
    labelled = labelled_task(settings, store, features_of(settings, store, bank))
    test = labelled.test()
    samples = _learned(labelled, config.boxes)
    films = films_of(store, {*names_of(samples), *names_of(test.samples)})
    samples = without_late(samples, films)
    head = settings.head.config(
        short_term_dim=config.feature_dim,
        long_term_dim=None if bank is None else row_dim(bank),
        num_classes=len(labelled.classes),
        loss=labelled.loss,
    )
    windows = windows_of(settings.long_term, store, samples)
    windows_of(settings.long_term, store, test.samples)  # Better now than after hours of training.
    dataset = TrainingClips(samples, films, config, windows)
    data = TrainingData(dataset=dataset, collate=collate_clips)
    return ClipTask(head, settings, test, store), data


def windows_of(
    window: LongTermSettings | None, store: Store, samples: Samples
) -> BankDataset | None:
    """A window of the bank for each clip; ValueError for films that the bank does not have."""
    if window is None:
        return None
    bank: FeatureBank = store.bank(window.bank)
    lacking = sorted(set(names_of(samples)) - set(bank.videos()))
    if lacking:
        raise ValueError(
            f"bank {window.bank!r} has no rows of {lacking[0]!r} ({len(lacking)} films of the "
            "labels are missing); extract the bank for all films"
        )
    return BankDataset(
        bank,
        samples.keys,
        window.support_seconds,
        causal=window.causal,
        rows_per_time=window.rows_per_time,
    )


def _learned(labelled: LabelledTask, sources: Sequence[str]) -> Samples:
    """What is learned from; boxes of the sources that are asked for."""
    if not isinstance(labelled, AvaTask):
        return labelled.training()
    if "predicted" not in sources:
        return labelled.ground_truth()
    if "ground_truth" not in sources:
        return labelled.training()
    return mixed(labelled.ground_truth(), labelled.training())


def _model(head: FeatureBankHeadConfig, config: ClipsConfig, seed: int) -> ClipModel:
    loaded = build_backbone(
        config.backbone, weights=config.weights, sha256=config.sha256, seed=config.seed
    )
    with own_randomness(torch.device("cpu")):
        seed_all(seed_of(seed, "weights"))
        made = make_head(head)
    return ClipModel(
        loaded.module, made, is_frozen=config.is_frozen, roi_aligned=config.roi_aligned
    )
