"""Everything that decides what a training learns and how it is tested, as one tree of frozen
settings: a training recipe.

Source: Wu, PhD thesis, chapter 7 (Long-Term Feature Banks, CVPR 2019). S -> short_term, L~ ->
long_term. The four models of Table 7.2a: `long_term: null` with `head.bank: none` (3D CNN) or
`short_term` (STO), and `head.bank: long_term` with a causal or a batch window (LFB).

Nothing here imports torch or opens a store.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator

from reelbank.heads.feature_bank.config import (
    Bank,
    FeatureBankHeadConfig,
    InputNorm,
    Loss,
    OperatorConfig,
)
from reelbank.jobs.training.clips.config import ClipsConfig
from reelbank.jobs.training.config import TrainingConfig
from reelbank.stores.layout import checked_bank, checked_label_set


@dataclass(frozen=True, kw_only=True, slots=True)
class AvaLabels:
    """Boxes at key times, each with any number of classes; tested by frame mAP."""

    kind: Literal["ava"] = "ava"
    """Tells the settings of the tasks apart."""
    set: str
    """Label set of the store, `name@version`."""
    train: tuple[str, ...] = ("train",)
    """Splits that are learned from."""
    test: tuple[str, ...] = ("validation",)
    """Splits that are tested on."""
    evaluated: tuple[str, ...] | None = None
    """Names of the classes that count in the test; null: those that the label map says count. All
    classes are learned."""
    min_score: float = 0.9
    """Least score of a detection that is learned from, as in the thesis; `test.min_score` is that
    of a detection that is tested."""
    min_iou: float = 0.9
    """Least overlap of a detection with the labelled box whose classes it takes over."""
    protocol: Literal["activitynet", "slowfast"] = "activitynet"
    """The official evaluator; or that of SlowFast and of the released code, for which detections
    at key times without labels are false positives."""

    def __post_init__(self) -> None:
        _check_labels(self)
        _require_share("min_score", self.min_score)
        _require_share("min_iou", self.min_iou)


@dataclass(frozen=True, kw_only=True, slots=True)
class CharadesLabels:
    """Spans of a film, each with a class, that overlap; tested by mAP over whole films."""

    kind: Literal["charades"] = "charades"
    """Tells the settings of the tasks apart."""
    set: str
    """Label set of the store, `name@version`."""
    train: tuple[str, ...] = ("train",)
    """Splits that are learned from."""
    test: tuple[str, ...] = ("test",)
    """Splits that are tested on."""
    evaluated: tuple[str, ...] | None = None
    """Names of the classes that count in the test; null: those that the label map says count. All
    classes are learned."""
    clip_seconds: float = 0.0
    """A clip has the classes of all spans that it overlaps; this is its length around its key
    time, 0 for the moment alone."""
    num_clips: int = 10
    """Clips of a film in the test, evenly spread; the highest score counts."""
    protocol: Literal["charades", "multi_label"] = "multi_label"
    """The official script, which leaves films without labels out; or that of SlowFast and of the
    released code."""

    def __post_init__(self) -> None:
        _check_labels(self)
        if not (self.clip_seconds >= 0 and math.isfinite(self.clip_seconds)):
            raise ValueError(f"clip_seconds={self.clip_seconds} is not possible; use 0 or more")
        _require_at_least("num_clips", self.num_clips, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class EpicLabels:
    """Segments of a film, each with exactly one class; tested by top-1 and top-5 accuracy."""

    kind: Literal["epic"] = "epic"
    """Tells the settings of the tasks apart."""
    set: str
    """Label set of the store, `name@version`."""
    task: Literal["verb", "noun"]
    """Which of the two classes of a segment is learned."""
    train: tuple[str, ...] = ("train",)
    """Splits that are learned from."""
    test: tuple[str, ...] = ("validation",)
    """Splits that are tested on."""

    def __post_init__(self) -> None:
        _check_labels(self)


LabelSettings: TypeAlias = Annotated[AvaLabels | CharadesLabels | EpicLabels, Discriminator("kind")]


@dataclass(frozen=True, kw_only=True, slots=True)
class BankShortTerm:
    """Short-term features (S) are rows of a bank, and stay as they are."""

    kind: Literal["bank"] = "bank"
    """Tells the settings of short-term features apart."""
    bank: str
    """Bank of the store: of kind `person` for boxes, of kind `clip` for films and segments."""

    def __post_init__(self) -> None:
        checked_bank(self.bank)


ShortTermSettings: TypeAlias = Annotated[BankShortTerm | ClipsConfig, Discriminator("kind")]


@dataclass(frozen=True, kw_only=True, slots=True)
class LongTermSettings:
    """The window of a bank (L~) around each clip."""

    bank: str
    """Bank of the store, of any kind."""
    support_seconds: float
    """Length of the window: half of it before the clip and half after it."""
    causal: bool = False
    """Whether the window ends with the clip's own key time: as long, and all of it past."""
    rows_per_time: int | None = None
    """Most rows of one key time (K), the first ones; null: all. With it, all windows are padded to
    one length, which is K times the number of key times."""

    def __post_init__(self) -> None:
        checked_bank(self.bank)
        if not 0 < self.support_seconds < math.inf:
            raise ValueError(
                f"support_seconds={self.support_seconds} is not possible; use more than 0"
            )
        if self.rows_per_time is not None:
            _require_at_least("rows_per_time", self.rows_per_time, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSettings:
    """What is learned on top of the features; widths and loss follow from banks and labels."""

    bank: Bank = "long_term"
    """What the operator reads: `long_term`, `short_term` (STO), or `none` (3D CNN)."""
    operator: OperatorConfig = field(default_factory=OperatorConfig)
    """How clip and rows are brought together; without effect where `bank` is `none`."""
    input_norm: InputNorm = "none"
    """`batch`: channels of clips and rows are standardised first, beyond the thesis."""
    classifier_dropout: float = 0.3
    """Probability on what the classifier sees."""

    def __post_init__(self) -> None:
        # Checks what does not depend on widths.
        self.config(short_term_dim=1, long_term_dim=None, num_classes=1, loss="sigmoid")

    def config(
        self, *, short_term_dim: int, long_term_dim: int | None, num_classes: int, loss: Loss
    ) -> FeatureBankHeadConfig:
        """The whole head, for features of these widths."""
        return FeatureBankHeadConfig(
            short_term_dim=short_term_dim,
            num_classes=num_classes,
            bank=self.bank,
            long_term_dim=long_term_dim,
            operator=self.operator,
            input_norm=self.input_norm,
            classifier_dropout=self.classifier_dropout,
            loss=loss,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """How a checkpoint is tested."""

    min_score: float = 0.85
    """Least score of a detection that is classified (kind `ava`); 0.85 in the thesis."""
    batch_size: int = 64
    """Clips that are classified at once; moves the last bits of scores at most."""
    num_draws: int = 1000
    """Draws of films for the error bars of an average precision; 0: no error bars."""

    def __post_init__(self) -> None:
        _require_share("min_score", self.min_score)
        _require_at_least("batch_size", self.batch_size, 1)
        _require_at_least("num_draws", self.num_draws, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """A whole training recipe."""

    labels: LabelSettings
    """What is learned and tested: a label set of the store."""
    short_term: ShortTermSettings
    """Where the features of the clip itself come from."""
    long_term: LongTermSettings | None = None
    """The window that the head reads; null for a head that reads none."""
    head: HeadSettings = field(default_factory=HeadSettings)
    """The model."""
    training: TrainingConfig
    """How it is trained."""
    test: EvaluationSettings = field(default_factory=EvaluationSettings)
    """How it is tested."""

    def __post_init__(self) -> None:
        if (self.head.bank == "long_term") != (self.long_term is not None):
            given = "null" if self.long_term is None else "given"
            raise ValueError(
                f"head.bank={self.head.bank!r} and long_term is {given}; give long_term exactly "
                "where head.bank is 'long_term'"
            )


def _check_labels(labels: AvaLabels | CharadesLabels | EpicLabels) -> None:
    checked_label_set(labels.set)
    for name, splits in (("train", labels.train), ("test", labels.test)):
        if not splits:
            raise ValueError(f"{name}=[] names no split; give one or more")


def _require_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}={value} is not possible; use {least} or more")


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is not possible; use 0 to 1")
