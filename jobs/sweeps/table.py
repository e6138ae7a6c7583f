"""What a sweep came to: each metric of each line, as mean and standard error over seeds."""

import csv
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.training.labelled.measurement import mean_recall, tested_classes
from reelbank.pipeline.theatre.ceilings import Ceiling


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one line at one value of the axis."""

    line: str
    value: float | None
    """Place on the axis; None without one."""
    metric: str
    by_seed: Mapping[int, float]
    """What was measured so far, by seed."""
    ceiling: float | None
    """The best that anyone can reach; None where it is not known."""

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.by_seed.values())

    @property
    def standard_error(self) -> float | None:
        """Of the mean; None with a single seed."""
        count = len(self.by_seed)
        if count < 2:
            return None
        return statistics.stdev(self.by_seed.values()) / math.sqrt(count)


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one test."""

    value: float
    recall: float
    """Mean over its classes."""


_Column: TypeAlias = tuple[float | None, str]
"""Place on the axis, and metric."""
MeasuredBySeed: TypeAlias = Mapping[int, Mapping[str, Measured]]
"""By metric."""


def measured_of(outcome: Mapping[str, Any], sweep: SweepSettings) -> dict[str, Measured]:
    """The metric that is compared and, for each group, the mean of its classes' average precisions.

    ValueError where the metric was not measured, or a class of a group was not tested.
    """
    value = outcome["metrics"].get(sweep.metric)
    if value is None:
        known = ", ".join(sorted(outcome["metrics"]))
        raise ValueError(f"metric={sweep.metric!r} was not measured; known: {known}")
    tested = tested_classes(outcome["details"])
    for name, labels in sweep.groups.items():
        missing = [label for label in labels if label not in tested]
        if missing:
            raise ValueError(
                f"groups.{name}: {', '.join(missing)} not among the tested classes "
                f"({', '.join(tested) or 'none'}); name classes of the label set"
            )
    groups = {name: [tested[label] for label in labels] for name, labels in sweep.groups.items()}
    return {sweep.metric: Measured(value, mean_recall(tested.values()))} | {
        name: Measured(statistics.fmean(one["ap"] for one in classes), mean_recall(classes))
        for name, classes in groups.items()
    }


def scores_of(
    sweep: SweepSettings,
    measured: Mapping[tuple[str, float | None], MeasuredBySeed],
    ceilings: Sequence[Ceiling],
) -> list[Score]:
    """A score for each line, value and metric of which something was measured.

    A ceiling is multiplied by the recall.
    """
    return [
        Score(
            line=line,
            value=value,
            metric=metric,
            by_seed={seed: found[metric].value for seed, found in by_seed.items()},
            ceiling=None
            if (best := _ceiling(sweep, line, value, metric, ceilings)) is None
            else best * statistics.fmean(found[metric].recall for found in by_seed.values()),
        )
        for metric in (sweep.metric, *sweep.groups)
        for line in sweep.lines
        for value in sweep.values_of(line)
        if (by_seed := measured.get((line, value)))
    ]


def _ceiling(
    sweep: SweepSettings,
    line: str,
    value: float | None,
    metric: str,
    ceilings: Sequence[Ceiling],
) -> float | None:
    wanted = sweep.lines[line].ceiling
    if wanted is None:
        return None
    support = value if wanted.support is None else wanted.support
    for one in ceilings:
        if one.observer == wanted.observer and one.support_seconds == support:
            return one.mean if metric == sweep.metric else one.families.get(metric)
    return None


def write_csv(path: Path, sweep: SweepSettings, scores: Sequence[Score]) -> None:
    """A line for each score; shares in [0, 1]."""
    axis = "value" if sweep.axis is None else sweep.axis.name
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["line", axis, "metric", "mean", "standard_error", "num_seeds", "ceiling"])
        for one in scores:
            cells = (one.mean, one.standard_error, len(one.by_seed), one.ceiling)
            writer.writerow([one.line, one.value, one.metric, *cells])


def plain_table(
    sweep: SweepSettings, scores: Sequence[Score], failures: Mapping[str, str]
) -> dict[str, Any]:
    """The same as plain values, with what was measured for each seed."""
    return {
        "title": sweep.title,
        "axis": None if sweep.axis is None else sweep.axis.name,
        "scores": [
            {
                "line": one.line,
                "value": one.value,
                "metric": one.metric,
                "mean": one.mean,
                "standard_error": one.standard_error,
                "ceiling": one.ceiling,
                "by_seed": {str(seed): found for seed, found in one.by_seed.items()},
            }
            for one in scores
        ],
        "failures": dict(failures),
    }


def write_json(path: Path, plain: Mapping[str, Any]) -> None:
    """Plain values as JSON."""
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def show_scores(sweep: SweepSettings, scores: Sequence[Score], console: Console) -> None:
    """Tables in per cent: with an axis one for each metric, else one with a column for each."""
    metrics = (sweep.metric, *sweep.groups)
    columns: dict[_Column, str]
    if sweep.axis is None:
        columns = {(None, metric): metric for metric in metrics}
        _show(sweep, scores, sweep.title, columns, console)
        return
    unit = f" {sweep.axis.unit}".rstrip()
    for metric in metrics:
        columns = {(value, metric): f"{value:g}{unit}" for value in sweep.axis.values}
        _show(sweep, scores, f"{sweep.title}: {metric}", columns, console)


def _show(
    sweep: SweepSettings,
    scores: Sequence[Score],
    title: str,
    columns: Mapping[_Column, str],
    console: Console,
) -> None:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("%")
    for heading in columns.values():
        table.add_column(Text(heading), justify="right")
    by_place = {(one.line, one.value, one.metric): one for one in scores}
    for line in sweep.lines:
        found = [by_place.get((line, *column)) for column in columns]
        table.add_row(Text(line), *(_text(one) for one in found))
        if any(one is not None and one.ceiling is not None for one in found):
            table.add_row("  ceiling", *(_ceiling_text(one) for one in found), style="dim")
    console.print(table)


def _text(one: Score | None) -> str:
    if one is None:
        return "–"
    error = "" if one.standard_error is None else f" ± {100 * one.standard_error:.1f}"
    return f"{100 * one.mean:.1f}{error}"


def _ceiling_text(one: Score | None) -> str:
    return "" if one is None or one.ceiling is None else f"{100 * one.ceiling:.1f}"
