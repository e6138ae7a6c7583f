"""Features brought to mean 0 and variance 1 in each channel: an option beyond the thesis.

Rows of a rectified network have a large mean in common. The mean over a window, which is what an
operator hands on before it has learned where to look, is then almost the same for all windows, and
what sets them apart is lost beside it. Networks that are fine-tuned with their head can shift their
features; rows of a bank stay as they are.

Batch normalisation without weights: statistics of the batch in training, running ones in testing.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Standardised(nn.BatchNorm1d):
    """(n, dim) rows in, of which a batch may hold few or none; standardised rows out."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, affine=False)

    def forward(self, rows: Tensor) -> Tensor:
        """A single row has no deviation, so that it is held against those that came before."""
        if len(rows) > 1:
            standardised: Tensor = super().forward(rows)
        else:
            standardised = F.batch_norm(rows, self.running_mean, self.running_var, eps=self.eps)
        return standardised
