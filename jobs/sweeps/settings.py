"""A sweep: which trainings are compared, over which seeds. Imports nothing heavy."""

import math
from dataclasses import dataclass, field

from reelbank.pipeline.theatre.ceilings import Observer


@dataclass(frozen=True, kw_only=True, slots=True)
class CeilingSettings:
    """Which known ceiling of a generated benchmark a line is held against."""

    observer: Observer
    """What the line's models see."""
    support: float | None = None
    """Support in seconds; null: the value of the axis, which must then be the support."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineSettings:
    """One line of the table and of the chart: a model, at each value of the axis."""

    recipe: str
    """Training recipe: a shipped one, or a YAML file."""
    set: tuple[str, ...] = ()
    """Changes to it, each as after --set; `{name}` in them stands for the value of that axis."""
    values: tuple[float, ...] | None = None
    """Values of the axis that this line has; null: all."""
    members: int = 1
    """Models whose scores are averaged: 2 is an ensemble of two trainings with other seeds."""
    ceiling: CeilingSettings | None = None
    """The best that such models can reach, where it is known."""

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ValueError(f"members={self.members} is not possible; use 1 or more")
        for change in self.set:
            if "=" not in change:
                raise ValueError(f"set: {change!r} is no key=value, such as training.seed=1")


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisSettings:
    """A number that is varied: the lower side of the chart."""

    name: str
    """What it is; lines write it in braces."""
    unit: str = ""
    """Its unit, for the chart."""
    values: tuple[float, ...]
    """Its values, rising."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"name={self.name!r} is no name; use letters, digits and '_'")
        rising = all(low < high for low, high in zip(self.values, self.values[1:], strict=False))
        if not self.values or not rising or not all(map(math.isfinite, self.values)):
            raise ValueError(f"values={list(self.values)} do not rise; give each once, sorted")


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepSettings:
    """A whole sweep."""

    title: str
    """What is compared; stands above table and chart."""
    axis: AxisSettings | None = None
    """What is varied along each line; null: a line is one model."""
    lines: dict[str, LineSettings]
    """The models by name."""
    seeds: tuple[int, ...] = (0,)
    """A training for each; the table has means and standard errors over them."""
    set: tuple[str, ...] = ()
    """Changes to every training, before those of its line."""
    metric: str = "map"
    """What is compared, by its name among the metrics of a test."""
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of classes by group: for each, the mean of its classes' average precisions is compared
    too. A group of the name of a family of the benchmark has that family's ceilings."""

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError("lines={} compares nothing; give one or more")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds={list(self.seeds)}: give one or more, each once, 0 or more")
        for name, line in self.lines.items():
            self._check_line(name, line)

    def _check_line(self, name: str, line: LineSettings) -> None:
        strange = set(line.values or ()) - set(self.axis.values if self.axis else ())
        if strange:
            raise ValueError(
                f"lines.{name}.values={sorted(strange)} are no values of the axis; add them there"
            )
        if line.ceiling and line.ceiling.support is None and self.axis is None:
            raise ValueError(
                f"lines.{name}.ceiling.support is null, and there is no axis to take it from; "
                "give seconds"
            )

    def values_of(self, name: str) -> tuple[float | None, ...]:
        """Values of the axis that a line has; one null where there is no axis."""
        if self.axis is None:
            return (None,)
        return self.lines[name].values or self.axis.values
