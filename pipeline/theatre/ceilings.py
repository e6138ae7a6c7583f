"""The best average precision that anybody can reach, by what they see and for how long.

Every observer knows which pose each puppet takes and reads each cue rightly; they differ in what
they see of cues:
- `short`: one clip, which never shows a pose and its cue together;
- `causal`, `batch`: every second of the window, with its time;
- `causal_unordered`, `batch_unordered`: the same seconds as a set, without their times: what an
  operator of the thesis sees, which attends to rows by what they show;
- `causal_pooled`, `batch_pooled`: the same, without knowing for whom a cue is: what is left when
  all rows are averaged, or their maximum is taken, before they meet the puppet in question.
An observer's score is the probability of the label given exactly what it sees, by Bayes' rule over
all outcomes of the script. `pooled` takes the other puppets' cues from inside of a long film.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.others import pooled
from reelbank.pipeline.theatre.precision import average_precision
from reelbank.pipeline.theatre.roles import ACTIONS, FAMILIES, Family
from reelbank.pipeline.theatre.windows import (
    Sight,
    check_supports,
    outcomes,
    sights,
    window_of,
)

Observer = Literal[
    "short",
    "causal",
    "causal_unordered",
    "causal_pooled",
    "batch",
    "batch_unordered",
    "batch_pooled",
]

OBSERVERS: tuple[Observer, ...] = (
    "short",
    "causal",
    "causal_unordered",
    "causal_pooled",
    "batch",
    "batch_unordered",
    "batch_pooled",
)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Best average precision of one observer with one support, all in [0, 1]."""

    observer: Observer
    support_seconds: float
    families: Mapping[str, float]
    """Mean over the counted actions of each family: 'visible', 'contextual', 'prospective'."""
    mean: float
    """Mean over all counted actions."""


def ceilings(
    difficulty: Difficulty, *, supports: Sequence[float], film_seconds: Sequence[int]
) -> list[Ceiling]:
    """The ceiling of every observer with each support in films of these lengths.

    Where boxes are missed, at random, a share r of them found multiplies each by r.
    """
    check_supports(difficulty, supports)
    found = []
    for support in supports:
        told = {
            (family, view): _by_view(difficulty, family, view, support, film_seconds)
            for family in FAMILIES
            for view in ("causal", "batch")
        }
        for observer in OBSERVERS:
            view = "causal" if observer.startswith("causal") else "batch"
            families = {"visible": 1.0}
            families |= {family: told[family, view][observer] for family in FAMILIES}
            counted = [families[action.family] for action in ACTIONS if action.counts]
            found.append(Ceiling(observer, float(support), families, float(np.mean(counted))))
    return found


def _by_view(
    difficulty: Difficulty,
    family: Family,
    view: Literal["causal", "batch"],
    support: float,
    film_seconds: Sequence[int],
) -> dict[str, float]:
    window = window_of(view, support)
    seen = sights(difficulty, family, window, film_seconds)
    shown = outcomes(difficulty, seen)
    return {
        "short": 0.5,
        view: average_precision(ordered(difficulty, seen)),
        f"{view}_unordered": average_precision(shown.values()),
        f"{view}_pooled": average_precision(pooled(difficulty, shown, window)),
    }


def ordered(difficulty: Difficulty, seen: Mapping[Sight, float]) -> list[tuple[float, float]]:
    """Chances of each label for one who knows times: cue of the one label, of the other, none.

    Times tell the cue of this pose from others: between two cues of a puppet lies a pose, and both
    the pose and its own cue are inside whenever an older cue beyond them is.
    """
    cue = difficulty.shown_rate * sum(weight for sight, weight in seen.items() if sight.own)
    honest = difficulty.honest_rate
    right, wrong = cue * honest / 2, cue * (1 - honest) / 2
    return [(right, wrong), (wrong, right), ((1 - cue) / 2, (1 - cue) / 2)]


def write_ceilings(path: Path, found: Sequence[Ceiling], *, about: Mapping[str, object]) -> None:
    """Write ceilings as JSON: `about`, then observers and the mean of each by support."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for one in found:
        values = {**one.families, "mean": one.mean}
        rounded = {name: round(value, 6) for name, value in values.items()}
        table.setdefault(one.observer, {})[f"{one.support_seconds:g}"] = rounded
    path.write_text(json.dumps({**about, "average_precision": table}, indent=1) + "\n")


def read_ceilings(path: Path) -> list[Ceiling]:
    """Ceilings that `write_ceilings` wrote; ValueError where the file is none of its kind."""
    try:
        table = json.loads(path.read_text())["average_precision"]
        return [
            Ceiling(
                observer,
                float(support),
                {name: value for name, value in values.items() if name != "mean"},
                values["mean"],
            )
            for observer, by_support in table.items()
            for support, values in by_support.items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no ceilings of the benchmark ({error}); make the benchmark again"
        ) from error
