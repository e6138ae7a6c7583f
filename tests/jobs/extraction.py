"""Running extractions in tests: in this process, or as a person would, by the command."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.import_labels import ImportRequest, import_labels
from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.summary import Summary
from reelbank.pipeline.plan import Plan
from reelbank.pipeline.theatre.theatre import Theatre
from reelbank.stores.importers.label_set import ReadOptions
from reelbank.stores.store import Store, open_store
from tests.shared_data import ROOT

TABLES = ("scores", "detections", "shots", "tracks", "links")
SMALL = ("detector.longest_side=320", "resources.threads=1")
"""Settings that keep the default recipe quick."""


@dataclass(frozen=True)
class Extracted:
    """A run that came to its end in this process."""

    store: Store
    summary: Summary
    plan: Plan

    @property
    def computed(self) -> set[tuple[str, str]]:
        """(video, stage) of everything that was planned to be computed."""
        return {(one.video_id, one.stage) for one in self.plan.decisions if one.action == "compute"}

    @property
    def stages(self) -> set[str]:
        """Stages that some video had to compute."""
        return {stage for _, stage in self.computed}

    @property
    def committed(self) -> set[tuple[str, str]]:
        """(video, stage) of everything that this run committed, revived work aside."""
        return {
            (unit.video_id, unit.stage)
            for commit in self.store.commits()
            if commit.run == self.summary.run
            for unit in commit.units
        }


def extract(
    inputs: Path | Sequence[Path],
    store: Path,
    *overrides: str,
    recipe: str = "default",
    engine: str = "inline",
    arrange: Callable[[Plan], Plan] = lambda found: found,
    **request: Any,
) -> Extracted:
    """Extract in this process; `arrange` may put the plan into another order."""
    paths = [inputs] if isinstance(inputs, Path) else inputs
    with extraction(
        ExtractRequest(
            inputs=tuple(map(str, paths)),
            store=str(store),
            settings=load_recipe(recipe, overrides),
            engine=engine,
            **request,
        )
    ) as job:
        found = job.plan()
        summary = job.execute(arrange(found))
    return Extracted(open_store(store), summary, found)


def import_theatre(theatre: Theatre, store: Store) -> None:
    """Bring in the labels of generated films, as theatre@2.2."""
    files = tuple(sorted((theatre.annotations / "ava").iterdir()))
    options = ReadOptions(name="theatre")
    import_labels(ImportRequest(importer="ava", files=files, store=store.uri, options=options))


@contextmanager
def extraction(request: ExtractRequest, *, dry: bool = False) -> Iterator[Extraction]:
    """A job that is closed afterwards and says nothing."""
    job = Extraction(request, Console(file=io.StringIO()), dry=dry)
    try:
        yield job
    finally:
        job.close()


def command(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `reelbank ARGUMENTS` in a process of its own, from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", "reelbank.jobs.cli", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "default", "COLUMNS": "200"} | options.pop("env", {}),
        capture_output=True,
        text=True,
        timeout=options.pop("timeout", 120),
        check=False,
        **options,
    )


def lines(store: Store, table: str, video: str) -> pa.Table:
    """A table's lines of one video, in an order that does not depend on its files."""
    found = store.table(table, video)
    keys = [
        name
        for name in ("start_seconds", "time", "rank", "shot_id", "track_id")
        if name in found.column_names
    ]
    return found.sort_by([(name, "ascending") for name in keys]).combine_chunks()


def differences(one: Store, other: Store, video: str) -> list[str]:
    """Tables and banks in which two stores differ for a video, to the bit."""
    found = [
        table for table in TABLES if not lines(one, table, video).equals(lines(other, table, video))
    ]
    banks = {name for store in (one, other) for name in store.live().banks()}
    return found + [name for name in sorted(banks) if not same_bank(one, other, name, video)]


def same_bank(one: Store, other: Store, name: str, video: str) -> bool:
    """Whether a bank's times, counts and rows of a video are equal to the bit."""
    here, there = one.bank(name), other.bank(name)
    return all(
        np.array_equal(getattr(here, part)(video), getattr(there, part)(video))
        for part in ("times", "counts", "rows")
    )
