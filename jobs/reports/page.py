"""The page: what a store holds, for a person who opens it for the first time.

One file that loads nothing: pictures are inside it, and its own policy forbids the browser to
fetch. However much the store holds, the page stays below about 30 MB: pictures are spread over
at most `MAX_VIDEOS` videos, and everything drawn or listed has a bound of its own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from markupsafe import Markup

from reelbank.jobs.reports.clock import duration_text
from reelbank.jobs.reports.contents import Contents, read_contents
from reelbank.jobs.reports.rendering import write_page
from reelbank.jobs.reports.similarity import Similarity, draw_similarity
from reelbank.jobs.reports.thumbnails import Thumbnail, make_thumbnails
from reelbank.jobs.reports.timeline import Timeline
from reelbank.stores.store import Store

MAX_VIDEOS = 60
"""Most videos with a part of their own; the others have a line in the table."""
MAX_LISTED = 500
"""Most lines of the table of videos."""
MAX_THUMBNAILS = 360
"""Most pictures on the page."""
MAX_THUMBNAILS_PER_VIDEO = 24
MAX_SIMILARITY_PIXELS = 12 * 400 * 400
"""Most pixels of all similarity pictures together."""
MAX_RESULT_LINES = 50
"""Most lines shown of a query's result."""
MAX_FAILURES = 20
"""Most failures listed for one video."""

TIMES, NOTHING = "\u00d7", "\u2013"
"""The sign between width and height, and the one that stands for an absent value."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A query and what it gave."""

    title: str
    sql: str
    columns: list[str]
    is_number: list[bool]
    lines: list[list[str]]
    num_lines: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """One video's part of the page."""

    number: int
    video_id: str
    status: str
    error: str | None
    facts: list[tuple[str, str]]
    failures: list[dict[str, Any]]
    num_failures: int
    timeline: Markup
    notes: list[str]
    thumbnails: list[Thumbnail]
    num_shots: int
    pictures_note: str | None
    similarity: Similarity | None
    similarity_note: str | None


