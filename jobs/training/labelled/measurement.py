"""What a test came to: the numbers that choose a checkpoint, and all that stands behind them."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reelbank.heads.metrics.average_precision import ClassAveragePrecision, Definition
from reelbank.heads.metrics.bootstrap import Bootstrap, bootstrap
from reelbank.heads.metrics.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metrics, and what stands behind them."""

    metrics: dict[str, float]
    """By name; higher is better."""
    details: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: error bars, and each class."""


def tested_classes(details: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The classes of a measurement's details that have positives, by label."""
    # Without a positive there is no average precision.
    return {one["label"]: one for one in details.get("classes", ()) if one["ap"] is not None}


def mean_recall(classes: Iterable[Mapping[str, Any]]) -> float:
    """Over classes of a measurement; 1 without any, as in a test that has no boxes to miss.

    A ceiling is multiplied by it: where boxes are missed, nobody reaches the rest. ValueError for
    a measurement of an older version, which has none.
    """
    classes = list(classes)
    if any("recall" not in one for one in classes):
        raise ValueError(
            "the test was made by an older version, which did not measure recall; train in another "
            "folder, or remove the run"
        )
    return statistics.fmean([one["recall"] for one in classes] or [1.0])


def precision_measured(
    names: Sequence[str],
    found: ClassAveragePrecision,
    ranking: Ranking,
    definition: Definition,
    *,
    num_draws: int,
) -> Measurement:
    """The mAP, and the average precision and the recall of each class: the share of its positives
    that are found at any score. Error bars where they can be drawn.

    `names` are those of the ranking's classes. Error bars need at least two films, and ties that
    count together.
    """
    bars = None
    if num_draws and ranking.num_videos > 1 and definition.ties == "together":
        bars = bootstrap(ranking, definition, num_draws=num_draws)
    recall = ranking.recall
    classes = [
        {
            "label": name,
            "ap": found.per_class[number].item(),
            "recall": recall[number].item(),
            "num_positives": int(found.num_positives[number]),
            **_class_bars(bars, number),
        }
        for number, name in enumerate(names)
    ]
    whole: dict[str, float] = {}
    if bars is not None:
        whole = {name: getattr(bars.mean, name).item() for name in ("low", "high", "deviation")}
    # A mean over no class at all is not a number; nothing was right, either.
    mean = 0.0 if math.isnan(found.mean) else found.mean
    return Measurement({"map": mean}, {"map": whole, "classes": classes})


def _class_bars(bars: Bootstrap | None, number: int) -> dict[str, float]:
    if bars is None:
        return {}
    values = bars.per_class
    return {name: getattr(values, name)[number].item() for name in ("low", "high", "deviation")}
