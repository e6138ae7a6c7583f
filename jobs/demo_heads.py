"""The demonstration of heads: a benchmark is made, extracted and learned, beside its ceilings."""

import os
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.import_labels import ImportRequest, import_labels, show_import
from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.sweep import run_sweep
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.pipeline.theatre.theatre import Theatre, make_theatre
from reelbank.stores.importers.label_set import ReadOptions

SWEEP = "sweeps/theatre_models"
"""3D CNN, STO, LFB causal and LFB batch."""
LABELS = "theatre"


def run_demo_heads(
    folder: Path,
    *,
    size: str = "small",
    overrides: tuple[str, ...] = (),
    engine: str = "ray",
    console: Console,
) -> int:
    """Make the theatre, fill a store from it, train four heads, and write FOLDER/heads/report.html.

    Running it again reuses what is there. `overrides` change every training, each as after --set.
    The exit status is that of the extraction, or 3 if a training failed.
    """
    began = time.perf_counter()

    def tell(done: str) -> None:
        seconds = time.perf_counter() - began
        console.print(f"\n[bold]{done}[/bold] ({seconds:.0f} s)", highlight=False)

    theatre = make_theatre(folder / "theatre", size, processes=os.cpu_count() or 1)
    tell(f"films and their labels: {folder / 'theatre'}")
    store = str(folder / "store")
    status = _extract(theatre, store, engine, console)
    _import_labels(theatre, store, console)
    tell(f"features and labels: {store}")
    sweep = load_recipe(SWEEP, [], SweepSettings)
    sweep = replace(sweep, seeds=sweep.seeds[:1], set=(*sweep.set, *overrides))
    found = run_sweep(sweep, store, folder / "heads", ceilings=theatre.ceilings, console=console)
    tell(f"report: {(folder / 'heads' / 'report.html').resolve()}")
    return status or (3 if found["failures"] else 0)


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
