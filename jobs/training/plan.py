"""What a training would do, before it is begun: samples, parameters and schedule."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from reelbank.jobs.training.config import TrainingConfig
from reelbank.jobs.training.labelled.ava import AvaTask
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.prepare import prepare
from reelbank.jobs.training.schedules import factor_at
from reelbank.jobs.training.scoring import Prepared
from reelbank.jobs.training.settings import TrainSettings
from reelbank.stores.store import Store

_SAID = ("kind", "model", "dim", "seed", "weights_digest")
"""What is said of a bank; the JSON holds all."""


def training_plan(settings: TrainSettings, store: Store) -> dict[str, Any]:
    """Plain JSON; everything that a training checks before its first step is checked."""
    prepared, config = prepare(settings, store), settings.training
    return {
        "label_set": settings.labels.set,
        "classes": _classes(prepared),
        "training": _counts(prepared.samples),
        "labelled_boxes": _labelled_boxes(prepared),
        "test": _counts(prepared.test.samples),
        "features": prepared.about["banks"],
        "parameters": _parameters(prepared),
        "steps": config.num_steps,
        "epochs": config.num_steps * config.batch_size / max(1, len(prepared.samples)),
        "learning_rates": _rates(config),
    }


def show_training_plan(found: Mapping[str, Any], console: Console) -> None:
    """Print it for people."""
    for line in _sentences(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _sentences(found: Mapping[str, Any]) -> list[str]:
    names = [name for name, one in found["classes"].items() if one["is_evaluated"]]
    lines = [
        f"{found['label_set']}: {len(found['classes'])} classes, {len(names)} of them tested",
        *(
            f"{part}: films {found[part]['videos']}, clips {found[part]['clips']}, "
            f"boxes or clips to classify {found[part]['items']}"
            for part in ("training", "test")
        ),
    ]
    if found["labelled_boxes"] is not None:
        lines.append(f"labelled boxes in training: {found['labelled_boxes']}")
    lines += [
        f"{role}: {', '.join(f'{name} {facts[name]}' for name in _SAID if facts.get(name))}"
        for role, facts in found["features"].items()
    ]
    parameters = found["parameters"]
    parts = ", ".join(f"{name} {count:,}" for name, count in parameters["parts"].items())
    lines.append(f"parameters: {parameters['learned']:,} learned ({parts})")
    rates = ", ".join(f"{rate:.3g} at {step}" for step, rate in found["learning_rates"])
    lines.append(f"{found['steps']} steps, {found['epochs']:.1f} epochs; learning rate {rates}")
    lines.append("examples of each class in training:")
    return lines + [f"  {one['examples']:>8}  {name}" for name, one in found["classes"].items()]


def _classes(prepared: Prepared) -> dict[str, dict[str, Any]]:
    targets = prepared.samples.targets
    assert targets is not None
    examples = targets.sum(axis=0, dtype=np.int64).tolist()
    classes = prepared.classes
    return {
        name: {"is_evaluated": counts, "examples": number}
        for name, counts, number in zip(classes.names, classes.is_evaluated, examples, strict=True)
    }


def _counts(samples: Samples) -> dict[str, int]:
    videos = len(np.unique(samples.video))
    return {"videos": videos, "clips": len(samples), "items": samples.num_items}


def _labelled_boxes(prepared: Prepared) -> int | None:
    if not isinstance(prepared.labelled, AvaTask):
        return None
    return prepared.labelled.ground_truth().num_items


def _parameters(prepared: Prepared) -> dict[str, Any]:
    """By the model's parts, and how many are learned."""
    model = prepared.task.model
    parts: Counter[str] = Counter()
    for name, one in model.named_parameters():
        parts[name.split(".")[0]] += one.numel()
    learned = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return {"learned": learned, "parts": dict(parts)}


def _rates(config: TrainingConfig) -> list[list[float]]:
    """The learning rate at some steps: the ends, the end of the warm-up, and between them."""
    schedule, last = config.schedule, config.num_steps - 1
    steps = {0, schedule.warmup_steps, *(last * part // 4 for part in range(5))}
    steps |= set(getattr(schedule, "boundaries", ()))
    return [
        [step, config.optimiser.learning_rate * factor_at(step, schedule, config.num_steps)]
        for step in sorted(one for one in steps if one <= last)
    ]
