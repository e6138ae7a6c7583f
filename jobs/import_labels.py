"""Bring annotation files into a store as a label set."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from reelbank.stores.importers import ava, charades, csv_labels, epic_kitchens, lvu
from reelbank.stores.importers.label_set import LabelSet, ReadOptions
from reelbank.stores.importers.matching import DEFAULT_ID_FORMAT, Matched, match
from reelbank.stores.layout import checked_label_set
from reelbank.stores.store import Store, open_store

IMPORTERS: dict[str, Callable[[Sequence[Path], ReadOptions], LabelSet]] = {
    "ava": ava.read,
    "charades": charades.read,
    "csv": csv_labels.read,
    "epic-kitchens": epic_kitchens.read,
    "lvu": lvu.read,
}

NUM_NAMES_SHOWN = 5

RUN = "import"
"""What commits of label sets name as their run: no extraction made them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRequest:
    """What a person asks for."""

    importer: str
    """Key of `IMPORTERS`."""
    files: tuple[Path, ...]
    store: str
    """Folder or URI."""
    options: ReadOptions
    id_format: str | None = None
    """Pattern that makes a video's id the files' name of it; None: what the files call for."""
    time_offset: float = 0.0
    """Seconds added to the files' times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What was brought in, and what was not."""

    label_set: str
    """'name@version'."""
    committed: bool
    """False: the store holds the same lines already."""
    replaced: bool
    """Whether the set held other lines before."""
    num_lines: Mapping[str, int]
    """Lines brought in, by task."""
    splits: Mapping[str, int]
    """Lines brought in, by split; '' where there is none."""
    num_videos: int
    """Videos that have a line."""
    num_classes: int
    notes: tuple[str, ...]
    matched: Matched

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, with all the names."""
        return {
            "label_set": self.label_set,
            "committed": self.committed,
            "replaced": self.replaced,
            "lines": dict(self.num_lines),
            "splits": dict(self.splits),
            "videos": self.num_videos,
            "classes": self.num_classes,
            "notes": list(self.notes),
            "unmatched_names": dict(self.matched.unmatched),
            "videos_without_labels": list(self.matched.unlabelled),
            "lines_outside": dict(self.matched.outside),
            "lines_reaching_out": self.matched.num_reaching_out,
            "lines_repeated": self.matched.num_repeated,
        }


def import_labels(request: ImportRequest) -> ImportReport:
    """Read, check, match and commit; after a ValueError the store is as it was."""
    if request.importer not in IMPORTERS:
        known = ", ".join(sorted(IMPORTERS))
        raise ValueError(f"unknown format {request.importer!r}; known: {known}")
    _check_files(request.files)
    store = open_store(request.store)
    found = IMPORTERS[request.importer](request.files, request.options)
    label_set = checked_label_set(f"{found.name}@{found.version}")
    id_format = _id_format(request, found)
    matched = match(
        found.lines,
        ends=video_ends(store),
        id_format=id_format,
        time_offset=request.time_offset,
    )
    num_lines, splits = (_counts(matched, column) for column in ("task", "split"))
    commit = store.commit_labels(
        found.name,
        found.version,
        lines=matched.lines,
        classes=found.classes,
        details={
            "importer": request.importer,
            "id_format": id_format,
            "time_offset": request.time_offset,
            "files": [_description(path) for path in request.files],
            "lines": num_lines,
            "unmatched_lines": sum(matched.unmatched.values()),
            "lines_outside": sum(matched.outside.values()),
        },
        run=RUN,
    )
    return ImportReport(
        label_set=label_set,
        committed=commit is not None,
        replaced=commit is not None and bool(commit.replaces),
        num_lines=num_lines,
        splits=splits,
        num_videos=len(matched.lines["video_id"].unique()),
        num_classes=len(found.classes),
        notes=found.notes,
        matched=matched,
    )


def video_ends(store: Store) -> dict[str, float | None]:
    """Each video of the store -> its end in seconds, None where no one knows it."""
    ends: dict[str, float | None] = dict.fromkeys(store.live().videos())
    lines = store.sql("SELECT video_id, greatest(end_seconds, covered_seconds) AS e FROM videos")
    ends.update(zip(lines["video_id"].to_pylist(), lines["e"].to_pylist(), strict=True))
    return ends


def show_import(report: ImportReport, console: Console) -> None:
    """Print what was brought in, and what was left out and why."""
    for line in _sentences(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _sentences(report: ImportReport) -> list[str]:
    matched = report.matched
    verb = "replaced" if report.replaced else "brought in"
    lines = [
        f"{report.label_set}: {verb if report.committed else 'the store holds the same already'}",
        f"{_listed(report.num_lines)} lines of {report.num_videos} videos, "
        f"{report.num_classes} classes",
        f"splits: {_listed({name or 'none': count for name, count in report.splits.items()})}",
        *report.notes,
    ]
    if matched.unmatched:
        left_out = sum(matched.unmatched.values())
        lines.append(
            f"names without a video in the store: {len(matched.unmatched)} ({left_out} lines left "
            f"out): {_first(matched.unmatched)}"
        )
    if matched.unlabelled:
        count = len(matched.unlabelled)
        lines.append(f"videos without a label: {count}: {_first(matched.unlabelled)}")
    if matched.outside:
        lines.append(
            f"lines before or after their videos, left out: {sum(matched.outside.values())}, of "
            f"{_first(matched.outside)}"
        )
    if matched.num_reaching_out:
        lines.append(f"spans that reach out of their videos, kept: {matched.num_reaching_out}")
    if matched.num_repeated:
        lines.append(f"lines that repeat an earlier one, kept: {matched.num_repeated}")
    return lines


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _first(names: Sequence[str] | Mapping[str, int]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:NUM_NAMES_SHOWN])
    return shown + (", ... (all with --json)" if len(names) > NUM_NAMES_SHOWN else "")


def _check_files(files: Sequence[Path]) -> None:
    if not files:
        raise ValueError("no annotation files are given")
    for path in files:
        if not path.is_file():
            raise ValueError(f"{path} is not a file")
    if len({path.resolve() for path in files}) != len(files):
        raise ValueError("a file is given twice; give each once")


def _id_format(request: ImportRequest, found: LabelSet) -> str:
    if request.id_format is not None and found.id_format is not None:
        raise ValueError(
            "the files give whole video ids in a column video_id; leave --id-format out, or call "
            "the column name"
        )
    return request.id_format or found.id_format or DEFAULT_ID_FORMAT


def _counts(matched: Matched, column: str) -> dict[str, int]:
    found = matched.lines[column].value_counts().to_pylist()
    return dict(sorted((one["values"] or "", one["counts"]) for one in found))


def _description(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        return {"name": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
