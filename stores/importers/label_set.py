"""What an importer is told and what it gives back."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from reelbank.stores.labels import label_schema

Line = dict[str, Any]
"""Columns of one line of `labels` that are not null; who reads the file sets `source_line`."""

LINE_SCHEMA = pa.schema([field for field in label_schema("labels") if field.name != "video_id"])
"""Columns of lines before their names are matched to videos."""

CLASS_SCHEMA = label_schema("classes")
"""Columns of a label map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """What a person may say about files in place of what they say of themselves."""

    name: str | None = None
    """Name of the label set; None: that of the data set."""
    version: str | None = None
    """Version of the label set; None: that of the files."""
    split: str | None = None
    """Split of all lines; None: that of each file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSet:
    """Checked lines of annotation files; their times are the files', their names unmatched."""

    name: str
    version: str
    lines: pa.Table
    """Of `LINE_SCHEMA`, file after file, in the files' order."""
    classes: pa.Table
    """Of `CLASS_SCHEMA`, by task and number; without lines where no file names the classes."""
    notes: tuple[str, ...] = ()
    """What a person should know of the lines, a sentence each."""
    id_format: str | None = None
    """Pattern that the files themselves call for; None: any will do."""


def class_table(
    names: Mapping[str, Mapping[int, str]], evaluated: Mapping[str, Set[int]] = MappingProxyType({})
) -> pa.Table:
    """A label map from the names of each task's classes; tasks not in `evaluated` count whole."""
    lines = [
        {
            "task": task,
            "label_id": number,
            "label": label,
            "evaluated": task not in evaluated or number in evaluated[task],
        }
        for task, labels in sorted(names.items())
        for number, label in sorted(labels.items())
    ]
    return pa.Table.from_pylist(lines, schema=CLASS_SCHEMA)
