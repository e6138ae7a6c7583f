"""What a recipe can be for: each kind is read into settings of its own and given to its command."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from reelbank.jobs.sweeps.settings import SweepSettings
from reelbank.jobs.training.settings import TrainSettings
from reelbank.pipeline.settings import ExtractSettings


@dataclass(frozen=True, slots=True)
class RecipeKind:
    """One kind of recipe."""

    article: str
    """'an extraction', 'a training', 'a sweep'."""
    root: type[Any]
    """Class of its settings."""
    command: str
    """What takes it."""
    example: str
    """A shipped recipe of this kind."""

    @property
    def name(self) -> str:
        """The kind alone, without article."""
        return self.article.split()[-1]

    def num_known(self, keys: Collection[object]) -> int:
        """How many of these keys its settings have."""
        return len({str(key) for key in keys} & {field.name for field in fields(self.root)})


KINDS = (
    RecipeKind("an extraction", ExtractSettings, "reelbank extract", "default"),
    RecipeKind("a training", TrainSettings, "reelbank train", "theatre/lfb_batch"),
    RecipeKind("a sweep", SweepSettings, "reelbank sweep", "sweeps/theatre_support"),
)
"""All kinds; no two of them have a key in common."""


def kind_of_root(root: type[Any]) -> RecipeKind:
    """The kind whose settings are of this class."""
    return next(kind for kind in KINDS if kind.root is root)


def kind_of_keys(keys: Collection[object], *, otherwise: RecipeKind = KINDS[0]) -> RecipeKind:
    """The kind that knows most of a recipe's keys; `otherwise` where no kind knows more of them."""
    return max((otherwise, *KINDS), key=lambda kind: kind.num_known(keys))
