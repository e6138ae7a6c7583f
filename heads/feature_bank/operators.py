"""Feature bank operators: what the window of a bank says to a clip.

Source: Wu, PhD thesis, section 7.1.3 and 7.1.4 (Long-Term Feature Banks, CVPR 2019, section 3):
FBO_NL -> NonLocalOperator, NL' -> NonLocalLayer, FBO_pool -> PoolingOperator; S_t -> queries,
L~_t -> rows, S_t^(k) -> queries after layer k. What the text leaves open follows the released
code: rows are reduced once for all layers, the norm has no weights, the output map of a layer
begins as zero, so that a new operator hands on the reduced clip.

Departures: padded slots are masked, and a window without rows adds nothing; `padding="counted"`
takes them for zero vectors, as the released code does. Clips that share a window share its
dropout. The reduction runs over the rows that exist and over no others. `init="he"` is ours.

Rows come one after the other, those that exist and no others, with their places in the windows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.heads.feature_bank.attention import Attention
from reelbank.heads.feature_bank.config import OperatorConfig
from reelbank.heads.feature_bank.linear import last_linear, linear
from reelbank.heads.feature_bank.places import Places
from reelbank.heads.feature_bank.time_embedding import RelativeTimeEmbedding


class Operator(nn.Module):
    """Common to all: B windows, each with Q queries (clips or boxes) and W slots for rows."""

    def forward(
        self, queries: Tensor, rows: Tensor, places: Places, times: Tensor | None = None
    ) -> Tensor:
        """(B, Q, out) from queries (B, Q, d_s) and n rows (n, d_l) at `places` among (B, W) slots.

        `times` (n,) are seconds relative to the clip, read by a time embedding alone.
        """
        raise NotImplementedError


class NonLocalLayer(nn.Module):
    """One layer: queries plus what they see."""

    def __init__(self, config: OperatorConfig) -> None:
        super().__init__()
        dim = config.inner_dim
        self.attention = Attention(config)
        self.norm = (
            nn.LayerNorm(dim, elementwise_affine=False) if config.has_layer_norm else nn.Identity()
        )
        self.out = last_linear(dim, dim, config.init)
        self.dropout = nn.Dropout(config.dropout)
        self.is_pre_activation = config.order == "pre_activation"

    def forward(self, queries: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, dim) from queries (B, Q, dim), rows (B, W, dim) and mask (B, W)."""
        seen: Tensor = self.attention(queries, rows, mask)
        is_empty = ~mask.any(dim=1)[:, None, None]
        if self.is_pre_activation:
            added: Tensor = self.dropout(self.out(F.relu(self.norm(seen))))
            return queries + added.masked_fill(is_empty, 0)
        added = self.dropout(self.norm(self.out(seen)))
        return F.relu(queries + added.masked_fill(is_empty, 0))


class NonLocalOperator(Operator):
    """FBO-NL: clip and rows reduced to `inner_dim`, then layers of attention."""

    def __init__(self, query_dim: int, row_dim: int, config: OperatorConfig) -> None:
        super().__init__()
        self.query_reduction = linear(query_dim, config.inner_dim, config.init)
        self.row_reduction = linear(row_dim, config.inner_dim, config.init)
        self.time_embedding = (
            RelativeTimeEmbedding(config.inner_dim) if config.time_embedding != "none" else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(NonLocalLayer(config) for _ in range(config.num_layers))

    def forward(
        self, queries: Tensor, rows: Tensor, places: Places, times: Tensor | None = None
    ) -> Tensor:
        """As `Operator.forward` says; `times` are needed where there is a time embedding."""
        queries = self.dropout(self.query_reduction(queries))
        reduced = places.lay_out(self._reduced(rows, times))
        for layer in self.layers:
            queries = layer(queries, reduced, places.is_taken)
        return queries

    def _reduced(self, rows: Tensor, times: Tensor | None) -> Tensor:
        """(n, inner_dim)."""
        reduced: Tensor = self.dropout(self.row_reduction(rows))
        if self.time_embedding is not None:
            if times is None:
                raise ValueError(
                    "times are missing and time_embedding='sinusoidal' needs them; give (N, W) "
                    "seconds relative to the clip's time"
                )
            reduced = reduced + self.time_embedding(times).to(reduced.dtype)
        return reduced


class PoolingOperator(Operator):
    """FBO-Avg and FBO-Max: one vector for the window, whatever the clip; zeros without rows."""

    def __init__(self, config: OperatorConfig) -> None:
        super().__init__()
        self.is_max = config.kind == "max"

    def forward(
        self, queries: Tensor, rows: Tensor, places: Places, times: Tensor | None = None
    ) -> Tensor:
        """As `Operator.forward` says; the output is a view of one vector for each window."""
        counts = places.is_taken.sum(dim=1, keepdim=True)  # (B, 1)
        if self.is_max:
            largest = places.lay_out(rows, empty=-torch.inf).amax(dim=1)
            pooled = largest.masked_fill(counts == 0, 0)
        else:
            pooled = places.lay_out(rows).sum(dim=1) / counts.clamp(min=1)
        return pooled[:, None].expand(-1, queries.shape[1], -1)


def make_operator(query_dim: int, row_dim: int, config: OperatorConfig) -> Operator:
    """The operator that `config` names, new."""
    if config.kind == "non_local":
        return NonLocalOperator(query_dim, row_dim, config)
    return PoolingOperator(config)
