"""Names of removed videos taken out of the records of runs from before their removal."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from reelbank.stores.commits import Commit
from reelbank.stores.store import Store

REMOVED = "(removed)"
"""What stands in the place of a name."""


def scrub_runs(store: Store, removals: Sequence[Commit], *, dry_run: bool) -> list[str]:
    """Take the names out that no video of the store has now; ids of the runs whose records change.

    Not by the time of a run: machines' clocks differ.
    """
    changed = []
    names = {name for commit in removals for name in commit.removes} - set(store.live().videos())
    for record in store.runs() if names else ():
        run = record["run"]
        scrubbed = without_names(record, names)
        if scrubbed != record:
            changed.append(run)
            if not dry_run:
                store.write_run(run, scrubbed)
    return changed


def without_names(value: Any, names: Collection[str]) -> Any:
    """The same plain JSON without these names: entries under them go, in texts they are replaced.

    A name counts where no letter, digit or '_' adjoins it: as a file of a folder, in a sentence.
    """
    if not names:
        return value
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    # As Python writes it, too: errors quote names so.
    spellings = [one for name in longest_first for one in _spellings(name)]
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, spellings)) + r")(?!\w)")
    return _without(value, frozenset(names), pattern)


def _without(value: Any, names: frozenset[str], pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(REMOVED, value)
    if isinstance(value, dict):
        return {
            pattern.sub(REMOVED, key): _without(item, names, pattern)
            for key, item in value.items()
            if key not in names
        }
    if isinstance(value, list):
        return [_without(item, names, pattern) for item in value]
    return value


def _spellings(name: str) -> Iterable[str]:
    return dict.fromkeys((name, repr(name)[1:-1], json.dumps(name)[1:-1]))
