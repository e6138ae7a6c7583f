from dataclasses import replace

import numpy as np
import pytest
import torch

from reelbank.jobs.training.cached_data import CachedBatch
from reelbank.jobs.training.cached_task import prepare_cached
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.logs import read_log
from reelbank.jobs.training.loop import evaluate, fit
from reelbank.jobs.training.settings import (
    AvaLabels,
    BankShortTerm,
    CharadesLabels,
    EpicLabels,
    HeadSettings,
    LongTermSettings,
    OperatorConfig,
)
from tests.jobs.labelled_store import SECONDS, commit_set, make_labelled_store, recipe, training
from tests.stores.builders import commit_bank, unit

WINDOW = LongTermSettings(bank="person", support_seconds=6.0, rows_per_time=2)
OPERATOR = OperatorConfig(inner_dim=8)
MODELS = {
    "3D CNN": {"long_term": None, "head": HeadSettings(bank="none")},
    "STO": {"long_term": None, "head": HeadSettings(bank="short_term", operator=OPERATOR)},
    "LFB batch": {},
    "LFB causal": {"long_term": replace(WINDOW, causal=True)},
    "LFB with times": {
        "head": HeadSettings(operator=replace(OPERATOR, time_embedding="sinusoidal"))
    },
    "LFB max": {"head": HeadSettings(operator=replace(OPERATOR, kind="max"))},
}


def batch_of(store, settings, numbers):
    prepared = prepare_cached(settings, store)
    return prepared, prepared.data.dataset.__getitems__(numbers)


@pytest.mark.parametrize("causal", [False, True], ids=["batch", "causal"])
def test_a_batch_holds_the_rows_of_its_boxes_and_each_window_once(labelled_store, causal):
    settings = recipe(long_term=replace(WINDOW, causal=causal))
    numbers = [5, 0, 36]
    prepared, batch = batch_of(labelled_store, settings, numbers)
    bank, samples = labelled_store.bank("person"), prepared.samples
    place = 0
    for number, clip in enumerate(numbers):
        film, time = samples.keys[clip]
        (own,) = bank.rows_at(film, np.array([time]))
        items = np.flatnonzero(samples.clip == clip)
        for item in items:
            torch.testing.assert_close(
                batch.short_term[place], torch.tensor(own[samples.place[item]])
            )
            assert batch.targets[place].tolist() == samples.targets[item].tolist()
            assert batch.window_of[place] == number
            place += 1
        around = bank.window(film, time, 6.0, causal=causal, rows_per_time=2)
        kept = batch.mask[number]
        torch.testing.assert_close(batch.long_term[number][kept], torch.tensor(around.rows))
        found = batch.times[number][kept].numpy()
        np.testing.assert_allclose(found, around.times - time)
        low, high = (-6.0, 0.0) if causal else (-3.0, 3.0 - 1e-6)
        assert low < found.min() + 1e-6
        assert found.max() <= high
    assert place == len(batch.short_term)
    assert batch.long_term.shape == (3, 12, 8)


