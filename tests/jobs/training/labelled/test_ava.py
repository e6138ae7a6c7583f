import numpy as np
import pytest
import torch

from reelbank.jobs.training.labelled.ava import AvaTask
from reelbank.jobs.training.labelled.task import Features
from reelbank.jobs.training.settings import AvaLabels, EvaluationSettings
from tests.jobs.labelled_store import ACTIONS, EXCLUDED, FILMS, SEEN, UNLABELLED


def task(store, **changes):
    test = EvaluationSettings(**{key: changes.pop(key) for key in ("min_score",) if key in changes})
    bank = store.bank("person")
    features = Features(bank.videos(), bank.times, "person")
    return AvaTask(AvaLabels(**({"set": "ava@1"} | changes)), test, store, features)


def overlap(one, other):
    """IoU of two boxes, written out."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def expected(store, split, *, min_score, min_iou):
    """(film, time, place) -> classes of the box that a detection shows, one by one.

    Of none in moments without labelled boxes.
    """
    found = {}
    films = [film for film, own in FILMS.items() if own == split]
    for film in films:
        boxes = {}
        for line in store.table("labels", film).to_pylist():
            if line["task"] == "action" and line["label_set"] == "ava":
                box = tuple(line[name] for name in ("x1", "y1", "x2", "y2"))
                boxes.setdefault((line["time"], box), set()).add(line["label_id"])
        places = {}
        for line in store.detections(film).to_pylist():
            if line["category"] != "person":
                continue
            place = places[line["time"]] = places.get(line["time"], -1) + 1
            box = tuple(line[name] for name in ("x1", "y1", "x2", "y2"))
            known = [
                (overlap(box, own), ids) for (at, own), ids in boxes.items() if at == line["time"]
            ]
            best = max(known, default=(0.0, None), key=lambda one: one[0])
            if line["score"] >= min_score and known:
                found[film, line["time"], place] = best[1] if best[0] >= min_iou else set()
    return {key: ids for key, ids in found.items() if key[:2] not in EXCLUDED}


def contents(samples):
    keys = samples.keys
    return {
        (*keys[clip], place): {number + 1 for number in np.flatnonzero(row).tolist()}
        for clip, place, row in zip(
            samples.clip.tolist(), samples.place.tolist(), samples.targets, strict=True
        )
    }


@pytest.mark.parametrize("min_iou", [0.9, 0.99])
def test_detections_learn_the_classes_of_the_box_that_they_show_or_none(labelled_store, min_iou):
    samples = task(labelled_store, min_iou=min_iou).training()
    wanted = expected(labelled_store, "train", min_score=0.9, min_iou=min_iou)
    assert contents(samples) == wanted
    assert len(wanted) > 10
    assert samples.num_items == len(wanted)


def test_a_place_is_that_of_the_row_among_the_persons_alone(labelled_store):
    samples = task(labelled_store).training()
    bank = labelled_store.bank("person")
    for (film, time, place), _ in list(contents(samples).items())[:20]:
        (rows,) = bank.rows_at(film, np.array([time]))
        assert rows[place].argmax() in {place, 2, 3, 4}
        assert rows[place][place] > 0.5  # Each person's row says who it is.


def test_the_labelled_boxes_themselves_have_all_their_classes_and_no_row(labelled_store):
    truth = task(labelled_store).ground_truth()
    shown = contents(task(labelled_store).training())
    assert set(truth.place.tolist()) == {-1}
    assert sorted(map(sorted, contents_of_boxes(truth))) == sorted(map(sorted, shown.values()))


def contents_of_boxes(samples):
    return [{number + 1 for number in np.flatnonzero(row).tolist()} for row in samples.targets]


def test_excluded_moments_are_neither_learned_nor_tested(labelled_store):
    found = task(labelled_store, train=("train", "validation"))
    for samples in (found.training(), found.ground_truth(), found.test().samples):
        assert not set(samples.keys) & set(EXCLUDED)


def right_scores(test, store):
    """1 for the classes that a detection's own box has, else 0."""
    wanted = expected(store, "validation", min_score=0.0, min_iou=0.5)
    keys = test.samples.keys
    scores = torch.zeros(test.samples.num_items, len(ACTIONS))
    for item, (clip, place) in enumerate(
        zip(test.samples.clip.tolist(), test.samples.place.tolist(), strict=True)
    ):
        for number in wanted.get((*keys[clip], place), ()):
            scores[item, number - 1] = 1.0
    return scores


def test_scores_that_are_right_have_a_map_of_one_and_only_classes_that_count_are_told(
    labelled_store,
):
    test = task(labelled_store).test()
    found = test.measure(right_scores(test, labelled_store), num_draws=10)
    assert found.metrics == {"map": 1.0}
    classes = found.details["classes"]
    assert [one["label"] for one in classes] == [ACTIONS[number] for number in SEEN]
    assert all(one["low"] <= one["ap"] <= one["high"] for one in classes)
    assert found.details["map"]["deviation"] == 0.0


def test_persons_that_are_not_found_count_as_missed(labelled_store):
    # Only the better person of each moment is left: half of the boxes are there.
    test = task(labelled_store, min_score=0.95).test()
    found = test.measure(right_scores(test, labelled_store))
    share = {one["label"]: one["num_positives"] for one in found.details["classes"]}
    left = expected(labelled_store, "validation", min_score=0.95, min_iou=0.5)
    for one in found.details["classes"]:
        shown = sum(ACTIONS_BY_NAME[one["label"]] in ids for ids in left.values())
        assert one["ap"] == pytest.approx(shown / share[one["label"]])
        assert one["recall"] == pytest.approx(shown / share[one["label"]])


ACTIONS_BY_NAME = {name: number for number, name in ACTIONS.items()}


def test_key_times_without_labels_are_tested_where_the_evaluator_counts_them(labelled_store):
    official = task(labelled_store).test().samples
    slowfast = task(labelled_store, protocol="slowfast").test().samples
    extra = set(slowfast.keys) - set(official.keys)
    # Not the excluded moments, nor the first second, which comes before all labels.
    assert extra == {UNLABELLED}


def test_the_classes_that_count_can_be_named(labelled_store):
    test = task(labelled_store, evaluated=("cue", "sit")).test()
    found = test.measure(right_scores(test, labelled_store))
    assert [one["label"] for one in found.details["classes"]] == ["sit", "cue"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"set": "eva@1"}, "unknown label set 'eva@1'; the closest of 3: 'ava@1'"),
        ({"train": ("trian",)}, "split of label set ava@1: 'trian'; the closest of 2: 'train'"),
        ({"evaluated": ("sitt",)}, "class in labels.evaluated of ava@1 'sitt'; .* 'sit'"),
        ({"set": "charades@1"}, "not have a time, a box and a class on every"),
    ],
    ids=["set", "split", "class", "kind"],
)
def test_what_the_store_does_not_have_is_named_with_what_is_close(
    labelled_store, changes, sentence
):
    with pytest.raises(ValueError, match=sentence):
        task(labelled_store, **changes)
