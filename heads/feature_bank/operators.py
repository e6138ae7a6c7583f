"""Feature bank operators: what the window of a bank says to a clip.

Source: Wu, PhD thesis, section 7.1.3 and 7.1.4 (Long-Term Feature Banks, CVPR 2019, section 3):
FBO_NL -> NonLocalOperator, NL' -> NonLocalLayer, FBO_pool -> PoolingOperator; S_t -> queries,
L~_t -> rows, S_t^(k) -> queries after layer k. What the text leaves open follows the released
code: rows are reduced once for all layers, the norm has no weights, the output map of a layer
begins as zero, so that a new operator hands on the reduced clip.

Departures: padded slots are masked, and a window without rows adds nothing; `padding="counted"`
takes them for zero vectors, as the released code does. Clips that share a window share its
dropout. The reduction runs over the rows that exist and over no others. `init="he"` is ours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.heads.feature_bank.attention import Attention
from reelbank.heads.feature_bank.config import OperatorConfig
from reelbank.heads.feature_bank.input_norm import Standardised
from reelbank.heads.feature_bank.linear import last_linear, linear
from reelbank.heads.feature_bank.time_embedding import RelativeTimeEmbedding


class Operator(nn.Module):
    """Common to all: B windows, each with Q queries (clips or boxes) and W slots for rows."""

    def forward(
        self,
        queries: Tensor,
        rows: Tensor,
        mask: Tensor,
        times: Tensor | None = None,
        norm: Standardised | None = None,
    ) -> Tensor:
        """(B, Q, out) from queries (B, Q, d_s), rows (B, W, d_l), mask (B, W) bool, times (B, W).

        Slots where `mask` is false may hold anything, NaN too. `norm` standardises the rows first.
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
        self,
        queries: Tensor,
        rows: Tensor,
        mask: Tensor,
        times: Tensor | None = None,
        norm: Standardised | None = None,
    ) -> Tensor:
        """As `Operator.forward` says; `times` are needed where there is a time embedding."""
        queries = self.dropout(self.query_reduction(queries))
        rows = self._reduced(rows, mask, times, norm)
        for layer in self.layers:
            queries = layer(queries, rows, mask)
        return queries

    def _reduced(
        self, rows: Tensor, mask: Tensor, times: Tensor | None, norm: Standardised | None
    ) -> Tensor:
        """(B, W, inner_dim), zero where no row is; what lies there is not even read."""
        slots = mask.flatten().nonzero().squeeze(1)
        existing = rows.flatten(0, 1).index_select(0, slots)  # (number of rows, d_l)
        existing = existing.to(self.row_reduction.weight.dtype)
        if norm is not None:
            existing = norm(existing)
        reduced: Tensor = self.dropout(self.row_reduction(existing))
        if self.time_embedding is not None:
            if times is None:
                raise ValueError(
                    "times are missing and time_embedding='sinusoidal' needs them; give (N, W) "
                    "seconds relative to the clip's time"
                )
            embedded = self.time_embedding(times.flatten().index_select(0, slots))
            reduced = reduced + embedded.to(reduced.dtype)
        dim = reduced.shape[1]
        empty = reduced.new_zeros(mask.numel(), dim)
        return empty.index_copy(0, slots, reduced).view(*mask.shape, dim)


class PoolingOperator(Operator):
    """FBO-Avg and FBO-Max: one vector for the window, whatever the clip; zeros without rows."""

    def __init__(self, config: OperatorConfig) -> None:
        super().__init__()
        self.is_max = config.kind == "max"

    def forward(
        self,
        queries: Tensor,
        rows: Tensor,
        mask: Tensor,
        times: Tensor | None = None,
        norm: Standardised | None = None,
    ) -> Tensor:
        """As `Operator.forward` says; the output is a view of one vector for each window."""
        if norm is not None:
            rows = norm.of_existing(rows, mask)
        rows, exists = rows.to(queries.dtype), mask[:, :, None]
        if self.is_max:
            largest = rows.masked_fill(~exists, -torch.inf).amax(dim=1)
            pooled = largest.masked_fill(~mask.any(dim=1, keepdim=True), 0)
        else:
            pooled = rows.masked_fill(~exists, 0).sum(dim=1) / exists.sum(dim=1).clamp(min=1)
        return pooled[:, None].expand(-1, queries.shape[1], -1)


def make_operator(query_dim: int, row_dim: int, config: OperatorConfig) -> Operator:
    """The operator that `config` names, new."""
    if config.kind == "non_local":
        return NonLocalOperator(query_dim, row_dim, config)
    return PoolingOperator(config)
