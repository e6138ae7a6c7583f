"""What a commit says: the units of work that it makes visible and the files that hold them."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reelbank.stores import layout
from reelbank.stores.keys import digest_of

Order = tuple[int, str, int]
"""Sequence, key and generation of a commit: its place in history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """One stage's work on one span of one video."""

    video_id: str
    digest: str
    """SHA-256 of the video's bytes."""
    stage: str
    """'scores', 'detections', 'bank:<name>', 'video', 'shots' or 'tracks'."""
    start_seconds: float
    end_seconds: float
    """End of the span, exclusive; infinite for the last span of a video."""
    key: str
    """Digest of all that the output depends on; the planner computes it."""
    num_rows: int
    """Lines in the stage's own table; for a bank its rows."""
    time_offset: int = 0
    """Banks: index of the unit's first key time in the group's `time`."""
    num_times: int = 0
    """Banks: how many key times the unit has there."""
    row_offset: int = 0
    """Banks: index of the unit's first row in the group's `rows`."""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Plain JSON: decode statistics; under 'bank' the metadata of a bank."""
    origin: Order | None = None
    """Place in history of the commit that compaction moved the unit from; None: it was not moved.
    A moved unit takes the place of its original, and of nothing newer."""
    group: str | None = None
    """Banks: path of the unit's group, where its commit names several."""

    def __post_init__(self) -> None:
        if not self.start_seconds < self.end_seconds:
            raise ValueError(
                f"unit of {self.video_id!r}, stage {self.stage!r}: the span "
                f"[{self.start_seconds}, {self.end_seconds}) is empty; end must exceed start"
            )
        if math.isinf(self.start_seconds):
            raise ValueError(f"unit of {self.video_id!r}: start_seconds must be finite")
        try:
            self.video_id.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"video_id {self.video_id!r} is not valid Unicode; rename the file"
            ) from error

    @property
    def span(self) -> tuple[str, str, float, float]:
        """Video, stage, start and end: where the unit's work lies."""
        return (self.video_id, self.stage, self.start_seconds, self.end_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """A file, or a Zarr group, that a commit makes visible."""

    path: str
    """Relative to the store."""
    kind: Literal["table", "bank"]
    name: str
    """Name of the table or of the bank."""
    num_bytes: int
    sha256: str
    """Of the file; of a group: of the lines '<sha256>  <name>' of its files, sorted by name."""
    num_rows: int

    def __post_init__(self) -> None:
        if not layout.is_data_path(self.path):
            raise ValueError(f"{self.path!r} is not the path of a table file or of a bank group")


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """Units that became visible together."""

    key: str
    attempt: str
    stage: str
    units: tuple[Unit, ...]
    files: tuple[FileEntry, ...]
    run: str
    sequence: int
    """One more than the greatest known when it was made; the live set orders by it."""
    replaces: tuple[str, ...] = ()
    """Keys of the commits whose units it supersedes."""
    created: str = ""
    """UTC, ISO 8601; for people only."""
    generation: int = 0
    """0 for the first commit of this key, then 1, 2, ...: made again after it was superseded."""
    removes: tuple[str, ...] = ()
    """Videos of which nothing older counts any more."""

    @property
    def name(self) -> str:
        """File name."""
        return layout.commit_name(self.key, self.generation)

    @property
    def order(self) -> Order:
        """Later commits compare greater."""
        return (self.sequence, self.key, self.generation)

    def to_json(self) -> bytes:
        """Strictly valid JSON; an open end is null."""
        plain = {
            name: getattr(self, name)
            for name in ("key", "generation", "attempt", "stage", "run", "sequence", "created")
        }
        plain["replaces"] = list(self.replaces)
        plain["removes"] = list(self.removes)
        plain["units"] = [_unit_to_plain(unit) for unit in self.units]
        plain["files"] = [dataclasses.asdict(entry) for entry in self.files]
        return json.dumps(plain, allow_nan=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> "Commit":
        """Read `to_json`'s output; any fault is a ValueError."""
        try:
            plain = json.loads(data)
            units = tuple(_unit_from_plain(unit) for unit in plain.pop("units"))
            files = tuple(FileEntry(**entry) for entry in plain.pop("files"))
            replaces = tuple(plain.pop("replaces"))
            removes = tuple(plain.pop("removes", ()))
            return cls(units=units, files=files, replaces=replaces, removes=removes, **plain)
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ValueError(f"not a commit of format 1: {error!r}") from error


def commit_key(stage: str, units: Sequence[Unit | str]) -> str:
    """Digest that names the commit of a stage on these units (given whole, or by their keys)."""
    keys = sorted(unit if isinstance(unit, str) else unit.key for unit in units)
    return digest_of({"stage": stage, "units": keys})


def _unit_to_plain(unit: Unit) -> dict[str, Any]:
    plain = {name.name: getattr(unit, name.name) for name in dataclasses.fields(Unit)}
    plain["end_seconds"] = None if math.isinf(unit.end_seconds) else unit.end_seconds
    plain["details"] = dict(unit.details)
    return plain


def _unit_from_plain(plain: Mapping[str, Any]) -> Unit:
    fields = dict(plain)
    if fields["end_seconds"] is None:
        fields["end_seconds"] = math.inf
    if fields.get("origin") is not None:
        fields["origin"] = _order(fields["origin"])
    return Unit(**fields)


def _order(plain: Sequence[Any]) -> Order:
    sequence, key, generation = plain
    return int(sequence), str(key), int(generation)
