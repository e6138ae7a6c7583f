"""Test checkpoints: one, several whose scores are averaged, or one of verbs with one of nouns."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from reelbank.jobs.training.checkpoints import (
    find_checkpoint,
    load_checkpoint,
    plain,
)
from reelbank.jobs.training.describe import check_banks, check_classes
from reelbank.jobs.training.labelled.epic import EpicTask, EpicTest, actions_measured, prior_of
from reelbank.jobs.training.prepare import prepare
from reelbank.jobs.training.scoring import Prepared, scores_of
from reelbank.jobs.training.settings import TrainSettings
from reelbank.jobs.training.weights import restore_weights, without_weights
from reelbank.stores.store import Store, open_store

Member: TypeAlias = tuple[TrainSettings, Path]
"""A recipe, and a checkpoint of its training, or the run, of which it is the best."""


def evaluate(settings: TrainSettings, checkpoint: Path, store: Store | str) -> dict[str, Any]:
    """`metrics` and `details` of a checkpoint, as `train` gives them.

    `settings` may ask for other splits, classes or windows than those of the training. ValueError
    where the checkpoint is of another model, other classes or rows of another network.
    """
    return evaluate_ensemble([(settings, checkpoint)], store)


def evaluate_ensemble(members: Sequence[Member], store: Store | str) -> dict[str, Any]:
    """The same of the mean of several models' scores, all on the samples of the first."""
    prepared, scores = _mean_scores(members, store)
    found = prepared.test.measure(scores, num_draws=members[0][0].test.num_draws)
    as_json: dict[str, Any] = plain({"metrics": found.metrics, "details": found.details})
    return as_json


def evaluate_actions(
    verbs: Sequence[Member], nouns: Sequence[Member], store: Store | str
) -> dict[str, Any]:
    """Top-1 and top-5 accuracy of verbs, nouns and actions, from models of each (kind `epic`)."""
    opened = open_store(store) if isinstance(store, str) else store
    tasks, tested = [], []
    for wanted, members in (("verb", verbs), ("noun", nouns)):
        prepared, scores = _mean_scores(members, opened)
        labels = members[0][0].labels
        if labels.kind != "epic" or labels.task != wanted:
            raise ValueError(
                f"an action is a verb and a noun: the model of {wanted}s is one of "
                f"{getattr(labels, 'task', labels.kind)!r}; give recipes of task 'verb' and 'noun'"
            )
        assert isinstance(prepared.labelled, EpicTask)
        assert isinstance(prepared.test, EpicTest)
        tasks.append(prepared.labelled)
        tested.append((prepared.test, scores))
    found = actions_measured(tested[0], tested[1], prior_of(tasks[0], tasks[1]))
    metrics = {
        f"{task}_{name}": value
        for task, accuracy in asdict(found).items()
        for name, value in accuracy.items()
    }
    return {"metrics": metrics, "details": {}}


def restored(settings: TrainSettings, checkpoint: Path, store: Store) -> Prepared:
    """The training of a recipe with the weights of a checkpoint.

    ValueError where that is of another model, other classes or rows of another network.
    """
    found = find_checkpoint(checkpoint)
    state = load_checkpoint(found)
    prepared = prepare(without_weights(settings), store)
    check_classes(found, state.facts, prepared.classes)
    check_banks(found, state.facts, prepared.about["banks"])
    restore_weights(prepared.task.model, state.weights, found)
    return prepared


def _mean_scores(members: Sequence[Member], store: Store | str) -> tuple[Prepared, Tensor]:
    """The first member, and the mean (m, num_classes) of the scores of all."""
    opened = open_store(store) if isinstance(store, str) else store
    everything = [(settings, restored(settings, path, opened)) for settings, path in members]
    first = everything[0][1]
    for settings, one in everything[1:]:
        if one.test.samples.digest != first.test.samples.digest:
            raise ValueError(
                f"the models of an ensemble are tested on other samples ({settings.labels.set}); "
                "give recipes with the same labels and test"
            )
    scores = [
        scores_of(one.task.scorer, one.test.samples, settings.training)
        for settings, one in everything
    ]
    return first, torch.stack(scores).mean(0)