def write_report(
    store: Store, path: Path, *, queries: Sequence[tuple[str, str]] | None = None
) -> None:
    """Write the page of a store to `path`, with the answers to `queries` (title, SQL)."""
    videos: list[dict[str, Any]] = store.sql("SELECT * FROM videos ORDER BY video_id").to_pylist()
    info = store.info()
    clip_bank = _clip_bank(info["banks"])
    shown = videos[:MAX_VIDEOS]
    per_video = min(MAX_THUMBNAILS_PER_VIDEO, MAX_THUMBNAILS // max(len(shown), 1))
    side = int((MAX_SIMILARITY_PIXELS / max(len(shown), 1)) ** 0.5)
    parts = [
        _part(store, number, video, clip_bank, max_thumbnails=per_video, max_side=side)
        for number, video in enumerate(shown, start=1)
    ]
    runs = sorted(store.runs(), key=lambda run: (str(run.get("started")), run["run"]))
    write_page(
        path,
        "page.html",
        uri=info["uri"],
        tiles=_tiles(info),
        banks=[_bank_line(name, bank) for name, bank in sorted(info["banks"].items())],
        listed=[_listed(number, video) for number, video in enumerate(videos[:MAX_LISTED], 1)],
        counts=_counts(store),
        num_videos=len(videos),
        num_parts=len(parts),
        answers=[_answer(store, title, sql) for title, sql in queries or ()],
        parts=parts,
        run=_run_facts(runs[-1]) if runs else None,
        has_untrained=any(bank.get("untrained") for bank in info["banks"].values()),
    )


def _part(
    store: Store,
    number: int,
    video: dict[str, Any],
    clip_bank: str | None,
    *,
    max_thumbnails: int,
    max_side: int,
) -> Part:
    contents = read_contents(store, video)
    timeline = Timeline(contents)
    thumbnails: list[Thumbnail] = []
    note: str | None = "The video could not be read, so there are no pictures."
    if video["status"] != "failed" or len(contents.sightings.times) or contents.shots:
        thumbnails, note = make_thumbnails(contents, at_most=max_thumbnails)
    similarity, similarity_note = _similarity(store, contents, clip_bank, max_side)
    return Part(
        number=number,
        video_id=contents.video_id,
        status=video["status"],
        error=video["error"],
        facts=_video_facts(contents),
        failures=contents.failures[:MAX_FAILURES],
        num_failures=len(contents.failures),
        timeline=timeline.svg,
        notes=timeline.notes,
        thumbnails=thumbnails,
        num_shots=len(contents.shots),
        pictures_note=note,
        similarity=similarity,
        similarity_note=similarity_note,
    )


def _similarity(
    store: Store, contents: Contents, clip_bank: str | None, max_side: int
) -> tuple[Similarity | None, str | None]:
    if clip_bank is None:
        return None, "The store has no clip bank, so there is no similarity to show."
    bank = store.bank(clip_bank)
    if contents.video_id not in bank.videos():
        return None, f"The bank {clip_bank!r} has nothing of this video."
    rows = np.asarray(bank.rows(contents.video_id), np.float32)
    times = np.repeat(bank.times(contents.video_id), bank.counts(contents.video_id))
    if len(rows) < 2:
        return (
            None,
            f"The bank {clip_bank!r} has {len(rows)} clip of this video: too few to compare.",
        )
    return draw_similarity(contents, rows, times, at_most=max_side), None


def _clip_bank(banks: dict[str, dict[str, Any]]) -> str | None:
    """The bank named 'clip', or else the first of that kind."""
    if "clip" in banks:
        return "clip"
    return next((name for name, bank in sorted(banks.items()) if bank.get("kind") == "clip"), None)


def _tiles(info: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Figures at the top: value, name, and a remark."""
    statuses = info["videos"]
    rows = info["rows"]
    total = sum(statuses.values())
    faults = ", ".join(f"{count} {name}" for name, count in statuses.items() if name != "ok")
    remark = faults or ("all whole" if total else "none yet")
    bank_rows = sum(bank["rows"] for bank in info["banks"].values())
    return [
        (f"{total:,}", "video" if total == 1 else "videos", remark),
        (duration_text(info["hours"] * 3600), "of film", "decoded once"),
        (f"{rows['shots']:,}", "shots", "spans between two cuts"),
        (f"{rows['tracks']:,}", "tracks", "one instance in one shot"),
        (f"{rows['detections']:,}", "detections", "boxes at key times"),
        (f"{bank_rows:,}", "feature rows", f"{len(info['banks'])} banks"),
    ]


def _bank_line(name: str, bank: dict[str, Any]) -> dict[str, Any]:
    clip = bank.get("clip") or {}
    return {
        "name": name,
        "kind": bank.get("kind", "unknown"),
        "model": bank.get("model", "unknown"),
        "clip": f"{clip['num_frames']}{TIMES}{clip['stride']}" if "num_frames" in clip else NOTHING,
        "dim": f"{bank['dim']:,}" if bank.get("dim") else NOTHING,
        "dtype": bank.get("dtype", NOTHING),
        "rows": f"{bank['rows']:,}",
        "key_times": f"{bank['key_times']:,}",
        "untrained": bool(bank.get("untrained")),
        "weights": str(bank.get("weights_digest") or "")[:12],
        "mixed": bank.get("variants", 1) > 1,
    }


def _counts(store: Store) -> dict[str, tuple[int, int, int]]:
    """Shots, tracks and detections of every video, by name."""
    table = store.sql(
        """SELECT video_id, sum(shots), sum(tracks), sum(detections) FROM (
             SELECT video_id, count(*) AS shots, 0 AS tracks, 0 AS detections FROM shots GROUP BY 1
             UNION ALL SELECT video_id, 0, count(*), 0 FROM tracks GROUP BY 1
             UNION ALL SELECT video_id, 0, 0, count(*) FROM detections GROUP BY 1
           ) GROUP BY 1"""
    )
    columns = [column.to_pylist() for column in table.columns]
    return {
        str(video_id): (int(shots), int(tracks), int(detections))
        for video_id, shots, tracks, detections in zip(*columns, strict=True)
    }


def _listed(number: int, video: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": number,
        "video_id": video["video_id"],
        "status": video["status"],
        "error": video["error"],
        "length": duration_text(video["covered_seconds"] or video["end_seconds"]),
        "size": f"{video['width']}{TIMES}{video['height']}" if video["width"] else NOTHING,
    }


def _video_facts(contents: Contents) -> list[tuple[str, str]]:
    video = contents.video
    facts = [("length", duration_text(video["covered_seconds"] or video["end_seconds"]))]
    if video["width"]:
        turned = f", turned {video['rotation']}°" if video["rotation"] else ""
        facts.append(("size", f"{video['width']}{TIMES}{video['height']}{turned}"))
    if video["codec"]:
        names = (video["codec"], video["pixel_format"])
        facts.append(("codec", ", ".join(name for name in names if name)))
    if video["rate"]:
        clock = " (counted)" if video["clock"] == "counted" else ""
        facts.append(("rate", f"{video['rate']:.4g} frames/s{clock}"))
    if video["decoded_frames"] is not None:
        facts.append(("frames", f"{video['decoded_frames']:,}{_corrupt(video)}"))
    if video["num_bytes"] is not None:
        facts.append(("file", _bytes_text(video["num_bytes"])))
    facts += [
        ("shots", f"{len(contents.shots):,}"),
        ("tracks", f"{len(contents.tracks):,}"),
        ("detections", f"{len(contents.sightings.times):,}"),
    ]
    return facts


def _corrupt(video: dict[str, Any]) -> str:
    declared, corrupt = video["declared_frames"], video["corrupt_frames"]
    remarks = []
    if declared and declared != video["decoded_frames"]:
        remarks.append(f"{declared:,} declared")
    if corrupt:
        remarks.append(f"{corrupt:,} corrupt")
    return f" ({', '.join(remarks)})" if remarks else ""


def _bytes_text(count: int) -> str:
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}" if value < 100 else f"{value:.0f} {units[0]}"


def _answer(store: Store, title: str, sql: str) -> Answer:
    try:
        table = store.sql(sql)
    except ValueError as error:
        return Answer(title, sql, [], [], [], 0, str(error))
    lines = [list(line.values()) for line in table.slice(0, MAX_RESULT_LINES).to_pylist()]
    return Answer(
        title=title,
        sql=sql,
        columns=table.column_names,
        is_number=[
            all(isinstance(line[number], int | float | None) for line in lines)
            for number in range(table.num_columns)
        ],
        lines=[[_cell(value) for value in line] for line in lines],
        num_lines=table.num_rows,
        error=None,
    )


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _run_facts(run: dict[str, Any]) -> dict[str, Any]:
    """The last run: when, with what, and its settings as YAML."""
    known = (("run", "run"), ("started", "started"), ("finished", "ended"))
    facts = [(name, str(run[key])) for key, name in known if run.get(key)]
    facts += [(name, str(run[name])) for name in ("engine", "version") if run.get(name)]
    libraries = run.get("libraries") or {}
    if libraries:
        facts.append(
            ("libraries", ", ".join(f"{key} {libraries[key]}" for key in sorted(libraries)))
        )
    settings = run.get("settings")
    text = ""
    if settings:
        plain = json.loads(json.dumps(settings))
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88)
    return {"facts": facts, "settings": text}
