"""What a batch may be: tensors in tuples, named tuples, lists and dicts, beside plain values."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def map_tensors(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same batch with each tensor replaced; other values stay."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(value, function) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        values = [map_tensors(value, function) for value in batch]
        if hasattr(batch, "_fields"):  # A named tuple.
            return type(batch)(*values)
        return type(batch)(values)
    return batch


def named_values(batch: Any, path: str = "batch") -> Iterator[tuple[str, Any]]:
    """Each tensor and plain value with its place in the batch, such as `batch.rows`."""
    if isinstance(batch, Mapping):
        for key, value in batch.items():
            yield from named_values(value, f"{path}.{key}")
    elif isinstance(batch, tuple | list):
        names = getattr(batch, "_fields", range(len(batch)))
        for name, value in zip(names, batch, strict=True):
            yield from named_values(value, f"{path}.{name}")
    else:
        yield path, batch


def on_device(batches: Iterator[Any], device: torch.device) -> Iterator[Any]:
    """The batches on the device; on a GPU each is copied while the one before it is worked on."""
    if device.type != "cuda":
        yield from batches
        return
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: list[tuple[Any, torch.cuda.Event]] = []
    for batch in batches:
        with torch.cuda.stream(side):
            copied = map_tensors(batch, lambda one: one.to(device, non_blocking=True))
            ahead.append((copied, side.record_event()))
        if len(ahead) == 2:
            yield _handed_over(*ahead.pop(0), device)
    for copied, done in ahead:
        yield _handed_over(copied, done, device)


def _handed_over(batch: Any, done: torch.cuda.Event, device: torch.device) -> Any:
    """The batch once its copy is done, its memory held until the work on it is done too."""
    current = torch.cuda.current_stream(device)
    current.wait_event(done)

    def held(tensor: Tensor) -> Tensor:
        tensor.record_stream(current)
        return tensor

    return map_tensors(batch, held)
