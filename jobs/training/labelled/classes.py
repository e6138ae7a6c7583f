"""The classes of a task: the columns of targets, logits and scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelbank.stores.labels import set_and_version
from reelbank.stores.names import unknown
from reelbank.stores.store import Store

_CLASSES = """
SELECT label_id, label, evaluated FROM classes
WHERE label_set = $name AND version = $version AND task = $task ORDER BY label_id
"""


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes by rising number; column c of targets and scores is of the c-th."""

    ids: tuple[int, ...]
    """Number of each class in the label map."""
    names: tuple[str, ...]
    """Its name."""
    is_evaluated: tuple[bool, ...]
    """Whether it counts in the test."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def evaluated_columns(self) -> list[int]:
        """Columns of the classes that count."""
        return [column for column, counts in enumerate(self.is_evaluated) if counts]

    def columns(self, label_ids: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        """Column of each class number; ValueError for one that is not in the label map."""
        ids = np.array(self.ids, np.int64)
        places = np.minimum(np.searchsorted(ids, label_ids), len(ids) - 1)
        strange = label_ids[ids[places] != label_ids]
        if len(strange):
            raise ValueError(
                f"label set {where}: class {strange[0]} is not in its label map; import the set "
                "again with the map of its version"
            )
        return places.astype(np.int64)


def read_classes(
    store: Store, label_set: str, task: str, evaluated: Sequence[str] | None = None
) -> Classes:
    """The label map of a set for a task, with the classes that are called `evaluated` or, where
    that is None, those that the map says.

    Raises ValueError where the set has no map for the task, or a class is not in it.
    """
    name, version = set_and_version(label_set)
    lines = store.sql(_CLASSES, {"name": name, "version": version, "task": task}).to_pylist()
    if not lines:
        raise ValueError(
            f"label set {label_set} has no label map for task {task!r}; import it together with "
            "the file of its classes"
        )
    names = [str(line["label"]) for line in lines]
    for wanted in evaluated or ():
        if wanted not in names:
            raise unknown(f"class in labels.evaluated of {label_set}", wanted, names)
    counts = [
        line["evaluated"] if evaluated is None else line["label"] in evaluated for line in lines
    ]
    if not any(counts):
        raise ValueError(f"no class of {label_set} is evaluated; name some in labels.evaluated")
    return Classes(tuple(line["label_id"] for line in lines), tuple(names), tuple(counts))
