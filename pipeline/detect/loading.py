"""Weights into a detector's network; what does not fit is named."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from reelbank.pipeline.backbones.checkpoints import shortened

TRAINING_COUNTER = "num_batches_tracked"


def fill_model(
    model: nn.Module, state: Mapping[str, Tensor], *, path: Path, ignored: tuple[str, ...] = ()
) -> None:
    """Give `model` all its tensors from `state`; `ignored` prefixes may be more or fewer.

    Batch normalisation's counters of training steps, which inference never reads, may be absent.
    """
    own = model.state_dict()
    expected = {name for name in own if not _is_optional(name, ignored)}
    given = {name for name in state if not _is_optional(name, ignored)}
    mis_shaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(expected & given)
        if state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {fault}: {shortened(names)}"
        for fault, names in (
            ("missing", sorted(expected - given)),
            ("unexpected", sorted(given - expected)),
            ("mis-shaped", mis_shaped),
        )
        if names
    ]
    if faults:
        raise ValueError(
            f"weights file {path} does not fit this detector ({'; '.join(faults)}); choose the "
            "model that the file was made for"
        )
    model.load_state_dict({name: state[name] for name in expected}, strict=False)


def _is_optional(name: str, ignored: tuple[str, ...]) -> bool:
    return name.endswith(TRAINING_COUNTER) or name.startswith(ignored)
