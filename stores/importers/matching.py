"""Names of annotation files to videos of a store, and the files' times to the videos'."""

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reelbank.stores.importers.label_set import LINE_SCHEMA
from reelbank.stores.labels import label_schema

DEFAULT_ID_FORMAT = "{stem}"

# Files of one split differ in task; lines of one row keep their order, as sorting is stable.
_ORDER = ("video_id", "split", "task", "source_line")
_TIMES = ("time", "start_seconds", "end_seconds")


@dataclass(frozen=True, slots=True)
class Matched:
    """Lines of the videos that a store has, and what became of the others."""

    lines: pa.Table
    """Columns of `label_schema("labels")`, by video, split, task and line of the file."""
    unmatched: Mapping[str, int]
    """Names that no video has -> their lines, which were left out; by name."""
    unlabelled: tuple[str, ...]
    """Videos without a line, sorted."""
    outside: Mapping[str, int]
    """Videos -> lines whose time lies before 0 or not before their end; left out."""
    num_reaching_out: int
    """Lines kept whose span begins before 0 or ends after the video."""
    num_repeated: int
    """Lines kept that say the same as an earlier one."""


def named_videos(video_ids: Iterable[str], id_format: str) -> dict[str, str]:
    """Name by the pattern -> video id; ValueError where two videos would have one name.

    The pattern is text with the fields {path}, the whole id; {parent}, the name of the folder that
    holds the video; {name}, what follows the last '/'; {stem}, that without its suffix; {{ and }}
    are braces.
    """
    pieces = _parsed(id_format)
    videos: dict[str, str] = {}
    for video_id in video_ids:
        fields = _fields(video_id)
        name = "".join(
            literal + (fields[field] if field is not None else "") for literal, field in pieces
        )
        other = videos.setdefault(name, video_id)
        if other != video_id:
            raise ValueError(
                f"--id-format {id_format!r} gives one name, {name!r}, to {other!r} and to "
                f"{video_id!r}; take one that tells them apart, such as '{{parent}}/{{stem}}' or "
                "'{path}'"
            )
    return videos


def match(
    lines: pa.Table,
    *,
    ends: Mapping[str, float | None],
    id_format: str,
    time_offset: float = 0.0,
) -> Matched:
    """Lines of `LINE_SCHEMA` as labels of the videos in `ends`.

    `ends` gives each video's end in seconds, None where it is not known: then nothing lies after
    it. `time_offset` is added to the files' times. ValueError where nothing is left.
    """
    if lines.schema != LINE_SCHEMA:
        raise ValueError("lines must have the columns of LINE_SCHEMA")
    videos = named_videos(ends, id_format)
    lines, unmatched = _with_videos(lines, videos)
    if not len(lines):
        raise ValueError(_nothing_matches(unmatched, videos, id_format))
    lines = _shifted(lines, time_offset)
    reaching, outside = _out_of_videos(lines, ends)
    inside = ~outside
    if not inside.any():
        raise ValueError(_nothing_inside(lines, ends))
    left_out = _counts(lines.filter(pa.array(outside))["video_id"])
    # Filtering copies, and a set may have millions of lines.
    kept = lines if inside.all() else lines.filter(pa.array(inside))
    kept = kept.sort_by([(name, "ascending") for name in _ORDER])
    return Matched(
        lines=kept,
        unmatched=unmatched,
        unlabelled=tuple(sorted(ends.keys() - set(pc.unique(kept["video_id"]).to_pylist()))),
        outside=left_out,
        num_reaching_out=int((reaching & inside).sum()),
        num_repeated=_num_repeated(kept),
    )


def _parsed(id_format: str) -> list[tuple[str, str | None]]:
    """Text and field, turn by turn; a field has neither attributes nor a format."""
    problem = ValueError(
        f"--id-format {id_format!r} must be text with one or more of the fields {{stem}}, "
        "{name}, {parent} and {path}; braces in the text are written {{ and }}"
    )
    try:
        pieces = list(string.Formatter().parse(id_format))
    except ValueError as error:
        raise problem from error
    known = _fields("").keys()
    for _, field, spec, conversion in pieces:
        if field is not None and (field not in known or spec or conversion):
            raise problem
    if all(field is None for _, field, _, _ in pieces):
        raise problem
    return [(literal, field) for literal, field, _, _ in pieces]


