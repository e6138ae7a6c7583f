"""Which trainings a sweep consists of: read and checked before the first one begins."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.training.config import FREE_SETTINGS
from reelbank.jobs.training.settings import TrainSettings

MEMBER_STEP = 1000
"""The j-th member of an ensemble has j times this on top of its seed: with seeds below it no two
members share one, and the first is the training of the line without an ensemble."""


@dataclass(frozen=True, slots=True)
class Member:
    """One training."""

    name: str
    """What a person calls it: line, value, seed."""
    settings: TrainSettings
    """What is trained and tested."""
    folder: str
    """Name of its folder; the same settings have the same one, in whichever line they stand."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a line: a training, or several whose scores are averaged."""

    line: str
    value: float | None
    """Its place on the axis; None without one."""
    seed: int
    members: tuple[Member, ...]

    @property
    def folders(self) -> list[str]:
        """Those of its members."""
        return [member.folder for member in self.members]


def planned(sweep: SweepSettings) -> list[Entry]:
    """All models, seed by seed, so that a sweep that was stopped has something of each line.

    ValueError where a recipe or a change is not possible.
    """
    return [
        Entry(line, value, seed, tuple(_members(sweep, line, value, seed)))
        for seed in sweep.seeds
        for line in sweep.lines
        for value in sweep.values_of(line)
    ]


def members_of(entries: Sequence[Entry]) -> list[Member]:
    """All trainings, each once, in their order."""
    found: dict[str, Member] = {}
    for entry in entries:
        for member in entry.members:
            found.setdefault(member.folder, member)
    return list(found.values())


def _members(sweep: SweepSettings, line: str, value: float | None, seed: int) -> Iterator[Member]:
    found = sweep.lines[line]
    for number in range(found.members):
        own_seed = seed + MEMBER_STEP * number
        place = "" if sweep.axis is None else f", {sweep.axis.name} {value:g}"
        name = f"{line}{place}, seed {own_seed}"
        changes = [_written(change, sweep, value) for change in (*sweep.set, *found.set)]
        changes.append(f"training.seed={own_seed}")
        try:
            settings = load_recipe(found.recipe, changes, TrainSettings)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        yield Member(name, settings, _folder(found.recipe, settings))


def _written(change: str, sweep: SweepSettings, value: float | None) -> str:
    """The change with the axis' value in it."""
    if sweep.axis is None or value is None:
        return change
    # Not str.format: a change may hold other braces, such as `{kind: adamw}`.
    return change.replace(f"{{{sweep.axis.name}}}", f"{value:g}")


def _folder(recipe: str, settings: TrainSettings) -> str:
    """A name that a person recognises, and a digest of all that the training depends on."""
    plain = asdict(settings)
    plain["training"] = {
        key: one for key, one in plain["training"].items() if key not in FREE_SETTINGS
    }
    text = json.dumps(plain, sort_keys=True, default=str)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", recipe.removesuffix(".yaml").removesuffix(".yml"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{stem[-60:].strip('_.')}-seed{settings.training.seed}-{digest}"
