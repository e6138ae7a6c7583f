import numpy as np
import pytest
import torch

from reelbank.heads.metrics.accuracy import action_prior, epic_accuracy
from reelbank.jobs.training.labelled.epic import EpicTask, actions_measured, prior_of
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import EpicLabels
from tests.jobs.labelled_store import FILMS, NOUNS, VERBS


def task(store, name, videos=tuple(FILMS), key_times="bank"):
    times = store.bank("clip").times if key_times == "bank" else key_times
    return EpicTask(EpicLabels(set="epic@1", task=name), store, Features(videos, times))


def segments(store, split, name):
    """(film, middle, class) of each segment, by film and time."""
    return [
        (film, (line["start_seconds"] + line["end_seconds"]) / 2, line["label_id"])
        for film in sorted(FILMS)
        if FILMS[film] == split
        for line in sorted(
            store.table("labels", film).to_pylist(), key=lambda line: line["start_seconds"] or 0
        )
        if line["label_set"] == "epic" and line["task"] == name
    ]


@pytest.mark.parametrize("name", ["verb", "noun"])
def test_a_segment_is_the_clip_at_the_key_time_next_to_its_middle(labelled_store, name):
    samples = task(labelled_store, name).training()
    wanted = segments(labelled_store, "train", name)
    assert samples.keys == [(film, float(round(middle))) for film, middle, _ in wanted]
    assert samples.targets.sum(1).tolist() == [1] * len(wanted)
    assert samples.targets.argmax(1).tolist() == [number for *_, number in wanted]


def test_where_any_time_will_do_it_is_the_middle_itself(labelled_store):
    samples = task(labelled_store, "verb", key_times=None).training()
    wanted = segments(labelled_store, "train", "verb")
    assert samples.keys == [(film, pytest.approx(middle)) for film, middle, _ in wanted]


def test_right_scores_are_right_and_a_film_without_features_is_wrong(labelled_store):
    wanted = segments(labelled_store, "validation", "noun")
    scores = torch.nn.functional.one_hot(
        torch.tensor([number for *_, number in wanted]), len(NOUNS)
    ).float()
    test = task(labelled_store, "noun").test()
    assert test.measure(scores).metrics == {"top1": 1.0, "top5": 1.0}
    half = task(labelled_store, "noun", videos=["val/one.mp4"]).test()
    is_there = [film == "val/one.mp4" for film, *_ in wanted]
    found = half.measure(scores[is_there]).metrics
    assert found == {"top1": 0.5, "top5": 0.5}


def test_actions_are_those_of_the_official_measure(labelled_store):
    tasks = [task(labelled_store, name) for name in ("verb", "noun")]
    logits = [torch.randn(16, len(names)) for names in (VERBS, NOUNS)]
    tested = [(one.test(), own.softmax(1)) for one, own in zip(tasks, logits, strict=True)]
    found = actions_measured(*tested, prior_of(*tasks))
    learned, labels = (
        [
            torch.tensor([number for *_, number in segments(labelled_store, split, name)])
            for name in ("verb", "noun")
        ]
        for split in ("train", "validation")
    )
    prior = action_prior(*learned, num_verbs=len(VERBS), num_nouns=len(NOUNS))
    assert found == epic_accuracy(*logits, *labels, prior=prior)


def test_verbs_and_nouns_must_be_of_the_same_segments(labelled_store):
    verbs, nouns = (task(labelled_store, name) for name in ("verb", "noun"))
    other = EpicTask(
        EpicLabels(set="epic@1", task="noun", test=("train",)),
        labelled_store,
        Features(tuple(FILMS), None),
    ).test()
    scores = torch.full((16, 3), 1 / 3), torch.full((16, 6), 1 / 6)
    with pytest.raises(ValueError, match="tested on other segments"):
        actions_measured((verbs.test(), scores[0]), (other, scores[1]), prior_of(verbs, nouns))


def test_a_film_of_one_key_time_gives_that_one(labelled_store):
    samples = task(labelled_store, "verb", key_times=lambda _: np.array([4.0])).training()
    assert set(samples.times.tolist()) == {4.0}
