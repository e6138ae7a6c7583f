"""The page of a sweep: chart and table of its lines, beside the known ceilings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reelbank.jobs.reports.chart_parts import Mark, Panel, Series
from reelbank.jobs.reports.dot_chart import draw_dots
from reelbank.jobs.reports.line_chart import draw_lines
from reelbank.jobs.reports.rendering import write_page
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.sweeps.table import Score

NAMES = {"map": "mean average precision", "top1": "top-1 accuracy", "top5": "top-5 accuracy"}
"""Metrics in words."""


def write_sweep_report(
    out: Path, sweep: SweepSettings, scores: Sequence[Score], failures: Mapping[str, str]
) -> None:
    """Write OUT/report.html, and its chart as OUT/chart.svg where anything was measured."""
    panels = _panels(sweep, scores)
    chart = _chart(sweep, panels) if panels else None
    if chart is not None:
        (out / "chart.svg").write_text(chart + "\n", encoding="utf-8")
    write_page(
        out / "report.html",
        "sweep.html",
        title=sweep.title,
        lead=_lead(sweep, scores),
        chart=chart,
        axis=_axis_name(sweep),
        metrics=[_name(metric) for metric in (sweep.metric, *sweep.groups)],
        rows=_rows(sweep, scores),
        failures=failures,
    )


def _name(metric: str) -> str:
    return NAMES.get(metric, metric)


def _panels(sweep: SweepSettings, scores: Sequence[Score]) -> list[Panel]:
    found = []
    for metric in (sweep.metric, *sweep.groups):
        series = []
        for line in sweep.lines:
            marks = tuple(
                Mark(one.mean, one.standard_error, one.ceiling, one.value)
                for one in scores
                if (one.line, one.metric) == (line, metric)
            )
            if marks:
                series.append(Series(line, marks))
        if series:
            found.append(Panel(f"{_name(metric)}, %", tuple(series)))
    return found


def _chart(sweep: SweepSettings, panels: Sequence[Panel]) -> Markup:
    if sweep.axis is None:
        return draw_dots(panels)
    return draw_lines(panels, axis=_axis_name(sweep), values=sweep.axis.values)


def _axis_name(sweep: SweepSettings) -> str:
    if sweep.axis is None:
        return ""
    unit = f" ({sweep.axis.unit})" if sweep.axis.unit else ""
    return sweep.axis.name.replace("_", " ") + unit


def _lead(sweep: SweepSettings, scores: Sequence[Score]) -> str:
    done = max((len(one.by_seed) for one in scores), default=0)
    count = f"{done} of {len(sweep.seeds)} seeds" if done < len(sweep.seeds) else f"{done} seeds"
    if len(sweep.seeds) == 1:
        return "One training each, in per cent."
    return f"Means over {count} with standard errors, in per cent."


def _rows(sweep: SweepSettings, scores: Sequence[Score]) -> list[dict[str, Any]]:
    """A row for each line and value, with the text of each metric."""
    by_place = {(one.line, one.value, one.metric): one for one in scores}
    rows: list[dict[str, Any]] = []
    for line in sweep.lines:
        for value in sweep.values_of(line):
            found = [
                by_place.get((line, value, metric)) for metric in (sweep.metric, *sweep.groups)
            ]
            if any(one is not None for one in found):
                cells = [_cell(one) for one in found]
                rows.append({"line": line, "value": _value(value), "cells": cells})
    return rows


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _cell(one: Score | None) -> tuple[str, str]:
    """What was measured, and the ceiling."""
    if one is None:
        return "–", ""
    ceiling = "" if one.ceiling is None else f"{100 * one.ceiling:.1f}"
    return Mark(one.mean, one.standard_error).text, ceiling
