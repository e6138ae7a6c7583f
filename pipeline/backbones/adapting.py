"""State dicts that say less than a 3D network asks for: norms without statistics, 2D kernels.

Source: Wu, PhD thesis, section 7.1.4, and its released code: frozen batch norms are kept as scale
and bias; weights of a network on pictures are inflated (Carreira and Zisserman, CVPR 2017).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

NORM_EPSILON = 1e-5
"""Of every norm of the family; it is added to the variance."""


def with_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Caffe2 state in which norms that hold scale and bias alone have statistics to match.

    Mean 0 and a variance that is 1 with epsilon. A state with statistics is given back as it is:
    where only some norms have them, something is missing.
    """
    if any(name.endswith("_bn_riv") for name in state):
        return dict(state)
    completed = dict(state)
    for name, scale in state.items():
        if name.endswith("_bn_s"):
            norm = name.removesuffix("_s")
            completed[f"{norm}_rm"] = torch.zeros_like(scale)
            completed[f"{norm}_riv"] = torch.full_like(scale, 1 - NORM_EPSILON)
    return completed


def inflated(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A 2D state under our names as one for a network with tensors like `own`; others as they are.

    A kernel is repeated over time and divided by its length in time, so that a still clip gives
    what the picture gave. Non-local blocks, which no 2D state has, are those of `own` with a norm
    of scale 0: identities.
    """
    flat = [
        name for name in state if name in own and (state[name].dim(), own[name].dim()) == (4, 5)
    ]
    if not flat:
        return dict(state)
    grown = {
        name: torch.zeros_like(one) if name.endswith(".norm.weight") else one
        for name, one in own.items()
        if ".non_local." in name
    } | dict(state)
    for name in flat:
        length = own[name].shape[2]
        grown[name] = state[name].unsqueeze(2).expand(-1, -1, length, -1, -1) / length
    return grown
