"""Settings of the four shot detectors; the defaults are PySceneDetect's own.

A recipe names one of them by `kind`: `{kind: content, threshold: 30}` is read with
`pydantic.TypeAdapter(ShotConfig)`.
"""

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Discriminator


def _check_range(name: str, value: float, *, low: float, high: float = math.inf) -> None:
    if not low <= value <= high or math.isinf(value):
        limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise ValueError(f"{name}={value:g} is out of range; use a value {limit}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MinimumLength:
    """How short a shot may be: what the four detectors have in common."""

    min_shot_frames: int = 15
    """Frames, counted at the stream's nominal rate, that must lie between two cuts; 0 keeps all."""
    min_shot_seconds: float | None = None
    """Seconds that must lie between two cuts; where given it takes the place of the frames."""

    def __post_init__(self) -> None:
        if self.min_shot_frames < 0:
            raise ValueError(
                f"min_shot_frames={self.min_shot_frames} is negative; use 0 to keep every cut"
            )
        if self.min_shot_seconds is not None:
            _check_range("min_shot_seconds", self.min_shot_seconds, low=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentWeights:
    """What a frame's difference from the one before is made of (a weighted mean)."""

    hue: float = 1.0
    """Weight of the mean difference in hue."""
    saturation: float = 1.0
    """Weight of the mean difference in saturation."""
    luma: float = 1.0
    """Weight of the mean difference in brightness."""
    edges: float = 0.0
    """Weight of the difference between the edge maps; they are computed only if this is not 0."""

    def __post_init__(self) -> None:
        for name in ("hue", "saturation", "luma", "edges"):
            _check_range(f"weights.{name}", getattr(self, name), low=0.0)
        if self.hue + self.saturation + self.luma + self.edges == 0:
            raise ValueError("weights are all 0; give at least one of them a positive value")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveConfig(MinimumLength):
    """A cut is a difference that stands out from those of the frames around it."""

    kind: Literal["adaptive"] = "adaptive"
    """Chooses this detector."""
    threshold: float = 3.0
    """Ratio of a frame's difference to the mean of its neighbours' from which it is a cut."""
    window_width: int = 2
    """Neighbours looked at on either side, in frames."""
    min_content: float = 15.0
    """Difference (0 to 255) below which nothing is a cut, whatever the ratio."""
    weights: ContentWeights = ContentWeights()
    """What the difference is made of."""

    def __post_init__(self) -> None:
        MinimumLength.__post_init__(self)
        _check_range("threshold", self.threshold, low=0.0, high=255.0)
        _check_range("min_content", self.min_content, low=0.0, high=255.0)
        if self.window_width < 1:
            raise ValueError(
                f"window_width={self.window_width} leaves no neighbour to look at; use 1 or more"
            )

    def scorer_settings(self) -> dict[str, object]:
        """What the frames' scores depend on; the rest only decides."""
        return {"score": "difference", "weights": asdict(self.weights)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentConfig(MinimumLength):
    """A cut is a difference above a fixed threshold."""

    kind: Literal["content"] = "content"
    """Chooses this detector."""
    threshold: float = 27.0
    """Difference (0 to 255) from which a frame is a cut."""
    weights: ContentWeights = ContentWeights()
    """What the difference is made of."""
    close_cuts: Literal["merge", "suppress"] = "merge"
    """Cuts closer than the minimum length: 'merge' joins a burst into its last one, 'suppress'
    keeps its first one."""

    def __post_init__(self) -> None:
        MinimumLength.__post_init__(self)
        _check_range("threshold", self.threshold, low=0.0, high=255.0)

    def scorer_settings(self) -> dict[str, object]:
        """What the frames' scores depend on; the rest only decides."""
        return {"score": "difference", "weights": asdict(self.weights)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdConfig(MinimumLength):
    """A cut lies inside each fade out of and back into the picture (by mean brightness)."""

    kind: Literal["threshold"] = "threshold"
    """Chooses this detector."""
    threshold: int = 12
    """Mean of all channels (0 to 255) that parts picture from no picture."""
    faded_out: Literal["below", "above"] = "below"
    """Whether no picture means darker ('below') or brighter ('above') than the threshold."""
    fade_bias: float = 0.0
    """Where in the stretch without picture the cut lies: -1 its start, 0 its middle, 1 its end."""
    add_final_shot: bool = False
    """Whether a film that ends faded out gets a last cut where that fade began."""

    def __post_init__(self) -> None:
        MinimumLength.__post_init__(self)
        _check_range("threshold", self.threshold, low=0.0, high=255.0)
        _check_range("fade_bias", self.fade_bias, low=-1.0, high=1.0)

    def scorer_settings(self) -> dict[str, object]:
        """What the frames' scores depend on; the rest only decides."""
        return {"score": "brightness"}


@dataclass(frozen=True, kw_only=True, slots=True)
class HistogramConfig(MinimumLength):
    """A cut is a change in the histogram of luma."""

    kind: Literal["histogram"] = "histogram"
    """Chooses this detector."""
    threshold: float = 0.2
    """1 minus the correlation of two neighbours' histograms from which a frame is a cut."""
    bins: int = 128
    """Bins of the histogram."""

    def __post_init__(self) -> None:
        MinimumLength.__post_init__(self)
        _check_range("threshold", self.threshold, low=0.0, high=1.0)
        if not 2 <= self.bins <= 256:
            raise ValueError(f"bins={self.bins} do not fit 256 levels of luma; use 2 to 256")

    def scorer_settings(self) -> dict[str, object]:
        """What the frames' scores depend on; the rest only decides."""
        return {"score": "histogram", "bins": self.bins}


ShotConfig = Annotated[
    AdaptiveConfig | ContentConfig | ThresholdConfig | HistogramConfig, Discriminator("kind")
]
"""Any of the four, told apart by `kind`."""