def _fields(video_id: str) -> dict[str, str]:
    folder, _, name = video_id.rpartition("/")
    dot = name.rfind(".")
    # A name that only begins with dots, as '.hidden' and '..', has no suffix.
    stem = name[:dot] if name[: max(dot, 0)].strip(".") else name
    return {"path": video_id, "parent": folder.rpartition("/")[2], "name": name, "stem": stem}


def _with_videos(lines: pa.Table, videos: Mapping[str, str]) -> tuple[pa.Table, dict[str, int]]:
    """The lines whose names are videos, with their ids; and the other names with their counts."""
    names = lines["source_name"].combine_chunks().dictionary_encode()
    if isinstance(names, pa.ChunkedArray):
        names = names.combine_chunks()
    spelled = names.dictionary.to_pylist()
    ids = pa.array([videos.get(name) for name in spelled], pa.string())
    counts = np.bincount(names.indices.to_numpy(), minlength=len(spelled))
    unmatched = {
        name: int(count)
        for name, count in sorted(zip(spelled, counts, strict=True))
        if name not in videos
    }
    found = lines.append_column(pa.field("video_id", pa.string()), ids.take(names.indices))
    if unmatched:
        found = found.filter(pc.is_valid(found["video_id"]))
    return found.select(label_schema("labels").names), unmatched


def _shifted(lines: pa.Table, time_offset: float) -> pa.Table:
    if time_offset == 0:
        return lines
    if all(lines[name].null_count == len(lines) for name in _TIMES):
        raise ValueError("--time-offset is given, but no line has a time; leave it out")
    for name in _TIMES:
        place = lines.column_names.index(name)
        lines = lines.set_column(place, lines.field(name), pc.add(lines[name], time_offset))
    return lines


def _out_of_videos(
    lines: pa.Table, ends: Mapping[str, float | None]
) -> tuple[np.ndarray, np.ndarray]:
    """For each line: whether its span reaches out of its video, and whether no part is inside."""
    ids = lines["video_id"].combine_chunks().dictionary_encode()
    known = (ends[video_id] for video_id in ids.dictionary.to_pylist())
    limits = np.array([np.inf if end is None else end for end in known], np.float64)
    limit = limits[ids.indices.to_numpy()]
    first = _numbers(lines, "time", "start_seconds")
    last = _numbers(lines, "time", "end_seconds")
    # Comparisons with NaN, of lines about the whole video, are false. A span that ends at 0 lies
    # before the video; a moment, or an empty span, at 0 does not.
    outside = (first >= limit) | (last < 0) | ((last == 0) & (first < 0))
    return (first < 0) | (last > limit), outside


def _numbers(lines: pa.Table, *names: str) -> np.ndarray:
    column = pc.coalesce(*(lines[name] for name in names))
    return np.asarray(pc.fill_null(column, float("nan")).to_numpy(), np.float64)


def _counts(ids: pa.ChunkedArray) -> dict[str, int]:
    return {
        one["values"]: one["counts"] for one in sorted(pc.value_counts(ids).to_pylist(), key=_id)
    }


def _id(one: Mapping[str, str]) -> str:
    return one["values"]


def _num_repeated(lines: pa.Table) -> int:
    names = [
        name
        for name in lines.column_names
        if name not in ("source_name", "source_line") and lines[name].null_count < len(lines)
    ]
    return len(lines) - len(lines.select(names).group_by(names).aggregate([]))


def _nothing_matches(
    unmatched: Mapping[str, int], videos: Mapping[str, str], id_format: str
) -> str:
    if not videos:
        return "the store has no videos to match names with; extract them first"
    if not unmatched:
        return "the files hold no line"
    return (
        f"none of the {len(unmatched)} names in the files, such as {next(iter(unmatched))!r}, is a "
        f"video of the store by --id-format {id_format!r}, which makes names such as "
        f"{next(iter(videos))!r}"
    )


def _nothing_inside(lines: pa.Table, ends: Mapping[str, float | None]) -> str:
    one = lines.slice(0, 1).to_pylist()[0]
    moment = one["time"] if one["start_seconds"] is None else one["start_seconds"]
    return (
        f"all {len(lines)} lines lie outside of their videos: the first at {moment:g} s of "
        f"{one['video_id']!r}, which ends at {ends[one['video_id']]} s; move the times with "
        "--time-offset (-902 for AVA on cuts that begin at 902 s)"
    )
