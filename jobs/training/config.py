"""Settings of a training run; imports nothing heavy, so that a driver can check a recipe."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator


@dataclass(frozen=True, kw_only=True, slots=True)
class _Optimiser:
    """What every optimiser has."""

    learning_rate: float
    """The peak; a schedule multiplies it."""
    weight_decay: float = 0.0
    """Strength of the decay of weights."""
    decay_norms: bool = False
    """Whether the scales and shifts of normalisation layers decay too."""
    decay_biases: bool = True
    """Whether biases decay too; those of normalisation layers follow `decay_norms`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SGDConfig(_Optimiser):
    """Stochastic gradient descent; the decay is part of the gradient."""

    kind: Literal["sgd"] = "sgd"
    """Tells the settings of the optimisers apart."""
    momentum: float = 0.9
    """Share of the velocity that is kept from step to step."""
    nesterov: bool = True
    """Whether the gradient is applied ahead of the velocity."""

    def __post_init__(self) -> None:
        _check_optimiser(self)
        _require_share("momentum", self.momentum)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs momentum above 0; set nesterov=false")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamConfig(_Optimiser):
    """Adam; the decay is part of the gradient, so it passes through the second moment."""

    kind: Literal["adam"] = "adam"
    """Tells the settings of the optimisers apart."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Shares of the first and second moments that are kept from step to step."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""

    def __post_init__(self) -> None:
        _check_adam(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamWConfig(_Optimiser):
    """Adam with decay that is apart from the gradient, in proportion to the learning rate."""

    kind: Literal["adamw"] = "adamw"
    """Tells the settings of the optimisers apart."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Shares of the first and second moments that are kept from step to step."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""

    def __post_init__(self) -> None:
        _check_adam(self)


