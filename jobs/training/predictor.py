"""A model as a checkpoint holds it, without labels: for films that nobody has labelled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from reelbank.heads.feature_bank.config import Loss
from reelbank.jobs.training.bank_dataset import row_dim
from reelbank.jobs.training.checkpoints import WEIGHTS, load_checkpoint, read_state
from reelbank.jobs.training.describe import check_banks, classes_of, facts_of, settings_of
from reelbank.jobs.training.labelled.classes import Classes
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.scoring import NoTest, Scorer, scores_of
from reelbank.jobs.training.settings import BankShortTerm, TrainSettings
from reelbank.jobs.training.weights import restore_weights, without_weights
from reelbank.stores.bank import FeatureBank
from reelbank.stores.store import Store


@dataclass(frozen=True, slots=True)
class Predictor:
    """A trained model over the features of a store."""

    settings: TrainSettings
    """Of its training."""
    classes: Classes
    """Columns of the scores."""
    features: Features
    """Where there is something to be scored."""
    weights_digest: str
    """SHA-256 of its weights."""
    scorer: Scorer
    """The model itself."""

    @property
    def banks(self) -> list[str]:
        """Banks that it reads."""
        short_term, window = self.settings.short_term, self.settings.long_term
        names = [short_term.bank] if isinstance(short_term, BankShortTerm) else []
        return names + ([] if window is None else [window.bank])

    def num_times(self, video: str) -> int:
        """Key times of a film; where they are not known beforehand, those of an hour."""
        times = self.features.key_times
        return 3600 if times is None else len(times(video))

    def score(self, samples: Samples) -> Tensor:
        """(m, num_classes) float32, in evaluation mode and the precision of the training."""
        return scores_of(self.scorer, samples, self.settings.training)


def load_predictor(checkpoint: Path, store: Store, *, device: str) -> Predictor:
    """The model of a checkpoint on the features of a store.

    ValueError where the store lacks a bank, its rows are of another network, or the checkpoint is
    damaged.
    """
    state = load_checkpoint(checkpoint)
    settings = settings_of(state.facts, checkpoint)
    settings = replace(settings, training=replace(settings.training, device=device))
    classes = classes_of(state.facts)
    loss: Loss = "softmax" if settings.labels.kind == "epic" else "sigmoid"
    scorer, features, banks = _made(without_weights(settings), store, len(classes), loss)
    check_banks(checkpoint, state.facts, facts_of(banks))
    restore_weights(scorer.model, state.weights, checkpoint)
    digest = read_state(checkpoint)["sha256"][WEIGHTS]
    return Predictor(settings, classes, features, digest, scorer)


def _made(
    settings: TrainSettings, store: Store, num_classes: int, loss: Loss
) -> tuple[Scorer, Features, Mapping[str, FeatureBank | None]]:
    if isinstance(settings.short_term, BankShortTerm):
        from reelbank.jobs.training.cached_task import CachedTask, open_banks

        banks = open_banks(settings, store)
        task = CachedTask(settings, banks, NoTest(), num_classes=num_classes, loss=loss)
        return task, banks.features, banks.by_role
    # Here, because video is decoded only for this.
    from reelbank.jobs.training.clips.films import features_of
    from reelbank.jobs.training.clips.task import ClipTask

    window = settings.long_term
    bank = None if window is None else store.bank(window.bank)
    head = settings.head.config(
        short_term_dim=settings.short_term.feature_dim,
        long_term_dim=None if bank is None else row_dim(bank),
        num_classes=num_classes,
        loss=loss,
    )
    features = features_of(settings, store, bank)
    return ClipTask(head, settings, NoTest(), store), features, {"long_term": bank}
