"""One update of the weights: passes forward and back, gradients of all workers, the optimiser."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from reelbank.jobs.training.config import TrainingConfig
from reelbank.jobs.training.non_finite import Breakdown, stop
from reelbank.jobs.training.optimisers import make_optimiser
from reelbank.jobs.training.schedules import factor_at
from reelbank.jobs.training.task import Task
from reelbank.jobs.training.workers import Workers

LOWEST_SCALE = 2.0**-10
"""Where float16 overflows even so, it is no longer the scale that is at fault."""


@dataclass(frozen=True, slots=True)
class Update:
    """How an update went."""

    loss: float
    """Mean over the batch of all workers; several losses of a task are added up."""
    gradient_norm: float
    """2-norm over all parameters, before it was shortened."""
    learning_rate: float
    """That of this step."""
    is_skipped: bool
    """Whether float16 overflowed, so that the scale was lowered and the weights stay."""


class Updater:
    """The model, its optimiser, and the way from a batch to new weights."""

    def __init__(self, task: Task, config: TrainingConfig, workers: Workers) -> None:
        self._task, self._config, self._workers = task, config, workers
        self.device = torch.device(config.device)
        self.model: nn.Module = task.model.to(self.device)
        self.optimiser = make_optimiser(self.model, config.optimiser)
        self.scaler = GradScaler(self.device.type, enabled=config.precision == "float16")
        self._parameters = [p for group in self.optimiser.param_groups for p in group["params"]]

    def update(self, step: int, parts: Iterator[Any], *, num_samples: int, run: Path) -> Update:
        """Do step number `step` with this worker's parts of a batch of `num_samples`.

        Raises NonFiniteError, the weights being as they were, where loss or gradient is not finite.
        """
        rate = self._set_rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        seen, loss = self._passes(parts, num_samples)
        norm = self._gradient_norm()
        loss_value, norm_value = torch.stack([loss.double(), norm.double()]).tolist()
        overflows = not math.isfinite(norm_value)
        if not math.isfinite(loss_value) or (overflows and not self._may_overflow()):
            found = Breakdown(step, loss_value, norm_value, rate)
            raise stop(found, seen, self.model, run=run, rank=self._workers.rank)
        if self._config.clip_norm is not None and not overflows:
            clip_grads_with_norm_(self._parameters, self._config.clip_norm, norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return Update(loss_value, norm_value, rate, is_skipped=overflows)

    def _set_rate(self, step: int) -> float:
        config = self._config
        rate = config.optimiser.learning_rate * factor_at(step, config.schedule, config.num_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _passes(self, parts: Iterator[Any], num_samples: int) -> tuple[list[Any], Tensor]:
        """Leave the gradient of the mean over the whole batch; give the parts and the mean loss."""
        seen = []
        loss_sum = torch.zeros((), device=self.device)
        weight_sum: float | Tensor = 0.0
        for batch in parts:
            seen.append(batch)
            # Shares of the number of samples, so that float16 sees numbers of the usual size.
            share = self._task.weight(batch) / num_samples
            weight_sum = weight_sum + share
            for loss in self._losses(batch):
                torch.autograd.backward(self.scaler.scale(loss * share))
                loss_sum = loss_sum + loss.detach().float() * share
        self._workers.add_gradients(self._parameters)
        return seen, self._reweighed(loss_sum, weight_sum)

    def _losses(self, batch: Any) -> Iterator[Tensor]:
        """The task's losses, each made under autocast and used outside it."""
        losses = self._task.losses(batch)
        while True:
            with autocast(self._config):
                loss = next(losses, None)
            if loss is None:
                return
            yield loss

    def _reweighed(self, loss_sum: Tensor, weight_sum: float | Tensor) -> Tensor:
        """Divide loss and gradients by the weight of all parts, where that is not one."""
        if weight_sum == 1.0 and self._workers.count == 1 and isinstance(weight_sum, float):
            return loss_sum
        both = torch.stack([loss_sum, torch.as_tensor(weight_sum, device=self.device).float()])
        self._workers.add(both)
        factor = torch.where(both[1] > 0, 1 / both[1], 0.0)
        for gradient in self._gradients():
            gradient.mul_(factor)
        return both[0] * factor

    def _gradient_norm(self) -> Tensor:
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimiser)
        return get_total_norm(self._gradients()).to(self.device)

    def _gradients(self) -> list[Tensor]:
        return [one.grad for one in self._parameters if one.grad is not None]

    def _may_overflow(self) -> bool:
        return self.scaler.is_enabled() and self.scaler.get_scale() > LOWEST_SCALE


def autocast(config: TrainingConfig) -> torch.autocast:
    """The arithmetic of forward passes."""
    precision = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
    dtype = precision[config.precision]
    kind = torch.device(config.device).type
    return torch.autocast(kind, dtype=dtype, enabled=dtype is not None)
