"""The optimiser's tensors by the name of their parameter, and back."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import Optimizer


def state_tensors(model: nn.Module, optimiser: Optimizer) -> dict[str, Tensor]:
    """What the optimiser holds for each parameter, as PARAMETER:WHAT."""
    return {
        f"{name}:{what}": value
        for name, parameter in model.named_parameters()
        for what, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_state(model: nn.Module, optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors back; the settings of the optimiser stay those that it was made with."""
    held: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parameter_name, _, what = name.rpartition(":")
        held.setdefault(parameter_name, {})[what] = value
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    ordered = [names[id(one)] for group in optimiser.param_groups for one in group["params"]]
    state = {place: held[name] for place, name in enumerate(ordered) if name in held}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
