"""What must hold of units and files before they are written or committed."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.stages import bank_of, tables_of


def check_slices(units: Sequence[Unit], first: NDArray[Any]) -> None:
    """Each unit's rows lie where `first` says; ValueError otherwise."""
    for unit in units:
        low, high = unit.time_offset, unit.time_offset + unit.num_times
        if not 0 <= low <= high < len(first):
            raise ValueError(f"{unit.video_id!r}: key times {low} to {high} are not in the group")
        if (first[low], first[high]) != (unit.row_offset, unit.row_offset + unit.num_rows):
            raise ValueError(
                f"{unit.video_id!r}: `first` gives rows {first[low]} to {first[high]}, the unit "
                f"says {unit.row_offset} to {unit.row_offset + unit.num_rows}"
            )


def check_commit(stage: str, units: Sequence[Unit], files: Sequence[FileEntry]) -> None:
    """Units and files belong to the stage, one unit for each video; ValueError otherwise."""
    tables = tables_of(stage)
    if not units or any(unit.stage != stage for unit in units):
        raise ValueError(f"a commit of stage {stage!r} needs units, all of that stage")
    for entry in files:
        allowed = entry.name in tables if entry.kind == "table" else entry.name == bank_of(stage)
        if not allowed:
            raise ValueError(f"stage {stage!r} does not write the {entry.kind} {entry.name!r}")
    groups = [entry.path for entry in files if entry.kind == "bank"]
    if any(unit.group is not None and unit.group not in groups for unit in units):
        raise ValueError(f"a commit of stage {stage!r} has a unit in a group that it does not name")
    several = len(groups) > 1 and all(unit.group is not None for unit in units)
    single = [entry for entry in files if not (several and entry.kind == "bank")]
    if len({(entry.kind, entry.name) for entry in single}) != len(single):
        raise ValueError(f"a commit of stage {stage!r} has two files of one table or bank")
    videos: set[str] = set()
    for unit in units:
        if unit.video_id in videos:
            raise ValueError(
                f"a commit has two units of {unit.video_id!r}; a part is one span of a long video "
                "or several whole videos"
            )
        videos.add(unit.video_id)
