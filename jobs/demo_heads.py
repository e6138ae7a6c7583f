"""The demonstration of heads: a benchmark is made, extracted and learned, beside its ceilings."""

import os
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.import_labels import ImportRequest, import_labels, show_import
from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.reports.attention import most_certain
from reelbank.jobs.reports.heads_page import TrainedModel, heads_report
from reelbank.jobs.reports.window_view import view_of
from reelbank.jobs.sweeps.plan import planned
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.train import train
from reelbank.jobs.training.settings import TrainSettings
from reelbank.pipeline.theatre.ceilings import read_ceilings
from reelbank.pipeline.theatre.theatre import Theatre, make_theatre
from reelbank.stores.importers.label_set import ReadOptions
from reelbank.stores.store import Store, open_store

SWEEP = "sweeps/theatre_models"
"""3D CNN, STO, LFB causal and LFB batch."""
LABELS = "theatre"
SHOWN = "answer"
"""A contextual class: the page shows where the last model looked for it."""


def run_demo_heads(folder: Path, *, size: str, engine: str, console: Console) -> int:
    """Make the theatre, fill a store from it, train four heads, and write FOLDER/report.html.

    Running it again reuses what is there. The exit status is that of the extraction.
    """
    began = time.perf_counter()

    def tell(done: str) -> None:
        seconds = time.perf_counter() - began
        console.print(f"\n[bold]{done}[/bold] ({seconds:.0f} s)", highlight=False, soft_wrap=True)

    theatre = make_theatre(folder / "theatre", size, processes=os.cpu_count() or 1)
    tell(f"films and their labels: {folder / 'theatre'}")
    store = str(folder / "store")
    status = _extract(theatre, store, engine, console)
    _import_labels(theatre, store, console)
    tell(f"features and labels: {store}")
    opened, page = open_store(store), folder / "report.html"
    sweep = load_recipe(SWEEP, [], SweepSettings)
    models = _trained(sweep, opened, folder / "runs", theatre, console)
    settings, run = models[-1][1:]
    heads_report(
        page,
        [model for model, _, _ in models],
        families=sweep.groups,
        facts=_facts(theatre, opened),
        view=view_of(opened, most_certain(settings, run, opened, SHOWN), models[-1][0].name),
    )
    tell(f"report: {page.resolve()}")
    return status


def _trained(
    sweep: SweepSettings, store: Store, runs: Path, theatre: Theatre, console: Console
) -> list[tuple[TrainedModel, TrainSettings, Path]]:
    """Each line of the sweep, of its first seed: model, settings and run."""
    known = {(one.observer, one.support_seconds): one for one in read_ceilings(theatre.ceilings)}
    found = []
    for entry in planned(replace(sweep, seeds=sweep.seeds[:1])):
        [member] = entry.members
        console.print(f"\n{entry.line}", highlight=False)
        run, best = runs / member.folder, sweep.lines[entry.line].ceiling
        outcome = train(member.settings, store, run, console=console)
        ceiling = None if best is None else known.get((best.observer, best.support or 0.0))
        found.append((TrainedModel(entry.line, outcome, ceiling), member.settings, run))
    return found


def _facts(theatre: Theatre, store: Store) -> list[tuple[str, str]]:
    """What the page says first."""
    [line] = store.sql(
        "select count(*) as films, sum(covered_seconds) / 60 as minutes from videos"
    ).to_pylist()
    bank = store.bank("person")
    people = sum(int(bank.counts(video).sum()) for video in bank.videos())
    return [
        ("films", f"{line['films']}, {line['minutes']:.0f} minutes in all"),
        ("rows", f"{people:,} people, {bank.dim} channels"),
        ("benchmark", str(theatre.films.parent)),
    ]


def _extract(theatre: Theatre, store: str, engine: str, console: Console) -> int:
    settings = load_recipe("theatre/extract", [f"detector.labels={theatre.boxes}"])
    request = ExtractRequest(
        inputs=(str(theatre.films),), store=store, settings=settings, engine=engine
    )
    job = Extraction(request, console)
    try:
        summary = job.execute(job.plan())
    finally:
        job.close()
    summary.print(console)
    return summary.exit_status


def _import_labels(theatre: Theatre, store: str, console: Console) -> None:
    request = ImportRequest(
        importer="ava",
        files=tuple(sorted((theatre.annotations / "ava").iterdir())),
        store=store,
        options=ReadOptions(name=LABELS),
    )
    show_import(import_labels(request), console)
