"""From a training recipe and a store to a training that could begin."""

from reelbank.jobs.training.describe import about
from reelbank.jobs.training.labelled.make import labelled_task
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.scoring import Prepared, ScoringTask
from reelbank.jobs.training.settings import BankShortTerm, TrainSettings
from reelbank.stores.store import Store


def prepare(settings: TrainSettings, store: Store) -> Prepared:
    """Model, samples and test; ValueError where the store does not have what the recipe needs."""
    store = store.frozen()  # Labels, detections and rows of one moment.
    if isinstance(settings.short_term, BankShortTerm):
        from reelbank.jobs.training.cached_task import prepare_cached

        return prepare_cached(settings, store)
    return _prepare_clips(settings, store)


def _prepare_clips(settings: TrainSettings, store: Store) -> Prepared:
    # Here, because video is decoded only for this.
    from reelbank.jobs.training.clips.task import make_clip_task

    scorer, data = make_clip_task(settings, store)
    # Classes do not depend on where there are features.
    labelled = labelled_task(settings, store, Features(videos=(), key_times=None))
    window = settings.long_term
    banks = {"long_term": None if window is None else store.bank(window.bank)}
    samples = data.dataset.samples  # type: ignore[attr-defined]
    return Prepared(
        task=ScoringTask(scorer, num_draws=settings.test.num_draws),
        data=data,
        labelled=labelled,
        samples=samples,
        about=about(settings, labelled.classes, samples, scorer.test.samples, banks),
    )
