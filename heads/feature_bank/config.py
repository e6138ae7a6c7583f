"""What can be known of a feature bank head without torch: its choices, widths and their checks.

Source: Wu, PhD thesis, chapter 7 (Long-Term Feature Banks, CVPR 2019): the four models of Table
7.2a are `bank="none"` (3D CNN), `bank="short_term"` (STO) and `bank="long_term"` (LFB, causal or
batch by the window that it is given). The defaults are those of its experiments on AVA.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

OperatorKind = Literal["non_local", "average", "max"]
Affinity = Literal["embedded_gaussian", "dot_product", "concatenation"]
Order = Literal["pre_activation", "post_activation"]
Padding = Literal["masked", "counted"]
TimeEmbedding = Literal["none", "sinusoidal"]
Bank = Literal["long_term", "short_term", "none"]
Loss = Literal["sigmoid", "softmax"]
Init = Literal["published", "he"]
InputNorm = Literal["none", "batch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorConfig:
    """How a clip and the rows of its bank are brought together (FBO)."""

    kind: OperatorKind = "non_local"
    """`non_local`: the clip attends to the rows; `average`, `max`: the rows are pooled."""
    padding: Padding = "masked"
    """`masked`: padded slots do not exist; `counted`: they are zero vectors that take part in the
    softmax, the mean and the maximum, as in the released code: windows then have one length for all
    batches, since it changes the result."""
    num_layers: int = 2
    """Non-local layers, one after the other; all attend to the same rows. This field and those
    below it are for `non_local`."""
    inner_dim: int = 512
    """Width to which clip and rows are reduced first; also that of the output."""
    affinity: Affinity = "embedded_gaussian"
    """How a clip and a row become a weight: softmax of inner products, inner products, or a
    rectified linear form of both side by side; the last two are divided by the number of rows."""
    is_scaled: bool = True
    """Inner products are divided by the root of `inner_dim`; `concatenation` has none."""
    has_layer_norm: bool = True
    """Layers hold a layer norm (without weights)."""
    order: Order = "pre_activation"
    """What follows the weighted sum: norm, ReLU, linear, dropout, shortcut (`pre_activation`, AVA
    and EPIC), or linear, norm, dropout, shortcut, ReLU (`post_activation`, Charades)."""
    dropout: float = 0.2
    """Probability on the reduced clip, the reduced rows and what each layer adds; 0: none."""
    init: Init = "published"
    """How maps begin: `published`: from N(0, 0.01), the last of each layer as zero; `he`: all
    from N(0, 2 / width of their input), beyond the thesis: see `linear.py`."""
    time_embedding: TimeEmbedding = "none"
    """`sinusoidal` adds to each reduced row a linear map of sines and cosines of its time relative
    to the clip's: beyond the thesis, whose operators do not know the order of rows."""

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, OperatorKind)
        _check_choice("padding", self.padding, Padding)
        _check_choice("affinity", self.affinity, Affinity)
        _check_choice("order", self.order, Order)
        _check_choice("init", self.init, Init)
        _check_choice("time_embedding", self.time_embedding, TimeEmbedding)
        _check_positive("num_layers", self.num_layers)
        _check_positive("inner_dim", self.inner_dim)
        _check_probability("dropout", self.dropout)
        if self.time_embedding != "none" and self.kind != "non_local":
            raise ValueError(
                f"time_embedding={self.time_embedding!r} needs kind='non_local', and kind is "
                f"{self.kind!r}; change one of them"
            )
        if self.time_embedding != "none" and self.padding == "counted":
            raise ValueError(
                f"time_embedding={self.time_embedding!r} needs padding='masked', since padded "
                "slots have no time; change one of them"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureBankHeadConfig:
    """A whole head: what it reads, how it reads it, and its classifier."""

    short_term_dim: int
    """Width of the clip's own features (S)."""
    num_classes: int
    """Width of the logits."""
    bank: Bank = "long_term"
    """What the operator reads: `long_term` a window of a bank, `short_term` the clip's own features
    (STO), `none` nothing: the classifier alone, which is the 3D CNN's."""
    long_term_dim: int | None = None
    """Width of the bank's rows (L); None: that of the clip."""
    operator: OperatorConfig = field(default_factory=OperatorConfig)
    """Without effect where `bank` is `none`."""
    input_norm: InputNorm = "none"
    """`batch`: each channel of clips, and of rows, is brought to mean 0 and variance 1 over the
    training data, beyond the thesis: see `input_norm.py`."""
    classifier_dropout: float = 0.3
    """Probability on what the classifier sees."""
    loss: Loss = "sigmoid"
    """`sigmoid`: several labels for each clip or box; `softmax`: exactly one."""

    def __post_init__(self) -> None:
        _check_choice("bank", self.bank, Bank)
        _check_choice("loss", self.loss, Loss)
        _check_choice("input_norm", self.input_norm, InputNorm)
        _check_positive("short_term_dim", self.short_term_dim)
        _check_positive("num_classes", self.num_classes)
        _check_positive("long_term_dim", self.bank_dim)
        _check_probability("classifier_dropout", self.classifier_dropout)
        if self.bank == "short_term" and self.bank_dim != self.short_term_dim:
            raise ValueError(
                f"long_term_dim={self.long_term_dim} differs from short_term_dim="
                f"{self.short_term_dim}, and bank='short_term' reads the clip's own features; "
                "leave long_term_dim out"
            )
        if self.input_norm == "batch" and self.operator.padding == "counted":
            raise ValueError(
                "input_norm='batch' needs padding='masked': zeros in the padding are no features "
                "to take statistics of; change one of them"
            )
        if self.bank == "short_term" and self.operator.padding == "counted":
            raise ValueError(
                "padding='counted' needs bank='long_term': how many boxes share a clip is no fixed "
                "number of slots; change one of them"
            )
        if self.bank == "short_term" and self.operator.time_embedding != "none":
            raise ValueError(
                f"time_embedding={self.operator.time_embedding!r} needs bank='long_term': the "
                "clip's own features have no times; change one of them"
            )

    @property
    def bank_dim(self) -> int:
        """Width of the rows that the operator reads."""
        return self.short_term_dim if self.long_term_dim is None else self.long_term_dim

    @property
    def classifier_dim(self) -> int:
        """Width of what the classifier sees: the clip, then the operator's output."""
        if self.bank == "none":
            return self.short_term_dim
        is_non_local = self.operator.kind == "non_local"
        return self.short_term_dim + (self.operator.inner_dim if is_non_local else self.bank_dim)


def _check_choice(name: str, value: str, choices: Any) -> None:
    known = get_args(choices)
    if value not in known:
        raise ValueError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}={value} is below 1; use 1 or more")


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value} is no dropout probability; use 0 to below 1")
