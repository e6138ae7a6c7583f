"""What a store holds, counted."""

from collections import Counter
from typing import Any

from reelbank.stores.descriptions import bank_descriptions
from reelbank.stores.files import Files
from reelbank.stores.live import LiveSet
from reelbank.stores.queries import SqlEngine
from reelbank.stores.schemas import FORMAT_VERSION, SCHEMAS

_VIDEOS = """
SELECT status, count(*) AS num, sum(coalesce(covered_seconds, end_seconds, 0)) AS seconds
FROM videos GROUP BY status
"""


def store_info(
    store_id: str,
    files: Files,
    live: LiveSet,
    engine: SqlEngine,
    *,
    num_runs: int,
) -> dict[str, Any]:
    """Plain JSON: videos by status, hours, rows, banks, bytes and runs."""
    lines = engine.query(live, list, _VIDEOS).to_pylist()
    statuses = Counter({str(line["status"]): int(line["num"]) for line in lines})
    # Work without a line in `videos`: the run was stopped before it came to that.
    known = engine.query(live, list, "SELECT DISTINCT video_id FROM videos")["video_id"]
    statuses["unfinished"] = len(set(live.videos()) - set(known.to_pylist()))
    return {
        "uri": files.uri,
        "id": store_id,
        "format_version": FORMAT_VERSION,
        "videos": {name: count for name, count in sorted(statuses.items()) if count},
        "hours": sum(line["seconds"] for line in lines) / 3600,
        "rows": {table: _num_lines(engine, live, table) for table in SCHEMAS},
        "banks": bank_descriptions(live),
        "num_bytes": sum(entry.num_bytes for entry in live.all_files()),
        "runs": num_runs,
    }


def _num_lines(engine: SqlEngine, live: LiveSet, table: str) -> int:
    visible = live.visible(table)
    if all(one.only is None for one in visible):
        return sum(one.entry.num_rows for one in visible)
    found = engine.query(live, list, f'SELECT count(*) AS num FROM "{table}"')
    return int(found["num"][0].as_py())
