import numpy as np
import pytest
import torch

from reelbank.jobs.training.labelled.charades import CharadesTask
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import CharadesLabels
from tests.jobs.labelled_store import FILMS, SECONDS

NUMBERS = (0, 1, 4)


def task(store, videos=tuple(FILMS), **changes):
    given = {"set": "charades@1", "test": ("validation",)} | changes
    features = Features(videos, store.bank("clip").times)
    return CharadesTask(CharadesLabels(**given), store, features)


def spans(store, film):
    return [
        (line["start_seconds"], line["end_seconds"], NUMBERS.index(line["label_id"]))
        for line in store.table("labels", film).to_pylist()
        if line["label_set"] == "charades"
    ]


@pytest.mark.parametrize("length", [0.0, 3.0], ids=["a moment", "a clip of three seconds"])
def test_a_clip_has_the_classes_of_all_spans_that_it_overlaps(labelled_store, length):
    samples = task(labelled_store, clip_seconds=length).training()
    assert len(samples) == SECONDS * list(FILMS.values()).count("train")
    for (film, time), row in zip(samples.keys, samples.targets, strict=True):
        wanted = {
            column
            for start, end, column in spans(labelled_store, film)
            if start <= time + length / 2 and time - length / 2 < end
        }
        assert set(np.flatnonzero(row).tolist()) == wanted


@pytest.mark.parametrize(("count", "per_film"), [(10, 10), (3, 3), (50, SECONDS)])
def test_clips_of_the_test_are_spread_evenly(labelled_store, count, per_film):
    samples = task(labelled_store, num_clips=count).test().samples
    for number in range(2):
        times = samples.times[samples.video == number]
        assert len(times) == per_film
        gaps = np.diff(np.concatenate([[-times[0] - 1], times, [2 * SECONDS - 1 - times[-1] + 1]]))
        assert gaps.max() - gaps.min() <= 2


def test_the_highest_score_of_a_film_counts(labelled_store):
    test = task(labelled_store).test()
    labels = {
        film: {column for _, _, column in spans(labelled_store, film)}
        for film, split in FILMS.items()
        if split == "validation"
    }
    scores = torch.rand(test.samples.num_items, 3) * 0.5
    for number, film in enumerate(sorted(labels)):
        own = np.flatnonzero(test.samples.video == number)
        for column in labels[film]:
            scores[own[3], column] = 0.9
    assert test.measure(scores).metrics == {"map": 1.0}


def test_a_film_without_features_is_the_last_of_every_ranking(labelled_store):
    films = [film for film in FILMS if film != "val/two.mp4"]
    test = task(labelled_store, videos=films).test()
    found = test.measure(torch.full((test.samples.num_items, 3), 0.5))
    of_both = [
        {column for _, _, column in spans(labelled_store, film)}
        for film in ("val/one.mp4", "val/two.mp4")
    ]
    for column, one in enumerate(found.details["classes"]):
        has = [column in own for own in of_both]
        wanted = {(True, True): 1.0, (True, False): 1.0, (False, True): 0.5}.get(tuple(has))
        assert one["ap"] == wanted or (wanted is None and np.isnan(one["ap"]))


def test_a_set_without_spans_cannot_be_learned(labelled_store):
    with pytest.raises(ValueError, match="split of label set charades@1: 'test'"):
        task(labelled_store, test=("test",)).test()
