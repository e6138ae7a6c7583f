"""The vocabulary of the benchmark: actions, cues, and what says something about a whole film."""

from dataclasses import dataclass
from typing import Literal

Family = Literal["contextual", "prospective"]

FAMILIES: tuple[Family, Family] = ("contextual", "prospective")
"""Told by a cue before the pose, and told by a cue after it."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action that a puppet can be labelled with."""

    number: int
    """Its number in label files, from 1."""
    name: str
    family: Literal["visible"] | Family
    """'visible' actions are told by motion and shape within a clip."""
    counts: bool = True
    """Whether it has a part in mean average precision; rare ones have not, as in AVA."""


MOVEMENTS = ("stand", "walk", "hop", "sway")
"""What a puppet does with its body: one at every second."""

CUES: dict[Family, tuple[str, str]] = {
    "contextual": ("phone", "radio"),
    "prospective": ("ball", "lamp"),
}
"""Thing that is shown, for each of a family's two labels; no thing belongs to both families."""

MEANINGS: dict[Family, tuple[str, str]] = {
    "contextual": ("answer", "tune"),
    "prospective": ("catch", "read"),
}
"""A family's two labels, which look the same: holding a parcel, or kneeling."""

COLOURS = ("red", "yellow", "green", "blue")
"""Coat of each puppet of a cast; a cue has the colour of the coat of the puppet that it is for."""


def _actions() -> tuple[Action, ...]:
    rare = [f"show {name}" for family in FAMILIES for name in CUES[family]]
    rare += [f"signal to {name}" for name in COLOURS]
    found = [Action(number, name, "visible") for number, name in enumerate(MOVEMENTS, 1)]
    for family in FAMILIES:
        for name in MEANINGS[family]:
            found.append(Action(len(found) + 1, name, family))
    for name in rare:
        found.append(Action(len(found) + 1, name, "visible", counts=False))
    return tuple(found)


ACTIONS = _actions()
"""All actions by number: 1 to 4 movements, 5 to 8 told by cues, the rest what shows a cue."""

NUMBERS = {action.name: action.number for action in ACTIONS}

RELATIONSHIPS = ("friends", "strangers", "chaperoned")
"""How the red and the blue puppet stand: side by side, at both ends, one other between them."""

GENRES = {"comedy": "balloons", "western": "cactus", "mystery": "lantern", "romance": "heart"}
"""Genre of a film, and the thing on its sets that tells it."""
