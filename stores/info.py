"""What a store holds, counted; and what foreign readers should know of its banks."""

import json
from collections import Counter
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from reelbank.stores.bank import bank_metadata
from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet, VisibleFile
from reelbank.stores.stages import bank_stage
from reelbank.stores.schemas import FORMAT_VERSION, SCHEMAS


def store_info(store_id: str, files: Files, live: LiveSet, *, num_runs: int) -> dict[str, Any]:
    """Plain JSON: videos by status, hours, rows, banks, bytes and runs."""
    columns = ["video_id", "status", "end_seconds", "covered_seconds"]
    lines = [line for one in live.visible("videos") for line in _lines(files, one, columns)]
    known = {line["video_id"] for line in lines}
    statuses = Counter(str(line["status"]) for line in lines)
    # Work without a line in `videos`: the run was stopped before it came to that.
    statuses["unfinished"] = len(set(live.videos()) - known)
    seconds = sum(line["covered_seconds"] or line["end_seconds"] or 0.0 for line in lines)
    return {
        "uri": files.uri,
        "id": store_id,
        "format_version": FORMAT_VERSION,
        "videos": {name: count for name, count in sorted(statuses.items()) if count},
        "hours": seconds / 3600,
        "rows": {table: _num_lines(files, live, table) for table in SCHEMAS},
        "banks": bank_descriptions(live),
        "num_bytes": sum(entry.num_bytes for entry in live.all_files()),
        "runs": num_runs,
    }


def bank_descriptions(live: LiveSet) -> dict[str, dict[str, Any]]:
    """For each live bank: the metadata of its newest part, how much there is, whether all agree."""
    found = {}
    for bank in live.banks():
        items = live.select(stage=bank_stage(bank))
        newest = max(items, key=lambda item: item.order)
        variants = {json.dumps(bank_metadata(item), sort_keys=True) for item in items}
        found[bank] = bank_metadata(newest) | {
            "rows": sum(item.unit.num_rows for item in items),
            "key_times": sum(item.unit.num_times for item in items),
            "videos": len({item.unit.video_id for item in items}),
            # More than 1: some parts were made with other settings than the newest.
            "variants": len(variants),
        }
    return found


def _num_lines(files: Files, live: LiveSet, table: str) -> int:
    return sum(
        one.entry.num_rows if one.only is None else len(_lines(files, one, ["video_id"]))
        for one in live.visible(table)
    )


def _lines(files: Files, visible: VisibleFile, columns: list[str]) -> list[dict[str, Any]]:
    with files.open(visible.entry.path) as stream:
        table = pq.ParquetFile(stream).read(columns=columns, use_threads=False)
    if visible.only is not None:
        table = table.filter(pc.field("video_id").isin(visible.only))
    lines: list[dict[str, Any]] = table.to_pylist()
    return lines
