"""The end of a training whose loss or gradient is not finite: what it had before it, kept.

    RUN/stopped-00000120/batch-0.safetensors   the tensors of the batch, one file for each worker
                         batch-0.json          its other values, step, loss, what was not finite

Several parts of an accumulated batch are `batch.0…`, `batch.1…`. The weights are those of before
the step, in weights-0.safetensors, so that the pass can be repeated.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reelbank.jobs.training.batches import named_values
from reelbank.jobs.training.checkpoints import plain


class NonFiniteError(ValueError):
    """The loss or the gradient is not finite; says where the batch lies."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A step that may not be taken."""

    step: int
    """Steps that were done before it."""
    loss: float
    """Over all workers."""
    gradient_norm: float
    """Over all parameters."""
    learning_rate: float
    """That of the step."""


def stop(
    breakdown: Breakdown, parts: Sequence[Any], model: nn.Module, *, run: Path, rank: int
) -> NonFiniteError:
    """Save what this worker had, and give the error to raise."""
    folder = run / f"stopped-{breakdown.step:08}"
    folder.mkdir(parents=True, exist_ok=True)
    values = dict(named_values(parts[0] if len(parts) == 1 else list(parts)))
    tensors = {name: one for name, one in values.items() if isinstance(one, Tensor)}
    _save(tensors, folder / f"batch-{rank}.safetensors")
    _save(dict(model.state_dict()), folder / f"weights-{rank}.safetensors")
    facts = {
        "step": breakdown.step,
        "loss": repr(breakdown.loss),
        "gradient_norm": repr(breakdown.gradient_norm),
        "learning_rate": breakdown.learning_rate,
        "not_finite": {"batch": _names(tensors), "gradients": _names(_gradients(model))},
        "values": {name: one for name, one in values.items() if name not in tensors},
    }
    text = json.dumps(plain(facts), indent=1, default=repr)
    (folder / f"batch-{rank}.json").write_text(text, "utf-8")
    return NonFiniteError(_sentence(breakdown, _names(tensors), folder))


def _sentence(breakdown: Breakdown, inputs: Sequence[str], folder: Path) -> str:
    if inputs:
        remedy = f"{inputs[0]} itself is not finite; correct the data"
    else:
        remedy = "lower optimiser.learning_rate, lengthen the warm-up or set clip_norm"
    return (
        f"training stopped at step {breakdown.step}: the loss is {breakdown.loss:g} and the "
        f"gradient's norm {breakdown.gradient_norm:g} (learning rate {breakdown.learning_rate:g}); "
        f"the batch lies in {folder}; {remedy}"
    )


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def _names(tensors: dict[str, Tensor]) -> list[str]:
    return [name for name, one in tensors.items() if not bool(torch.isfinite(one).all())]


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    # Cloned: parts of a batch may share memory, which the format does not know.
    save_file(
        {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}, path
    )
