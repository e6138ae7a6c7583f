"""What is trained: the protocol between the loop and every model."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Task(Protocol):
    """A model, what it is trained to do, and how well it does it.

    The loop puts model and batches on the device, calls `losses` under autocast in train mode, and
    `evaluate` in evaluation mode without gradients, on the first worker alone.
    """

    @property
    def model(self) -> nn.Module:
        """What is trained; parameters that need no gradient stay as they are."""
        ...

    def losses(self, batch: Any) -> Iterator[Tensor]:
        """Losses (scalars, means over what the batch holds), whose gradients add up.

        Each is sent back through the model before the next one is asked for, so that the graph of
        one pass is gone before the next pass begins. Most tasks yield one.
        """
        ...

    def weight(self, batch: Any) -> float | Tensor:
        """How many things the losses are means over: clips, labelled boxes; 0 if there are none.

        By it the parts of an accumulated batch and the shares of several workers are weighed, so
        that together they give the mean over the whole batch. With 0 the losses must be finite.
        """
        ...

    def evaluate(self) -> Mapping[str, Any]:
        """Metrics by name, higher being better for those that may choose a checkpoint.

        What stands behind them may be said under `details`, as plain JSON: it is kept in the
        checkpoint, and not logged.
        """
        ...
