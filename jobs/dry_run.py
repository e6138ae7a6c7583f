"""What an extraction would do, stage by stage, and why; nothing is computed or written."""

import json
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.query import WIDE
from reelbank.jobs.recipe import resolved_yaml


def show_plan(request: ExtractRequest, console: Console, *, as_json: bool) -> None:
    """Print each stage of each video as reuse or compute with its reason, and the settings."""
    job = Extraction(request, console, dry=True)
    try:
        found = job.plan()
    finally:
        job.close()
    if as_json:
        plain = {
            "stages": [
                {
                    "video": one.video_id,
                    "stage": one.stage,
                    "action": one.action,
                    "reason": one.reason,
                }
                for one in found.decisions
            ],
            "unreadable": [
                {"video": one.source.video_id, "error": one.error} for one in job.intake.unreadable
            ],
            "parts": len(found.parts),
        }
        sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table("video", "stage", "action", "reason", box=None, pad_edge=False)
    for one in found.decisions:
        table.add_row(repr(one.video_id), one.stage, one.action, one.reason)
    wide = console if console.is_terminal else Console(file=console.file, width=WIDE)
    wide.print(table, markup=False, highlight=False)
    for lost in job.intake.unreadable:
        console.print(
            f"cannot be extracted: {lost.source.video_id!r}: {lost.error}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    counts = Counter(one.action for one in found.decisions)
    console.print(
        f"\n{counts['reuse']} stages reused, {counts['compute']} computed in "
        f"{len(found.parts)} parts. Settings:\n",
        highlight=False,
        soft_wrap=True,
    )
    console.print(resolved_yaml(request.settings), markup=False, highlight=False, soft_wrap=True)
