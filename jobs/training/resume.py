"""From a run to its checkpoint and back, and what must be the same for that."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reelbank.jobs.training.checkpoints import Checkpoint, load_checkpoint
from reelbank.jobs.training.optimiser_state import restore_state, state_tensors
from reelbank.jobs.training.update import Updater
from reelbank.jobs.training.weights import restore_weights


def taken(updater: Updater, step: int, facts: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of a run after `step` updates."""
    return Checkpoint(
        step=step,
        weights=updater.model.state_dict(),
        optimiser=state_tensors(updater.model, updater.optimiser),
        facts={**facts, "scaler": updater.scaler.state_dict()},
    )


def restore(path: Path, updater: Updater, bound: Mapping[str, Any]) -> int:
    """Put a checkpoint back; gives the number of steps that are done.

    `bound` must be what the run was begun with; else ValueError names the first difference.
    """
    checkpoint = load_checkpoint(path)
    for name, before, now in _differences(checkpoint.facts["bound"], bound):
        raise ValueError(
            f"{path}: the run was begun with {name}={before!r} and is now given {now!r}; "
            "give it the same again, or train in another folder"
        )
    restore_weights(updater.model, checkpoint.weights, path)
    restore_state(updater.model, updater.optimiser, checkpoint.optimiser)
    updater.scaler.load_state_dict(checkpoint.facts["scaler"])
    return checkpoint.step


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now
