"""Commands that train heads and networks, and make what they are tried on."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reelbank.jobs.cli_options import JsonOption, print_json

app = typer.Typer()


@app.command()
def theatre(
    folder: Annotated[Path, typer.Argument(help="Where films and labels are put.")],
    size: Annotated[str, typer.Option(help="tiny, small (2 hours) or full (20 hours).")] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Other seeds give other films.")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Films made at once; else one for each core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make long films with known labels, and the best average precision that anyone can reach."""
    from reelbank.pipeline.theatre.theatre import make_theatre

    console = Console(stderr=as_json)

    def on_film(name: str, done: int, total: int) -> None:
        console.print(f"{done:>3} of {total}  {name}", highlight=False)

    made = make_theatre(
        folder, size, seed=seed, processes=processes or os.cpu_count() or 1, on_film=on_film
    )
    found = {
        "films": str(made.films),
        "annotations": str(made.annotations),
        "boxes": str(made.boxes),
        "ceilings": str(made.ceilings),
    }
    if as_json:
        print_json(found)
        return
    for name, path in found.items():
        console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)
