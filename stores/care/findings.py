"""What a check of a store gives back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something on disk that is not as committed, or that one should look at."""

    path: str
    """File or group, relative to the store."""
    error: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of a whole store found."""

    problems: tuple[Problem, ...]
    orphans: tuple[str, ...]
    """Table files and bank groups that no commit names: leftovers of killed or late writers."""
    num_files: int
    """Table files and bank groups that were read."""
    warnings: tuple[Problem, ...] = ()
    """What is as committed, but strange: rows that are all zeros."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong; orphans and warnings do no harm."""
        return not self.problems
