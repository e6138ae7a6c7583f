"""What checkpoints say of the training that made them, so that the model can be made again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from reelbank.jobs.recipe import settings_from
from reelbank.jobs.training.checkpoints import plain
from reelbank.jobs.training.labelled.classes import Classes
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.settings import TrainSettings
from reelbank.stores.bank import FeatureBank

_TELLING = (
    "kind",
    "category",
    "dim",
    "model",
    "clip",
    "seed",
    "weights_digest",
    "key_step_seconds",
    "roi_align",
    "grid_size",
)
"""What of a bank's metadata must be the same where a checkpoint is used."""


def about(
    settings: TrainSettings,
    classes: Classes,
    samples: Samples,
    tested: Samples,
    banks: Mapping[str, FeatureBank | None],
) -> dict[str, Any]:
    """The recipe without `training`, the classes, the banks, and digests of the samples."""
    recipe = asdict(settings)
    del recipe["training"]
    return {
        "recipe": recipe,
        "classes": asdict(classes),
        "banks": facts_of(banks),
        "samples": {"training": samples.digest, "test": tested.digest},
    }


def facts_of(banks: Mapping[str, FeatureBank | None]) -> dict[str, dict[str, Any]]:
    """By role, what tells the rows of a bank from those of another."""
    return {
        role: {name: bank.metadata[name] for name in _TELLING if name in bank.metadata}
        for role, bank in banks.items()
        if bank is not None
    }


def settings_of(facts: Mapping[str, Any], where: object) -> TrainSettings:
    """The recipe of a checkpoint; settings that do not change what is learned have defaults."""
    bound = facts["bound"]
    tree = {**bound["about"]["recipe"], "training": bound["settings"]}
    return settings_from(tree, f"recipe of {where}", TrainSettings)


def classes_of(facts: Mapping[str, Any]) -> Classes:
    """The classes of a checkpoint."""
    found = facts["bound"]["about"]["classes"]
    return Classes(**{name: tuple(values) for name, values in found.items()})


def check_classes(where: object, facts: Mapping[str, Any], now: Classes) -> None:
    """ValueError where a checkpoint's classes are not those of the label set."""
    trained = classes_of(facts)
    if (trained.ids, trained.names) != (now.ids, now.names):
        raise ValueError(
            f"{where}: it was trained on {len(trained)} classes ({', '.join(trained.names[:3])}, "
            f"...), and the label set has {len(now)} ({', '.join(now.names[:3])}, ...); give the "
            "label set that it was trained on"
        )


def check_banks(
    where: object, facts: Mapping[str, Any], now: Mapping[str, Mapping[str, Any]]
) -> None:
    """ValueError where rows come from another network than those that a checkpoint knows."""
    trained = facts["bound"]["about"]["banks"]
    for role, found in now.items():
        for name, value in found.items():
            before = trained.get(role, found).get(name)
            if before != plain(value):
                raise ValueError(
                    f"{where}: it was trained on {role} rows with {name} {before!r}, and the bank "
                    f"has {value!r}; extract it with the settings of the training"
                )
