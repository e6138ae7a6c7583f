"""All that a model can classify in some films, labelled or not."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reelbank.jobs.training.labelled.boxes import read_detections
from reelbank.jobs.training.labelled.samples import Samples, boxed_clips, whole_clips
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import AvaLabels, TrainSettings
from reelbank.stores.store import Store


def items_of(
    settings: TrainSettings, store: Store, features: Features, videos: Sequence[str]
) -> tuple[Samples, NDArray[np.int64] | None]:
    """Items of films (sorted), and the rank of each detection; None where items are whole clips.

    Of kind `ava`: detections of `test.min_score` or more. Of the others: clips at all key times.
    """
    if isinstance(settings.labels, AvaLabels):
        found = read_detections(store, videos, features.category)
        found = found.take(found.scores >= settings.test.min_score)
        samples = boxed_clips(
            tuple(videos),
            found.video,
            found.times,
            place=found.place,
            boxes=found.boxes,
            targets=None,
        )
        order = np.lexsort((found.place, found.times, found.video))
        return samples, found.rank[order]
    if features.key_times is None:
        raise ValueError(
            f"a model of kind {settings.labels.kind!r} on clips that are decoded has no key times "
            "to predict at; extract a bank of kind 'clip' and train on that"
        )
    times = [features.key_times(name) for name in videos]
    video = np.repeat(np.arange(len(videos)), [len(one) for one in times])
    return whole_clips(tuple(videos), video, np.concatenate([np.empty(0), *times]), None), None
