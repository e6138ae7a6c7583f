"""Optimisers from their settings, with groups of parameters that decay and that do not.

The velocity of torch's SGD does not hold the learning rate: v = m v + g, w = w - lr v. In Caffe2's
form (v = m v + lr g, w = w - v) the velocity must be multiplied by new/old at each change of the
learning rate, the "momentum correction"; with it both forms take the same steps, so here there is
nothing left to correct.
"""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, Adam, AdamW, Optimizer

from reelbank.jobs.training.config import AdamConfig, OptimiserConfig, SGDConfig

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def make_optimiser(model: nn.Module, config: OptimiserConfig) -> Optimizer:
    """The optimiser over the model's parameters that need a gradient.

    Raises ValueError where none does.
    """
    groups = parameter_groups(model, config)
    if not groups:
        raise ValueError("the model has no parameter that is trained; unfreeze some of it")
    if isinstance(config, SGDConfig):
        return SGD(groups, config.learning_rate, momentum=config.momentum, nesterov=config.nesterov)
    kind = Adam if isinstance(config, AdamConfig) else AdamW
    return kind(groups, config.learning_rate, betas=config.betas, eps=config.epsilon)


def parameter_groups(model: nn.Module, config: OptimiserConfig) -> list[dict[str, object]]:
    """Parameters that decay, then those that do not; an empty group is left out."""
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            (decayed if _decays(module, name, config) else kept).append(parameter)
    groups = ((decayed, config.weight_decay), (kept, 0.0))
    return [{"params": some, "weight_decay": decay} for some, decay in groups if some]


def _decays(module: nn.Module, name: str, config: OptimiserConfig) -> bool:
    if isinstance(module, NORMS):
        return config.decay_norms
    # A layer of attention names the bias of its projection in_proj_bias.
    return config.decay_biases if name.endswith("bias") else True
