"""Linear maps as the published operators begin, N(0, 0.01) or zero, or by the width of the input.

Source of the second: He et al., Delving Deep into Rectifiers, ICCV 2015: N(0, 2 / width). With
inputs of variance 1, four such maps make inner products that tell rows apart from the first step
on; with N(0, 0.01) all rows weigh the same until the maps have grown.
"""

from torch import nn

from reelbank.heads.feature_bank.config import Init

INITIAL_DEVIATION = 0.01


def linear(in_dim: int, out_dim: int, init: Init = "published", *, bias: bool = True) -> nn.Linear:
    """A linear map with weights from N(0, 0.01), or N(0, 2 / `in_dim`), and a bias of zero."""
    made = nn.Linear(in_dim, out_dim, bias=bias)
    deviation = INITIAL_DEVIATION if init == "published" else (2 / in_dim) ** 0.5
    nn.init.normal_(made.weight, std=deviation)
    if bias:
        nn.init.zeros_(made.bias)
    return made


def last_linear(in_dim: int, out_dim: int, init: Init) -> nn.Linear:
    """The last map before a shortcut; as published it begins as zero, so that nothing is added."""
    made = linear(in_dim, out_dim, init)
    if init == "published":
        nn.init.zeros_(made.weight)
    return made
