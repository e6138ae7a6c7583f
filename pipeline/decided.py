"""Writing what is decided once for a whole video: finish stages, and videos that cannot be read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from reelbank.pipeline.stages import StageSpec, naming_base, unit_bases, unit_key
from reelbank.stores.commits import Unit
from reelbank.stores.records import Failure, VideoInfo
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.store import Store

Lines = dict[str, list[dict[str, Any]]]
"""Lines for each table that a finish stage writes."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What one finish stage says of one video."""

    video_id: str
    digest: str
    """SHA-256 of the video."""
    lines: Lines
    final: bool = True
    """Whether a later run with the same inputs would say the same; if not it will try again."""


def commit_decided(
    stage: str,
    decided: Sequence[Decided],
    *,
    store: Store,
    specs: Mapping[str, StageSpec],
    run: str,
) -> int:
    """Write and commit what one finish stage says of some videos; bytes written."""
    units = [_unit(stage, one, specs) for one in decided]
    key, attempt = store.commit_key(stage, units), store.new_attempt()
    files = [
        store.write_table(
            table,
            key=key,
            attempt=attempt,
            data=pa.Table.from_pylist(
                [line for one in decided for line in one.lines[table]], schema=SCHEMAS[table]
            ),
        )
        for table in decided[0].lines
    ]
    store.commit(stage, units, files, run=run, attempt=attempt)
    return sum(file.num_bytes for file in files)


def _unit(stage: str, one: Decided, specs: Mapping[str, StageSpec]) -> Unit:
    bases = unit_bases(stage, specs, one.digest)
    details: dict[str, Any] = {"ingredients": dict(specs[stage].ingredients)}
    name = naming_base(bases)
    if one.final:
        details |= bases
    else:
        name = f"{name} given up"
    for line in one.lines.get("videos", ()):
        # Where the file lies is said anew when it moves, though nothing else depends on it.
        details["file"] = [line["source"], line["modified_ns"]]
        name = f"{name} {details['file']}"
    return Unit(
        video_id=one.video_id,
        digest=one.digest,
        stage=stage,
        start_seconds=0.0,
        end_seconds=math.inf,
        key=unit_key(name, one.video_id, 0.0, math.inf),
        num_rows=len(next(iter(one.lines.values()))),
        details=details,
    )


def video_line(video: VideoInfo) -> dict[str, Any]:
    """The columns of `videos` that a probe fills."""
    line = asdict(video)
    for name in ("nominal_rate", "time_base"):
        line[name] = str(line[name])
    return line


def given_up(video: VideoInfo, error: str) -> Decided:
    """A video that could be probed, but whose decoding failed; a later run will try again."""
    line = dict.fromkeys(SCHEMAS["videos"].names) | video_line(video)
    return _failed(line, stage="decode", error=error, final=False)


def unreadable(
    video_id: str,
    *,
    source: str,
    digest: str,
    num_bytes: int | None,
    modified_ns: int | None,
    error: str,
    final: bool,
) -> Decided:
    """A video of which nothing can be had."""
    line = dict.fromkeys(SCHEMAS["videos"].names) | {
        "video_id": video_id,
        "source": source,
        "digest": digest,
        "num_bytes": num_bytes,
        "modified_ns": modified_ns,
    }
    return _failed(line, stage="probe", error=error, final=final)


def _failed(line: dict[str, Any], *, stage: str, error: str, final: bool) -> Decided:
    """The line of `videos` marked failed, and its failure."""
    failure = Failure(line["video_id"], stage, 0.0, None, error)
    lines = {"videos": [line | {"status": "failed", "error": error}], "failures": [asdict(failure)]}
    return Decided(line["video_id"], line["digest"], lines, final)
