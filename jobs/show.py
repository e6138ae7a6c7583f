"""Store, run and check results as a person reads them."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from reelbank.stores.store import Store
from reelbank.stores.verify import Problem

FAULT_STATUS = 3


def show_info(found: Mapping[str, Any], console: Console) -> None:
    """Print what a store holds; untrained banks are marked."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("store", f"{found['uri']} (format {found['format_version']}, id {found['id']})")
    counts = (
        ", ".join(f"{count} {status}" for status, count in sorted(found["videos"].items()))
        or "none"
    )
    facts.add_row("videos", f"{counts}; {found['hours']:.3f} h")
    facts.add_row("tables", ", ".join(f"{name} {rows}" for name, rows in found["tables"].items()))
    facts.add_row("on disk", f"{found['bytes'] / 1e6:.1f} MB live")
    facts.add_row("runs", str(len(found["runs"])))
    console.print(facts, markup=False)
    if not found["banks"]:
        return
    banks = Table(
        "bank", "kind", "rows", "dim", "type", "model", "weights", box=None, pad_edge=False
    )
    for name, bank in sorted(found["banks"].items()):
        digest = bank.get("weights_digest")
        weights = (
            "untrained" if bank.get("untrained") else f"sha256 {digest[:12]}" if digest else "none"
        )
        banks.add_row(
            name,
            bank["kind"],
            str(bank["rows"]),
            str(bank["dim"]),
            bank["dtype"],
            str(bank["model"]),
            weights,
        )
    console.print(banks, markup=False)


def run_status(store: Store) -> dict[str, Any]:
    """The last run: parts committed of parts planned for each stage, and videos that are not ok."""
    runs = store.runs()
    lines = store.sql(
        "SELECT video_id, status, error FROM videos WHERE status <> 'ok' ORDER BY video_id"
    ).to_pylist()
    if not runs:
        return {"run": None, "stages": {}, "videos": lines}
    last = max(runs, key=lambda run: (run["started"], run["run"]))
    done = Counter(commit.stage for commit in store.commits() if commit.run == last["run"])
    return {
        "run": last["run"],
        "started": last["started"],
        "ended": last["ended"],
        "stages": {
            stage: {"parts": planned, "committed": done[stage]}
            for stage, planned in last["planned"].items()
        },
        "videos": lines,
    }


def show_status(found: Mapping[str, Any], console: Console) -> None:
    """Print the state of the last run."""
    if found["run"] is None:
        console.print("no run yet")
        return
    end = found["ended"] or "not finished: still running, or cut off (the same command goes on)"
    console.print(
        f"run {found['run']}: started {found['started']}, finished {end}",
        highlight=False,
        soft_wrap=True,
    )
    for stage, counts in found["stages"].items():
        console.print(
            f"  {stage:<18} {counts['committed']}/{counts['parts']} parts", highlight=False
        )
    for line in found["videos"]:
        console.print(
            f"  {line['status']}: {line['video_id']!r}: {line['error']}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def show_problems(found: Sequence[Problem], console: Console, *, as_json: bool) -> int:
    """Print faults; the exit status. Orphans of cut-off runs are told, but are no fault."""
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    else:
        for one in found:
            console.print(f"{one.path}: {one.error}", markup=False, highlight=False, soft_wrap=True)
    faults = sum(not one.is_orphan for one in found)
    if not as_json:
        console.print(f"{faults} faults, {len(found) - faults} orphans", highlight=False)
    return FAULT_STATUS if faults else 0