class Garbage(torch.utils.data.Dataset):
    """The same batches, with anything at all in the padding."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitems__(self, indices):
        batch: CachedBatch = self.dataset.__getitems__(indices)
        rows = batch.long_term.clone()
        rows[~batch.mask] = torch.tensor([float("nan"), 6e4] * 4, dtype=rows.dtype)
        return batch._replace(long_term=rows)


@pytest.mark.parametrize("model", ["LFB batch", "LFB causal", "LFB with times", "LFB max"])
def test_garbage_in_the_padding_changes_no_loss_and_no_weight(labelled_store, tmp_path, model):
    settings = recipe(**MODELS[model])
    results = []
    for name in ("plain", "garbage"):
        prepared = prepare_cached(settings, labelled_store)
        data = prepared.data
        if name == "garbage":
            assert not data.dataset.__getitems__([0]).mask.all()  # The film begins here.
            data = TrainingData(dataset=Garbage(data.dataset), collate=data.collate)
        fit(prepared.task, data, settings.training, run=tmp_path / name)
        losses = [entry["loss"] for entry in read_log(tmp_path / name, "training")]
        results.append((losses, prepared.task.model.state_dict()))
    (losses, weights), (other_losses, other_weights) = results
    assert losses == other_losses
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


@pytest.mark.parametrize("model", list(MODELS))
def test_items_are_scored_alike_alone_and_in_any_company(labelled_store, model):
    settings = recipe(**MODELS[model])
    prepared = prepare_cached(settings, labelled_store)
    scorer, samples = prepared.task.scorer, prepared.test.samples
    prepared.task.model.eval()
    with torch.no_grad():
        together = scorer.score(samples)
        one_by_one = torch.cat([scorer.score(only(samples, clip)) for clip in range(len(samples))])
    assert together.shape == (samples.num_items, 5)
    torch.testing.assert_close(together, one_by_one)


def only(samples, clip):
    """The samples of one clip alone."""
    items = samples.clip == clip
    return Samples(
        samples.videos,
        samples.video[[clip]],
        samples.times[[clip]],
        np.zeros(items.sum(), np.int64),
        samples.place[items],
        samples.boxes[items],
        None,
    )


def test_a_cue_of_the_second_before_is_found_in_the_window_and_nowhere_else(
    labelled_store, tmp_path
):
    """`answer` and `tune` look alike; the operator need not know when, but who."""
    found = {}
    config = training(num_steps=150, batch_size=16)
    # Two seconds of the past: the cue's second, and the clip's own.
    past = LongTermSettings(bank="person", support_seconds=2.0, causal=True, rows_per_time=2)
    head = HeadSettings(operator=replace(OPERATOR, inner_dim=16), classifier_dropout=0.1)
    for name, changes in {
        "LFB": {"long_term": past, "head": head},
        "3D CNN": MODELS["3D CNN"],
    }.items():
        prepared = prepare_cached(recipe(training=config, **changes), labelled_store)
        fit(prepared.task, prepared.data, config, run=tmp_path / name)
        details = evaluate(prepared.task, config)["details"]["classes"]
        ap = {one["label"]: one["ap"] for one in details}
        assert ap["sit"] > 0.9  # It is in the box's own row.
        found[name] = (ap["answer"] + ap["tune"]) / 2
    assert found["LFB"] > found["3D CNN"] + 0.15


@pytest.mark.parametrize(
    ("labels", "metrics"),
    [
        (CharadesLabels(set="charades@1", test=("validation",), clip_seconds=1.0), {"map"}),
        (EpicLabels(set="epic@1", task="verb"), {"top1", "top5"}),
        (EpicLabels(set="epic@1", task="noun"), {"top1", "top5"}),
    ],
    ids=["charades", "verbs", "nouns"],
)
@pytest.mark.parametrize("model", ["3D CNN", "STO", "LFB batch"])
def test_clips_are_learned_as_boxes_are(labelled_store, tmp_path, labels, metrics, model):
    settings = recipe(labels=labels, short_term=BankShortTerm(bank="clip"), **MODELS[model])
    prepared = prepare_cached(settings, labelled_store)
    batch = prepared.data.dataset.__getitems__([0, 1])
    assert batch.targets.shape == ((2,) if labels.kind == "epic" else (2, 3))
    result = fit(prepared.task, prepared.data, settings.training, run=tmp_path)
    assert set(result.metrics) == metrics
    assert result.num_steps == settings.training.num_steps


def test_a_batch_without_boxes_is_skipped(labelled_store):
    prepared = prepare_cached(recipe(), labelled_store)
    batch = prepared.data.dataset.__getitems__([0])
    empty = batch._replace(
        short_term=batch.short_term[:0], targets=batch.targets[:0], window_of=batch.window_of[:0]
    )
    assert list(prepared.task.losses(empty)) == []
    assert prepared.task.weight(empty) == 0
    assert prepared.task.weight(batch) == len(batch.targets)


def test_the_same_seed_draws_the_same_weights_and_another_seed_others(labelled_store):
    first, same, other = (
        prepare_cached(recipe(training=training(seed=seed)), labelled_store).task.model
        for seed in (0, 0, 1)
    )
    for (name, one), two, three in zip(
        first.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(one, two)
        assert torch.equal(one, three) == (one.numel() == 0 or not one.any()), name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"short_term": BankShortTerm(bank="clip")}, "kind 'clip', which has no boxes"),
        ({"short_term": BankShortTerm(bank="persons")}, "unknown bank 'persons'.*'person'"),
        ({"long_term": replace(WINDOW, bank="grid")}, "unknown bank 'grid'"),
        ({"labels": CharadesLabels(set="charades@1")}, "kind 'charades' need one of kind 'clip'"),
    ],
    ids=["no boxes", "short term", "long term", "boxes"],
)
def test_banks_that_do_not_fit_are_refused(labelled_store, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        prepare_cached(recipe(**changes), labelled_store)


def test_a_missing_row_is_named(tmp_path):
    store = make_labelled_store(tmp_path / "store")
    film = "train/one.mp4"
    details = {"bank": {"kind": "person", "category": "person", "key_step_seconds": 1.0}}
    rows = {float(time): np.ones((3 if time != 9 else 1, 8), np.float16) for time in range(SECONDS)}
    again = unit(film, "bank:person", key="again", details=details)
    commit_bank(store, "person", [(again, rows)])
    sentence = (
        r"bank 'person' has 1 rows at 9.0 s of 'train/one.mp4', and row 1 is asked for \(1 of"
    )
    with pytest.raises(ValueError, match=sentence):
        prepare_cached(recipe(), store)


def test_a_class_that_the_map_lacks_is_named(tmp_path):
    store = make_labelled_store(tmp_path / "store")
    box = {"x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.5}
    line = {"video_id": "train/one.mp4", "split": "train", "task": "action", "time": 1.0}
    strange = [line | box | {"label_id": 77, "label": None}]
    commit_set(store, "strange", strange, {"action": {1: "sit"}})
    labels = AvaLabels(set="strange@1", test=("train",))
    with pytest.raises(ValueError, match="label set strange@1: class 77 is not in its label map"):
        prepare_cached(recipe(labels=labels), store)
