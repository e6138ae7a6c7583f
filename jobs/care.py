"""The commands that look after a store, and what they say: compact, gc, remove, diff, migrate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Column, Table

from reelbank.stores.care.collect import CollectReport
from reelbank.stores.care.compact import CompactReport
from reelbank.stores.care.compare import StoreDifference
from reelbank.stores.care.migrate import MigrateReport
from reelbank.stores.names import unknown
from reelbank.stores.store import Store

DIFFERENT_STATUS = 1
"""Exit status of `reelbank diff` where the stores are not alike."""

REMOVAL_RUN = "remove"
"""What a removal names as its run."""

NUM_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What a removal did."""

    videos: tuple[str, ...]
    """Taken out now."""
    removed_before: tuple[str, ...]
    """Asked for, and out already."""


def remove(
    store: Store, video_ids: Sequence[str], *, confirm: Callable[[str], bool]
) -> RemoveReport | None:
    """Take videos out of the store; None where the person asked says no.

    ValueError, with close names, for a video that the store does not have; then nothing is removed.
    """
    live = store.live()
    known = {video_id for stage in live.stages() for video_id in live.videos(stage)}
    columns = store.columns()
    removals = columns.commits(columns.removals)
    before = {video_id for commit in removals for video_id in commit.removes} - known
    known |= _told_of(store) - before
    wanted = tuple(dict.fromkeys(video_ids))
    for video_id in wanted:
        if video_id not in known and video_id not in before:
            raise unknown("video", video_id, known)
    there = tuple(video_id for video_id in wanted if video_id in known)
    if there:
        names = ", ".join(map(repr, there[:NUM_SHOWN])) + (", ..." if there[NUM_SHOWN:] else "")
        question = f"remove {len(there)} of {len(known)} videos with all that was made of them"
        if not confirm(f"{question}: {names}?"):
            return None
        store.remove(there, run=REMOVAL_RUN)
    return RemoveReport(there, tuple(video_id for video_id in wanted if video_id in before))


def _told_of(store: Store) -> set[str]:
    """Videos in the records of runs: of a file that could not be read there is nothing else."""
    totals = (run.get("totals") or {} for run in store.runs())
    return {video_id for one in totals for video_id in one.get("status", ())}


def show_removal(report: RemoveReport | None, console: Console) -> None:
    """Say what was removed, and what brings it off the disk."""
    if report is None:
        _say(console, "nothing was removed")
        return
    if report.removed_before:
        names = ", ".join(map(repr, report.removed_before[:NUM_SHOWN]))
        _say(console, f"removed before: {names}")
    if not report.videos:
        return
    _say(
        console,
        f"{len(report.videos)} videos removed: no query and no bank shows them any more. Their "
        "bytes leave the disk with `reelbank compact` and then `reelbank gc`, which keeps what is "
        "younger than its --grace hours",
    )


def show_compaction(report: CompactReport, console: Console) -> None:
    """Say what was merged, and what could not be."""
    for problem in report.problems:
        _say(console, f"left as it was: {problem}")
    if not report.commits_before:
        _say(console, "nothing to compact")
        return
    _say(
        console,
        f"{report.commits_before} commits merged into {report.commits_after} "
        f"({_megabytes(report.num_bytes)} written); the old files stay until `reelbank gc`",
    )


def show_collection(report: CollectReport, console: Console) -> None:
    """Say what was deleted, or would be."""
    verb = "would be deleted" if report.is_dry_run else "deleted"
    if report.is_dry_run:
        for name in (*report.commits, *report.files):
            _say(console, name)
    for run in report.runs:
        _say(console, f"run {run}: its record named a removed video")
    _say(
        console,
        f"{verb}: {len(report.commits)} commits, {len(report.files)} files and groups "
        f"({_megabytes(report.num_bytes)})",
    )


def show_migration(report: MigrateReport, console: Console) -> None:
    """Say from which format to which."""
    if report.before == report.after:
        _say(console, f"format {report.after} is the newest: nothing to do")
    else:
        _say(console, f"format {report.before} became format {report.after}")


def show_difference(found: StoreDifference, console: Console) -> None:
    """Print two stores side by side: coverage, lines, banks, settings, and whether all is alike."""
    for name, videos in (
        ("videos of A alone", found.only_a),
        ("videos of B alone", found.only_b),
        ("videos of other bytes", found.other_content),
        ("spans that differ", [f"{one.video_id!r} {one.stage}" for one in found.coverage]),
    ):
        if videos:
            shown = ", ".join(map(str, videos[:NUM_SHOWN]))
            more = ", ... (all with --json)" if videos[NUM_SHOWN:] else ""
            _say(console, f"{name}: {len(videos)}: {shown}{more}")
    _say(console, f"videos of both: {found.num_common}")
    console.print(_lines_table(found), markup=False, highlight=False)
    if found.banks:
        console.print(_banks_table(found), markup=False, highlight=False)
    for setting in found.settings:
        _say(console, f"{setting.path}: {setting.a!r} / {setting.b!r}")
    _say(console, "the stores are alike" if found.is_alike else "the stores are not alike")


def _lines_table(found: StoreDifference) -> Table:
    table = _table("lines of", "A", "B")
    for name, (a, b) in found.lines.items():
        if a or b:
            table.add_row(name, str(a), str(b))
    return table


def _banks_table(found: StoreDifference) -> Table:
    table = _table("bank", "pairs", "identical", "A alone", "B alone", "mean cosine", "least")
    for bank in found.banks:
        cosines = (bank.mean_cosine, bank.min_cosine)
        table.add_row(
            bank.bank,
            *map(str, (bank.num_pairs, bank.num_identical, bank.only_a, bank.only_b)),
            *("none" if one is None else f"{one:.6f}" for one in cosines),
        )
    return table


def _table(first: str, *others: str) -> Table:
    columns = [Column(first, overflow="fold"), *(Column(one, justify="right") for one in others)]
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
