"""Several processes that train one model, each on its share of every batch.

Gradients are added up once for each step, after the last backward pass, rather than during it as
DistributedDataParallel does: a step may have several backward passes, and shares are weighed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Workers:
    """A process among those that train together."""

    rank: int = 0
    """0 writes checkpoints and logs."""
    count: int = 1
    """How many there are."""

    @classmethod
    def here(cls) -> "Workers":
        """As torch.distributed was set up; alone if it was not."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def add(self, values: Tensor) -> None:
        """Put the sum over all workers in the place of the values."""
        if self.count > 1:
            dist.all_reduce(values)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give each parameter the sum of its gradients over all workers.

        A parameter that has a gradient on no worker is left without.
        """
        if self.count == 1:
            return
        given = torch.tensor([float(one.grad is not None) for one in parameters])
        given = given.to(parameters[0].device)
        pieces = [_gradient(one).reshape(-1).float() for one in parameters]
        everything = torch.cat([given, *pieces])
        dist.all_reduce(everything)
        counts, *sums = torch.split(everything, [len(parameters), *map(len, pieces)])
        for parameter, count, total in zip(parameters, counts.tolist(), sums, strict=True):
            if count:
                parameter.grad = total.view_as(parameter).to(parameter.dtype)

    def take_from_first(self, model: nn.Module) -> None:
        """Give every worker the weights and buffers of the first."""
        if self.count == 1:
            return
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor, 0)

    def agree(self, step: int, device: torch.device) -> None:
        """Check that all workers begin at one step; ValueError if they see different runs."""
        steps = torch.zeros(self.count, dtype=torch.int64, device=device)
        steps[self.rank] = step
        self.add(steps)
        if len(set(steps.tolist())) > 1:
            raise ValueError(
                f"the workers see checkpoints of different steps ({steps.tolist()}); "
                "give a run folder that all of them share"
            )

    def wait(self, device: torch.device) -> None:
        """Until all workers have come here."""
        self.add(torch.zeros(1, device=device))


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
