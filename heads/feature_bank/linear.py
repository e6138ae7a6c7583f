"""Linear maps as the published operators begin: N(0, 0.01) or zero, biases zero."""

from torch import nn

INITIAL_DEVIATION = 0.01


def linear(in_dim: int, out_dim: int, *, deviation: float = INITIAL_DEVIATION) -> nn.Linear:
    """A linear map with weights from N(0, `deviation`) and a bias of zero."""
    made = nn.Linear(in_dim, out_dim)
    nn.init.normal_(made.weight, std=deviation)
    nn.init.zeros_(made.bias)
    return made


def zero_linear(in_dim: int, out_dim: int) -> nn.Linear:
    """A linear map that begins as zero, so that what it feeds begins as a bare shortcut."""
    made = nn.Linear(in_dim, out_dim)
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)
    return made
