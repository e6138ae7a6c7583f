"""Store, run and check results as a person reads them."""

import platform
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psutil
from rich.console import Console
from rich.table import Column, Table

from reelbank.jobs.summary import committed_spans
from reelbank.stores.care.verify import Report
from reelbank.stores.store import Store

FAULT_STATUS = 3

NUM_ORPHANS_SHOWN = 5

RUN_STATES = {
    "done": "finished",
    "running": "still running",
    "cut off": "cut off; the same command goes on where it stopped",
    "unknown": "not finished: running on another machine, or cut off there",
}


def show_info(found: Mapping[str, Any], console: Console) -> None:
    """Print what a store holds; untrained banks are marked."""
    facts = _facts()
    facts.add_row("store", f"{found['uri']} (format {found['format_version']}, id {found['id']})")
    counts = ", ".join(f"{count} {status}" for status, count in found["videos"].items()) or "none"
    facts.add_row("videos", f"{counts}; {found['hours']:.3f} h")
    facts.add_row("lines", ", ".join(f"{rows} {name}" for name, rows in found["rows"].items()))
    facts.add_row("on disk", f"{found['num_bytes'] / 1e6:.1f} MB live")
    facts.add_row("runs", str(found["runs"]))
    console.print(facts, markup=False, highlight=False)
    if not found["banks"]:
        console.print("no banks yet")
        return
    console.print()
    names = ("rows", "dim", "key times", "videos")
    counted = [Column(name, justify="right", no_wrap=True) for name in names]
    banks = Table(
        Column("bank", no_wrap=True),
        "kind",
        *counted,
        "type",
        "model",
        "weights",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for name, bank in sorted(found["banks"].items()):
        banks.add_row(
            name,
            str(bank.get("kind")),
            *(str(bank.get(key)) for key in ("rows", "dim", "key_times", "videos")),
            str(bank.get("dtype")),
            str(bank.get("model")),
            _weights(bank),
        )
    console.print(banks, markup=False, highlight=False)


def _weights(bank: Mapping[str, Any]) -> str:
    digest = bank.get("weights_digest")
    words = "UNTRAINED" if bank.get("untrained") else digest[:12] if digest else "none"
    mixed = bank.get("variants", 1) > 1
    return f"{words} (parts made with {bank['variants']} settings)" if mixed else words


def run_status(store: Store) -> dict[str, Any]:
    """The last run: spans committed of spans planned for each stage; and videos that are not ok."""
    runs = store.runs()
    lines = store.sql(
        "SELECT video_id, status, error FROM videos WHERE status <> 'ok' ORDER BY video_id"
    ).to_pylist()
    if not runs:
        return {"run": None, "state": None, "stages": {}, "videos": lines}
    last = max(runs, key=lambda run: (run.get("started", ""), run["run"]))
    # What a run that has ended says of itself: its commits may have been merged and collected.
    told = last.get("committed") if last.get("ended") is not None else None
    done = committed_spans(store, last["run"]) if told is None else told
    return {
        "run": last["run"],
        "started": last.get("started"),
        "ended": last.get("ended"),
        "state": run_state(last),
        "stages": {
            stage: {"planned": planned, "committed": min(done.get(stage, 0), planned)}
            for stage, planned in last.get("planned", {}).items()
        },
        "videos": lines,
    }


def run_state(record: Mapping[str, Any]) -> str:
    """'done', 'running', 'cut off', or 'unknown' where its driver ran on another machine."""
    if record.get("ended") is not None:
        return "done"
    machine = record.get("machine", {})
    if machine.get("host") != platform.node():
        return "unknown"
    try:
        born = psutil.Process(machine["pid"]).create_time()
    except psutil.NoSuchProcess:
        return "cut off"
    # Process numbers are used again: one that was born after the run began is somebody else.
    began = datetime.fromisoformat(record["started"]).timestamp()
    return "running" if born <= began + 1 else "cut off"


def show_status(found: Mapping[str, Any], console: Console) -> None:
    """Print the state of the last run."""
    if found["run"] is None:
        console.print("no run yet: reelbank extract INPUT --store STORE begins one")
        return
    facts = _facts()
    facts.add_row("run", found["run"])
    facts.add_row("started", found["started"])
    facts.add_row("state", RUN_STATES[found["state"]])
    if found["ended"]:
        facts.add_row("ended", found["ended"])
    console.print(facts, markup=False, highlight=False)
    if found["stages"]:
        console.print()
    else:
        console.print("everything was there already: nothing to compute")
    for stage, counts in found["stages"].items():
        console.print(
            f"{stage:<18} {counts['committed']} of {counts['planned']} spans committed",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if found["videos"]:
        console.print()
    for line in found["videos"]:
        console.print(
            f"{line['status']}: {line['video_id']!r}: {line['error']}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def show_report(report: Report, console: Console) -> None:
    """Print what a check of a store found; leftovers of cut-off runs are told, but are no fault."""
    lines = [f"{one.path}: {one.error}" for one in report.problems]
    lines += [f"{one.path}: {one.error} (a warning)" for one in report.warnings]
    lines += [f"{path}: no commit names it" for path in report.orphans[:NUM_ORPHANS_SHOWN]]
    if len(report.orphans) > NUM_ORPHANS_SHOWN:
        lines.append(f"... and {len(report.orphans) - NUM_ORPHANS_SHOWN} more that no commit names")
    lines.append(
        f"{report.num_files} files read: {len(report.problems)} faults, "
        f"{len(report.warnings)} warnings, "
        f"{len(report.orphans)} leftovers of cut-off runs (harmless)"
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _facts() -> Table:
    """Names and values beside each other."""
    return Table(
        Column(no_wrap=True, style="bold"),
        Column(overflow="fold"),
        show_header=False,
        box=None,
        pad_edge=False,
    )
