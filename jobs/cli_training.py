"""Commands that train heads and networks, and make what they are tried on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from reelbank.jobs.cli_options import NOT_WHOLE, JsonOption, StoreOption, print_json

app = typer.Typer()


@app.command()
def theatre(
    folder: Annotated[Path, typer.Argument(help="Where films and labels are put.")],
    size: Annotated[
        str, typer.Option(help="tiny, small (2 hours), medium (10) or full (20).")
    ] = "small",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the size, for example seconds=300 or difficulty.horizon_seconds=10.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Other seeds give other films; sizes of one seed share them.")
    ] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Films made at once; else one for each core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make long films with known labels, and the best average precision that anyone can reach."""
    from reelbank.jobs.recipe import changed
    from reelbank.pipeline.theatre.sizes import size_named
    from reelbank.pipeline.theatre.theatre import make_theatre

    console = Console(stderr=as_json)

    def on_film(name: str, done: int, total: int) -> None:
        console.print(f"{done:>3} of {total}  {name}", highlight=False)

    made = make_theatre(
        folder,
        changed(size_named(size), changes, f"size {size}") if changes else size,
        seed=seed,
        processes=processes or os.cpu_count() or 1,
        on_film=on_film,
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


@app.command("demo-heads")
def demo_heads(
    folder: Annotated[Path, typer.Option(help="Where films, store, runs and report go.")] = Path(
        "demo-heads"
    ),
    size: Annotated[str, typer.Option(help="tiny, small, medium or full.")] = "small",
    engine: Annotated[str, typer.Option(help="ray or inline.")] = "ray",
) -> None:
    """Make two hours of film, train four heads on them, and write FOLDER/report.html."""
    from reelbank.jobs.demo_heads import run_demo_heads

    raise typer.Exit(run_demo_heads(folder, size=size, engine=engine, console=Console()))


RecipeArgument = Annotated[str, typer.Argument(help="Shipped recipe, or a YAML file.")]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one setting, for example training.seed=1."
    ),
]
CheckpointOption = Annotated[
    Path, typer.Option(help="A checkpoint, or the folder of a run: its best one.")
]


@app.command()
def train(
    recipe: RecipeArgument,
    store: StoreOption,
    run: Annotated[
        Path, typer.Option(help="Folder of the run; what is begun there goes on, whole or resumed.")
    ],
    overrides: OverridesOption = None,
    engine: Annotated[str, typer.Option(help="inline: one process; or ray.")] = "inline",
    workers: Annotated[int, typer.Option(min=1, help="Workers that share each batch.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print samples, parameters and schedule.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train what a recipe describes from a store, and test it."""
    from reelbank.jobs.recipe import load_recipe
    from reelbank.jobs.training.settings import TrainSettings
    from reelbank.stores.store import open_store

    if engine not in ("inline", "ray"):
        raise ValueError(f"--engine {engine}: unknown engine; known: inline, ray")
    settings = load_recipe(recipe, overrides or [], TrainSettings)
    console = Console(stderr=as_json)
    if dry_run:
        from reelbank.jobs.training.plan import show_training_plan, training_plan

        plan = training_plan(settings, open_store(store))
        if as_json:
            print_json(plan)
        else:
            show_training_plan(plan, console)
        return
    from reelbank.jobs.train import train as run_training

    kind: Literal["inline", "ray"] = "ray" if engine == "ray" else "inline"
    found = run_training(settings, store, run, engine=kind, num_workers=workers, console=console)
    _show(found, console, as_json=as_json)


@app.command()
def evaluate(
    recipe: RecipeArgument,
    checkpoint: CheckpointOption,
    store: StoreOption,
    overrides: OverridesOption = None,
    nouns: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="RECIPE CHECKPOINT",
            help="With a recipe of verbs: that of nouns; actions are measured too.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Test a checkpoint, perhaps with other splits, classes or views than in its training."""
    from reelbank.jobs.evaluate import evaluate as run_evaluation
    from reelbank.jobs.evaluate import evaluate_actions
    from reelbank.jobs.recipe import load_recipe
    from reelbank.jobs.training.settings import TrainSettings

    settings = load_recipe(recipe, overrides or [], TrainSettings)
    if nouns is None:
        found = run_evaluation(settings, checkpoint, store)
    else:
        others = (load_recipe(nouns[0], overrides or [], TrainSettings), nouns[1])
        found = evaluate_actions([(settings, checkpoint)], [others], store)
    _show(found, Console(), as_json=as_json)


@app.command()
def predict(
    checkpoint: CheckpointOption,
    store: StoreOption,
    name: Annotated[
        str | None, typer.Option(help="What the lines are called in `predictions`; else RUN-STEP.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Write what a checkpoint says of every film in the store back into it, for SQL."""
    from reelbank.jobs.predict import predict as run_prediction

    console = Console(stderr=as_json)
    found = run_prediction(checkpoint, store, name=name, device=device, console=console)
    if as_json:
        print_json(found)
        return
    console.print(
        f"{found['model']}: {found['lines']} lines of {found['videos']} films "
        f"({found['videos_reused']} were there); select * from predicted",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def sweep(
    recipe: RecipeArgument,
    store: StoreOption,
    out: Annotated[
        Path, typer.Option(help="Folder for its trainings, table, chart and page; gone on with.")
    ],
    ceilings: Annotated[
        Path | None, typer.Option(help="The ceilings.json of `reelbank theatre`, to be drawn in.")
    ] = None,
    overrides: OverridesOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print which trainings are done and which are left.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train every model of a comparison, and write its table and chart."""
    from reelbank.jobs.recipe import load_recipe
    from reelbank.jobs.sweep import plan_of, run_sweep
    from reelbank.jobs.sweeps.settings import SweepSettings

    console = Console(stderr=as_json)
    settings = load_recipe(recipe, overrides or [], SweepSettings)
    if dry_run:
        plan = plan_of(settings, out)
        if as_json:
            print_json(plan)
        for one in () if as_json else plan:
            state = "done" if one["is_done"] else "left"
            console.print(f"{state}  {one['name']}", markup=False, highlight=False, soft_wrap=True)
        return
    found = run_sweep(settings, store, out, ceilings=ceilings, console=console)
    if as_json:
        print_json(found)
    if found["failures"]:
        raise typer.Exit(NOT_WHOLE)


def _show(found: Mapping[str, Any], console: Console, *, as_json: bool) -> None:
    from reelbank.jobs.show_metrics import show_metrics

    if as_json:
        print_json(found)
    else:
        show_metrics(found, console)
