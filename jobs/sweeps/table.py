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


_Column: TypeAlias = tuple[float | None, str]
"""Place on the axis, and metric."""
Measured: TypeAlias = Mapping[tuple[str, float | None], Mapping[int, Mapping[str, float]]]
"""Metrics by line and value, then by seed."""


def group_means(
    details: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """For each group the mean of its classes' average precisions, from a test's details.

    ValueError where a class of a group was not tested.
    """
    # A class without a positive has no average precision.
    tested = details.get("classes", ())
    found = {one["label"]: one["ap"] for one in tested if one["ap"] is not None}
    for name, labels in groups.items():
        missing = [label for label in labels if label not in found]
        if missing:
            raise ValueError(
                f"groups.{name}: {', '.join(missing)} not among the tested classes "
                f"({', '.join(found) or 'none'}); name classes of the label set"
            )
    return {
        name: statistics.fmean(found[label] for label in labels) for name, labels in groups.items()
    }


def scores_of(sweep: SweepSettings, measured: Measured, ceilings: Sequence[Ceiling]) -> list[Score]:
    """A score for each line, value and metric of which something was measured."""
    return [
        Score(
            line=line,
            value=value,
            metric=metric,
            by_seed={seed: found[metric] for seed, found in by_seed.items()},
            ceiling=_ceiling(sweep, line, value, metric, ceilings),
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
    """The known ceiling, multiplied by the share of boxes that are found."""
    wanted = sweep.lines[line].ceiling
    if wanted is None:
        return None
    support = value if wanted.support is None else wanted.support
    for one in ceilings:
        if one.observer == wanted.observer and one.support_seconds == support:
            found = one.mean if metric == sweep.metric else one.families.get(metric)
            return None if found is None else found * sweep.found_share
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
