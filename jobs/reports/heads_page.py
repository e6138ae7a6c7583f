"""The page of a benchmark's heads: each model beside the best that anyone can reach."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reelbank.jobs.reports.chart_parts import Mark, Panel, Series
from reelbank.jobs.reports.dot_chart import draw_dots
from reelbank.jobs.reports.rendering import write_page
from reelbank.jobs.reports.window_view import WindowView
from reelbank.jobs.training.labelled.measurement import mean_recall, tested_classes
from reelbank.pipeline.theatre.ceilings import Ceiling


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One model as the page shows it."""

    name: str
    outcome: Mapping[str, Any]
    """What `jobs.train.train` gave: `metrics`, `details`, `num_parameters`."""
    ceiling: Ceiling | None
    """The best that such a model can reach, where it is known."""


def heads_report(
    path: Path,
    models: Sequence[TrainedModel],
    *,
    families: Mapping[str, Sequence[str]],
    facts: Sequence[tuple[str, str]] = (),
    view: WindowView | None = None,
) -> None:
    """Write one page: mean average precisions beside ceilings, each class, and an example.

    `families` are names of classes by group, those of the ceilings, which are multiplied by the
    recall of the boxes. `facts` stand at the top, name and value; `view` is what one model looked
    at. Error bars are deviations over drawn films; that of a family is at most the mean of its
    classes', which is what is drawn.
    """
    panels = [Panel("all that count, %", tuple(_series(one, None, ()) for one in models))] + [
        Panel(f"{family}, %", tuple(_series(one, family, labels) for one in models))
        for family, labels in families.items()
    ]
    write_page(
        path,
        "heads.html",
        chart=draw_dots(panels),
        has_errors=any(one.marks[0].error is not None for one in panels[0].series),
        facts=facts,
        models=[one.name for one in models],
        classes=_classes(models, families),
        view=view,
    )


def _series(model: TrainedModel, family: str | None, labels: Sequence[str]) -> Series:
    details = model.outcome["details"]
    tested = tested_classes(details)
    if family is None:
        classes = list(tested.values())
        mean = model.outcome["metrics"]["map"]
        error = details["map"].get("deviation")
    else:
        classes = [tested[label] for label in labels]
        mean = statistics.fmean(one["ap"] for one in classes)
        known = [one["deviation"] for one in classes if "deviation" in one]
        error = statistics.fmean(known) if len(known) == len(labels) else None
    best = None
    if (ceiling := model.ceiling) is not None:
        of_all = ceiling.mean if family is None else ceiling.families[family]
        best = mean_recall(classes) * of_all
    return Series(model.name, (Mark(mean, error, best),))


def _by_label(model: TrainedModel) -> dict[str, dict[str, Any]]:
    return {one["label"]: one for one in model.outcome["details"]["classes"]}


def _classes(
    models: Sequence[TrainedModel], families: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """A line for each class: its family, its positives, and what each model reaches."""
    found = [_by_label(model) for model in models]
    family_of = {label: family for family, labels in families.items() for label in labels}
    return [
        {
            "label": label,
            "family": family_of.get(label, ""),
            "num_positives": f"{one['num_positives']:,}",
            "cells": [_cell(of_model.get(label)) for of_model in found],
        }
        for label, one in found[0].items()
    ]


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None or one["ap"] is None:
        return "–"
    return Mark(one["ap"], one.get("deviation")).text
