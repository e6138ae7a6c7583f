"""Clips attend to rows: the three forms of the non-local operation, with few queries and many rows.

Source: Wang et al., Non-local Neural Networks, CVPR 2018, section 3.2 (embedded Gaussian, dot
product, concatenation), in the use that Wu's thesis, section 7.1.4, makes of it.
x_i -> queries, x_j -> rows, theta -> query, phi -> key, g -> value, w_f -> joint, C(x) -> the sum
over the row weights (softmax) or the number of rows, f -> affinity.

Departures: padding is masked. The maps of the rows are applied on the side of the queries: theta
(x_i) . (W_phi x_j + b_phi) = (W_phi^T theta(x_i)) . x_j + theta(x_i) . b_phi, and the weighted sum
of g(x_j) is g of the weighted sum. That is the same function and the same parameters, to rounding,
and saves two maps of every row in every layer: half of the multiply-adds of a clip with a window
of 300 rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.heads.feature_bank.config import OperatorConfig
from reelbank.heads.feature_bank.linear import linear


class Attention(nn.Module):
    """(B, Q, inner_dim) queries and (B, W, inner_dim) rows in, (B, Q, inner_dim) out."""

    def __init__(self, config: OperatorConfig) -> None:
        super().__init__()
        dim = config.inner_dim
        self.query, self.key, self.value = (linear(dim, dim, config.init) for _ in range(3))
        self.is_softmax = config.affinity == "embedded_gaussian"
        self.scale = dim**-0.5 if config.is_scaled else 1.0
        self.joint: nn.Linear | None = None
        if config.affinity == "concatenation":
            self.joint = linear(2 * dim, 1, config.init, bias=False)

    def forward(self, queries: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
        """What each query sees. `mask` (B, W): which rows exist; the others must be finite."""
        weights = self.weights(queries, rows, mask)
        seen = weights @ rows  # (B, Q, W) @ (B, W, dim) -> (B, Q, dim)
        return F.linear(seen, self.value.weight) + weights.sum(-1, keepdim=True) * self.value.bias

    def weights(self, queries: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, W), zero where no row is; without any row they are finite and mean nothing."""
        exists = mask[:, None]
        affinity = self._affinity(queries, rows)
        if self.is_softmax:
            lowest = torch.finfo(affinity.dtype).min
            return F.softmax(affinity.masked_fill(~exists, lowest), dim=-1)
        return affinity.masked_fill(~exists, 0) / exists.sum(-1, keepdim=True).clamp(min=1)

    def _affinity(self, queries: Tensor, rows: Tensor) -> Tensor:
        query: Tensor = self.query(queries)
        if self.joint is not None:
            for_query, for_key = self.joint.weight[0].chunk(2)
            of_key = rows @ (for_key @ self.key.weight) + for_key @ self.key.bias  # (B, W)
            return F.relu((query @ for_query)[:, :, None] + of_key[:, None])
        query = query * self.scale
        # Under a softmax the key's bias cancels; it stays, so that each parameter has a gradient.
        of_bias: Tensor = (query @ self.key.bias)[:, :, None]  # (B, Q, 1)
        return of_bias + (query @ self.key.weight) @ rows.transpose(1, 2)  # (B, Q, W)
