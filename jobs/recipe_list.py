"""The list of shipped recipes: by what they are for, each with the first line of its file."""

from rich.console import Console

from reelbank.jobs.recipe import recipe_kind, recipe_names, recipe_text
from reelbank.jobs.recipe_kinds import KINDS


def list_recipes(console: Console) -> None:
    """Print a line for each recipe, below its kind and the command that takes it."""
    found = {name: recipe_kind(name) for name in recipe_names()}
    width = max(map(len, found)) + 2
    for kind in KINDS:
        _say(console, f"{kind.name} ({kind.command})")
        for name in (name for name in found if found[name] is kind):
            first = recipe_text(name).splitlines()[0].lstrip("# ")
            _say(console, f"  {name:<{width}} {first}")


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
