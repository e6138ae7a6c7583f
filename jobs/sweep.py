"""Run every training of a sweep, and write the table and the chart of what they come to.

OUT/runs/<recipe>-seed<seed>-<digest>/   a training each
    ensembles/<digest>.json              what averaged scores come to
    table.csv table.json                 every metric of every line: mean, standard error, ceiling
    report.html chart.svg                the same to look at

The same call again goes on where it stopped. Trainings that are done are not run again, also not
those that another sweep did in the same folder.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from reelbank.jobs.evaluate import evaluate_ensemble
from reelbank.jobs.reports.sweep_page import write_sweep_report
from reelbank.jobs.sweeps.plan import Entry, Member, members_of, planned
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.sweeps.table import (
    Measured,
    measured_of,
    plain_table,
    scores_of,
    show_scores,
    write_csv,
    write_json,
)
from reelbank.jobs.train import train
from reelbank.jobs.training.runs import finished
from reelbank.pipeline.theatre.ceilings import Ceiling, read_ceilings
from reelbank.stores.store import Store, open_store


def run_sweep(
    sweep: SweepSettings,
    store: str,
    out: Path,
    *,
    ceilings: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train what is left, and give the table as plain values, with `failures` by training.

    `ceilings` is the benchmark's file. A training that fails does not stop the others. ValueError
    where a recipe is not possible, or the file is none of its kind.
    """
    entries = planned(sweep)
    known = [] if ceilings is None else read_ceilings(ceilings)
    running = _Sweep(sweep, entries, open_store(store), out, known, console or Console(quiet=True))
    return running.run()


def plan_of(sweep: SweepSettings, out: Path) -> list[dict[str, Any]]:
    """Each training of a sweep as plain values: `name`, `run` and whether it `is_done`."""
    return [
        {
            "name": member.name,
            "run": str(out / "runs" / member.folder),
            "is_done": finished(out / "runs" / member.folder) is not None,
        }
        for member in members_of(planned(sweep))
    ]


class _Sweep:
    """One call of `run_sweep`."""

    def __init__(
        self,
        sweep: SweepSettings,
        entries: Sequence[Entry],
        store: Store,
        out: Path,
        ceilings: Sequence[Ceiling],
        console: Console,
    ) -> None:
        self.sweep, self.entries, self.store, self.out = sweep, entries, store, out
        self.ceilings, self.console = ceilings, console
        self.outcomes: dict[str, dict[str, Any]] = {}
        """What each training came to, by its folder."""
        self.failures: dict[str, str] = {}
        """What went wrong, by the training's name."""
        self.measured: dict[tuple[str, float | None], dict[int, dict[str, Measured]]] = {}

    def run(self) -> dict[str, Any]:
        members = members_of(self.entries)
        self.out.mkdir(parents=True, exist_ok=True)
        for number, member in enumerate(members, start=1):
            self._say(f"[{number}/{len(members)}] {member.name}")
            self._train(member)
            # After each one, so that a sweep of days can be looked at.
            self._write()
        show_scores(self.sweep, self._scores(), self.console)
        for name, sentence in self.failures.items():
            self._say(f"failed: {name}: {sentence}")
        return self._plain()

    def _train(self, member: Member) -> None:
        run = self.out / "runs" / member.folder
        try:
            outcome = train(member.settings, self.store, run, console=self.console)
        except (ValueError, RuntimeError, OSError) as error:
            self.failures[member.name] = " ".join(str(error).split())
            self._say(f"  failed: {self.failures[member.name]}")
            return
        self.outcomes[member.folder] = outcome
        for entry in self.entries:
            if member.folder in entry.folders:
                self._measure(entry)

    def _measure(self, entry: Entry) -> None:
        """Take the metrics of a model whose trainings are all done."""
        if not self.outcomes.keys() >= set(entry.folders):
            return
        name = entry.members[0].name
        try:
            measured = measured_of(self._outcome(entry), self.sweep)
        except (ValueError, RuntimeError, OSError) as error:
            self.failures[name] = " ".join(str(error).split())
            return
        place = self.measured.setdefault((entry.line, entry.value), {})
        place[entry.seed] = measured

    def _outcome(self, entry: Entry) -> dict[str, Any]:
        """`metrics` and `details` of a model."""
        if len(entry.folders) == 1:
            return self.outcomes[entry.folders[0]]
        digest = hashlib.sha256("\n".join(entry.folders).encode()).hexdigest()[:12]
        kept = self.out / "ensembles" / f"{digest}.json"
        if kept.is_file():
            known: dict[str, Any] = json.loads(kept.read_text("utf-8"))
            return known
        members = [(one.settings, self.out / "runs" / one.folder) for one in entry.members]
        found = evaluate_ensemble(members, self.store)
        kept.parent.mkdir(exist_ok=True)
        fresh = kept.with_suffix(".unfinished")
        write_json(fresh, found)
        fresh.replace(kept)
        return found

    def _scores(self) -> list[Any]:
        return scores_of(self.sweep, self.measured, self.ceilings)

    def _plain(self) -> dict[str, Any]:
        return plain_table(self.sweep, self._scores(), self.failures)

    def _write(self) -> None:
        scores = self._scores()
        write_csv(self.out / "table.csv", self.sweep, scores)
        write_json(self.out / "table.json", self._plain())
        write_sweep_report(self.out, self.sweep, scores, self.failures)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
