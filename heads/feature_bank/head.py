"""Heads on clip features: with a long-term feature bank, with the clip's own, or with none.

Source: Wu, PhD thesis, section 7.1, figure 7.3 (Long-Term Feature Banks, CVPR 2019): the output of
FBO(S, L~) beside S, dropout, a linear classifier. S -> short_term, L~ -> long_term, STO(S) =
FBO_NL(S, S) -> bank="short_term". Causal or batch is a matter of the window alone.

Departures: those of operators.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reelbank.heads.feature_bank.config import FeatureBankHeadConfig
from reelbank.heads.feature_bank.input_norm import Standardised
from reelbank.heads.feature_bank.linear import linear
from reelbank.heads.feature_bank.operators import make_operator
from reelbank.heads.feature_bank.places import Places, one_each, shared, where


class Classifier(nn.Module):
    """Dropout and a linear map."""

    def __init__(self, in_dim: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = linear(in_dim, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, num_classes) from features (N, in_dim)."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits


class ShortTermHead(nn.Module):
    """The head of a 3D CNN: the classifier on the clip's own features."""

    def __init__(self, config: FeatureBankHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.short_term_norm = input_norm(config.short_term_dim, config)
        self.classifier = Classifier(
            config.classifier_dim, config.num_classes, dropout=config.classifier_dropout
        )

    def forward(
        self,
        short_term: Tensor,
        long_term: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        times: Tensor | None = None,
        window_of: Tensor | None = None,
    ) -> Tensor:
        """Logits (N, num_classes) from short_term (N, d_s); the rest is its sibling's."""
        _check_short_term(short_term, self.config)
        short_term = short_term.to(self.classifier.linear.weight.dtype)
        logits: Tensor = self.classifier(self.short_term_norm(short_term))
        return logits


class FeatureBankHead(nn.Module):
    """Operator and classifier. Rows may be float16: they are cast to the parameters' type."""

    def __init__(self, config: FeatureBankHeadConfig) -> None:
        super().__init__()
        if config.bank == "none":
            raise ValueError("bank='none' has no operator; use ShortTermHead or make_head")
        self.config = config
        self.short_term_norm = input_norm(config.short_term_dim, config)
        self.long_term_norm = input_norm(config.bank_dim, config)
        self.operator = make_operator(config.short_term_dim, config.bank_dim, config.operator)
        self.classifier = Classifier(
            config.classifier_dim, config.num_classes, dropout=config.classifier_dropout
        )

    def forward(
        self,
        short_term: Tensor,
        long_term: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        times: Tensor | None = None,
        window_of: Tensor | None = None,
    ) -> Tensor:
        """Logits (N, num_classes) of N clips or boxes, short_term (N, d_s).

        `long_term` (B, W, d_l): the rows of B windows, and `mask` (B, W) bool: which slots hold
        one (None: all). Other slots may hold anything. `window_of` (N,) int64: the window of each
        box, in any order; without it B is N. `times` (B, W): seconds of each row relative to the
        clip, negative before it; read by a time embedding alone.

        With bank="short_term", `long_term` may be left out: the bank of a box is then all boxes of
        the same `window_of`, itself among them. Or it holds other features of the clip, such as
        those of each moment, as the thesis has it on EPIC-Kitchens.
        """
        _check_short_term(short_term, self.config)
        dtype = self.classifier.linear.weight.dtype
        short_term = self.short_term_norm(short_term.to(dtype))
        if long_term is None and self.config.bank == "long_term":
            raise ValueError("long_term is missing and bank='long_term' reads it; give (N, W, d_l)")
        num_windows = None if long_term is None else len(long_term)
        places = _places(short_term, window_of, num_windows)
        if long_term is None:
            rows, slots, times = short_term, places, None
        else:
            _check_window(long_term, mask, times, self.config)
            long_term, slots, times = _slots(long_term, mask, times)
            rows = self.long_term_norm(slots.collect(long_term).to(dtype))
        if self.config.operator.padding == "counted":
            rows, slots = slots.lay_out(rows).flatten(0, 1), where(torch.ones_like(slots.is_taken))
        times = None if times is None else slots.collect(times)
        seen = places.collect(self.operator(places.lay_out(short_term), rows, slots, times))
        logits: Tensor = self.classifier(torch.cat([short_term, seen.to(short_term.dtype)], dim=1))
        return logits


def input_norm(dim: int, config: FeatureBankHeadConfig) -> nn.Module:
    """What features of a clip, or rows, go through first."""
    return Standardised(dim) if config.input_norm == "batch" else nn.Identity()


def make_head(config: FeatureBankHeadConfig) -> FeatureBankHead | ShortTermHead:
    """The head that `config` describes, new: 3D CNN, STO or LFB."""
    return ShortTermHead(config) if config.bank == "none" else FeatureBankHead(config)


def _slots(
    long_term: Tensor, mask: Tensor | None, times: Tensor | None
) -> tuple[Tensor, Places, Tensor | None]:
    """Windows of at least one slot, where their rows are, and the times of all slots."""
    if mask is None:
        mask = torch.ones(long_term.shape[:2], dtype=torch.bool, device=long_term.device)
    if mask.shape[1] == 0:
        long_term, mask = F.pad(long_term, (0, 0, 0, 1)), F.pad(mask, (0, 1))
        times = None if times is None else F.pad(times, (0, 1))
    return long_term, where(mask), times


def _places(short_term: Tensor, window_of: Tensor | None, num_windows: int | None) -> Places:
    if window_of is not None:
        if window_of.shape != short_term.shape[:1] or window_of.dtype != torch.int64:
            raise ValueError(
                f"window_of is {tuple(window_of.shape)} {window_of.dtype}; give one int64 for each "
                f"of the {len(short_term)} rows of short_term"
            )
        return shared(window_of, num_windows)
    if num_windows not in (None, len(short_term)):
        raise ValueError(
            f"there are {num_windows} windows for {len(short_term)} rows of short_term; give one "
            "for each, or say by window_of which belongs to which"
        )
    return one_each(len(short_term), short_term.device)


def _check_short_term(short_term: Tensor, config: FeatureBankHeadConfig) -> None:
    if short_term.dim() != 2 or short_term.shape[1] != config.short_term_dim:
        raise ValueError(
            f"short_term is {tuple(short_term.shape)}; (N, {config.short_term_dim}) was expected: "
            "set short_term_dim to the width of the clip's features"
        )


def _check_window(
    rows: Tensor, mask: Tensor | None, times: Tensor | None, config: FeatureBankHeadConfig
) -> None:
    if rows.dim() != 3 or rows.shape[2] != config.bank_dim:
        raise ValueError(
            f"long_term is {tuple(rows.shape)}; (B, W, {config.bank_dim}) was expected: "
            "set long_term_dim to the width of the bank's rows"
        )
    if mask is not None and (mask.shape != rows.shape[:2] or mask.dtype != torch.bool):
        raise ValueError(
            f"mask is {tuple(mask.shape)} {mask.dtype}; give {tuple(rows.shape[:2])} torch.bool, "
            "true where long_term holds a row"
        )
    if times is not None and times.shape != rows.shape[:2]:
        raise ValueError(
            f"times is {tuple(times.shape)}; give {tuple(rows.shape[:2])}, a time for each row"
        )