OptimiserConfig: TypeAlias = Annotated[SGDConfig | AdamConfig | AdamWConfig, Discriminator("kind")]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Schedule:
    """What every schedule has: a warm-up, straight to where the rest goes on."""

    warmup_steps: int = 0
    """Steps of warm-up, part of the whole number of steps."""
    warmup_from: float = 0.0
    """Factor of the learning rate at the first step of the warm-up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConstantSchedule(_Schedule):
    """The peak, throughout."""

    kind: Literal["constant"] = "constant"
    """Tells the settings of the schedules apart."""

    def __post_init__(self) -> None:
        _check_warmup(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSchedule(_Schedule):
    """A factor for each span of steps."""

    kind: Literal["step"] = "step"
    """Tells the settings of the schedules apart."""
    boundaries: tuple[int, ...]
    """Steps, counted with the warm-up, from which the next factor holds; a span may be empty."""
    factors: tuple[float, ...]
    """One for each span, so one more than there are boundaries."""

    def __post_init__(self) -> None:
        _check_warmup(self)
        if len(self.factors) != len(self.boundaries) + 1:
            raise ValueError(
                f"{len(self.boundaries)} boundaries make {len(self.boundaries) + 1} spans, found "
                f"{len(self.factors)} factors; give one for each span"
            )
        if list(self.boundaries) != sorted(self.boundaries) or min(self.boundaries, default=0) < 0:
            raise ValueError(f"boundaries={list(self.boundaries)} do not rise from 0; sort them")
        for factor in self.factors:
            _require_not_negative("factors", factor)


@dataclass(frozen=True, kw_only=True, slots=True)
class CosineSchedule(_Schedule):
    """Half a cosine from the peak to `end` at the last step."""

    kind: Literal["cosine"] = "cosine"
    """Tells the settings of the schedules apart."""
    end: float = 0.0
    """Factor that is reached when all steps are done."""
    after_warmup: bool = False
    """Whether the curve begins at the end of the warm-up, at the peak; else it begins at step 0,
    and the warm-up leads to where the curve is by then (as PySlowFast has it)."""

    def __post_init__(self) -> None:
        _check_warmup(self)
        _require_not_negative("end", self.end)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearSchedule(_Schedule):
    """Straight from the peak to `end` at the last step."""

    kind: Literal["linear"] = "linear"
    """Tells the settings of the schedules apart."""
    end: float = 0.0
    """Factor that is reached when all steps are done."""
    after_warmup: bool = True
    """Whether the line begins at the end of the warm-up, at the peak; else it begins at step 0,
    and the warm-up leads to where the line is by then."""

    def __post_init__(self) -> None:
        _check_warmup(self)
        _require_not_negative("end", self.end)


ScheduleConfig: TypeAlias = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | LinearSchedule, Discriminator("kind")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a model is trained."""

    num_steps: int
    """Updates of the weights."""
    batch_size: int
    """Samples of one update, over all workers and all parts of an accumulated batch."""
    optimiser: OptimiserConfig
    """What an update does."""
    schedule: ScheduleConfig = field(default_factory=ConstantSchedule)
    """Factor of the learning rate at each step."""
    seed: int = 0
    """Of the order of the samples, of dropout and of whatever a dataset draws."""
    accumulation: int = 1
    """Parts in which a worker goes through its share of a batch, one at a time."""
    clip_norm: float | None = None
    """Longest gradient, as the 2-norm over all parameters; a longer one is shortened to it."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass; the lower ones run under autocast, float16 with a scaler."""
    deterministic: bool = False
    """Whether a GPU may only use algorithms that repeat exactly; on a CPU all of them do."""
    best_metric: str | None = None
    """Metric whose highest value marks the best checkpoint, which is kept."""
    evaluate_every: int | None = None
    """Steps between evaluations; null: only at the end."""
    checkpoint_every: int | None = 1000
    """Steps between checkpoints; one is also written after each evaluation."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept, the best one not counted."""
    log_every: int = 10
    """Steps between lines of the log."""
    tensorboard: bool = True
    """Whether the log is also written for TensorBoard, where that is installed."""
    device: str = "cpu"
    """'cpu', 'cuda' or 'cuda:N'."""
    loaders: int = 0
    """Processes that load batches ahead; 0 loads in the training process itself."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "accumulation", "keep_checkpoints", "log_every"):
            _require_at_least(name, getattr(self, name), 1)
        for name in ("evaluate_every", "checkpoint_every"):
            if getattr(self, name) is not None:
                _require_at_least(name, getattr(self, name), 1)
        _require_at_least("seed", self.seed, 0)
        _require_at_least("loaders", self.loaders, 0)
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm={self.clip_norm} leaves no gradient; use null or above 0")
        if self.batch_size < self.accumulation:
            raise ValueError(
                f"accumulation={self.accumulation} parts of batch_size={self.batch_size} would be "
                f"empty; use at most {self.batch_size}"
            )
        if self.schedule.warmup_steps > self.num_steps:
            raise ValueError(
                f"schedule.warmup_steps={self.schedule.warmup_steps} is more than "
                f"num_steps={self.num_steps}; warm up for fewer steps"
            )


FREE_SETTINGS = frozenset(
    {
        *("evaluate_every", "checkpoint_every", "keep_checkpoints", "best_metric"),
        *("log_every", "tensorboard", "device", "loaders"),
    }
)
"""Settings that may change when a run is resumed: they do not change what is learned."""


def _check_optimiser(config: _Optimiser) -> None:
    _require_not_negative("learning_rate", config.learning_rate)
    _require_not_negative("weight_decay", config.weight_decay)


def _check_adam(config: AdamConfig | AdamWConfig) -> None:
    _check_optimiser(config)
    for beta in config.betas:
        _require_share("betas", beta)
    if not config.epsilon > 0:
        raise ValueError(f"epsilon={config.epsilon} is not possible; use a small number above 0")


def _check_warmup(config: _Schedule) -> None:
    _require_at_least("warmup_steps", config.warmup_steps, 0)
    _require_not_negative("warmup_from", config.warmup_from)


def _require_at_least(name: str, value: Any, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}={value} is not possible; use {least} or more")


def _require_not_negative(name: str, value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name}={value} is not possible; use 0 or more")


def _require_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value} is not possible; use [0, 1)")
