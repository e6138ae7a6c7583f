"""From the settings of labels to their task."""

from reelbank.jobs.training.labelled.ava import AvaTask
from reelbank.jobs.training.labelled.charades import CharadesTask
from reelbank.jobs.training.labelled.epic import EpicTask
from reelbank.jobs.training.labelled.task import Features, LabelledTask
from reelbank.jobs.training.settings import AvaLabels, CharadesLabels, TrainSettings
from reelbank.stores.store import Store


def labelled_task(settings: TrainSettings, store: Store, features: Features) -> LabelledTask:
    """The task of a recipe; ValueError where the store does not have what it needs."""
    labels = settings.labels
    if isinstance(labels, AvaLabels):
        return AvaTask(labels, settings.test, store, features)
    if isinstance(labels, CharadesLabels):
        return CharadesTask(labels, store, features)
    return EpicTask(labels, store, features)
