"""The command `reelbank`."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from reelbank.jobs import cli_stores, cli_training
from reelbank.jobs.cli_options import (
    NOT_WHOLE,
    STOPPED,
    USAGE_ERROR,
    JsonOption,
    StoreOption,
    print_json,
)

if TYPE_CHECKING:
    from reelbank.jobs.extract import Extraction
    from reelbank.jobs.summary import Summary

app = typer.Typer(
    name="reelbank",
    help="Long videos, decoded once, as time-indexed feature banks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_stores.app)
app.add_typer(cli_training.app)


def main() -> None:
    """Run the command; a user's mistake is one sentence and exit status 2."""
    try:
        app()
    except BrokenPipeError:
        # The reader of our output left, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, ImportError, OSError) as error:
        from reelbank.jobs.engine import sentence_of

        _complain(sentence_of(error))
        sys.exit(USAGE_ERROR)


@app.command()
def extract(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Video, folder, or text file of paths.")
    ],
    store: StoreOption,
    recipe: Annotated[str, typer.Option(help="Shipped recipe, or a YAML file.")] = "default",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting, for example detector.min_score=0.5.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many videos.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be reused and computed, and why.")
    ] = False,
    engine: Annotated[str, typer.Option(help="ray, or inline: one process, no Ray.")] = "ray",
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again for its digest.")
    ] = False,
    accept_decoder: Annotated[
        bool, typer.Option("--accept-decoder", help="Keep what another decoder's version made.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Extract shots, detections, tracks and features of videos into a store."""
    from reelbank.jobs.extract import Extraction, ExtractRequest
    from reelbank.jobs.recipe import load_recipe

    if engine not in ("ray", "inline"):
        raise ValueError(f"--engine {engine}: unknown engine; known: inline, ray")
    request = ExtractRequest(
        inputs=tuple(inputs),
        store=store,
        settings=load_recipe(recipe, overrides or []),
        engine=engine,
        limit=limit,
        rehash=rehash,
        accept_decoder=accept_decoder,
    )
    # With --json the standard output holds the JSON alone.
    console = Console(stderr=as_json)
    if dry_run:
        from reelbank.jobs.dry_run import show_plan

        show_plan(request, console, as_json=as_json)
        return
    summary = _run(Extraction(request, console))
    summary.print(console)
    if as_json:
        print_json(summary.as_json())
    raise typer.Exit(summary.exit_status)


@app.command()
def info(store: StoreOption, as_json: JsonOption = False) -> None:
    """What the store holds."""
    from reelbank.jobs.query import wide_console
    from reelbank.jobs.show import show_info
    from reelbank.stores.store import open_store

    found = open_store(store).info()
    print_json(found) if as_json else show_info(found, wide_console())


@app.command()
def status(store: StoreOption, as_json: JsonOption = False) -> None:
    """How far the last run is, and which videos are not whole."""
    from reelbank.jobs.show import run_status, show_status
    from reelbank.stores.store import open_store

    found = run_status(open_store(store))
    print_json(found) if as_json else show_status(found, Console())


@app.command()
def verify(store: StoreOption, as_json: JsonOption = False) -> None:
    """Check every file of the live set: digest, row count, index, NaN; exit status 3 on a fault."""
    from reelbank.jobs.show import FAULT_STATUS, show_report
    from reelbank.stores.care.verify import verify as verify_store
    from reelbank.stores.store import open_store

    found = verify_store(open_store(store))
    print_json(asdict(found)) if as_json else show_report(found, Console())
    raise typer.Exit(0 if found.is_sound else FAULT_STATUS)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Shipped recipe, or a YAML file.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")
    ] = None,
) -> None:
    """List the shipped recipes, or print one with every setting resolved."""
    from reelbank.jobs.recipe import load_recipe, recipe_kind, resolved_yaml
    from reelbank.jobs.recipe_list import list_recipes

    console = Console()
    if name is None:
        list_recipes(console)
        return
    console.print(
        resolved_yaml(load_recipe(name, overrides or [], recipe_kind(name).root)),
        markup=False,
        highlight=False,
        soft_wrap=True,
        end="",
    )


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """What this machine has: versions, codecs, devices, detectors, networks, Ray."""
    from reelbank.jobs.doctor import examine, show_examination

    found = examine()
    print_json(found) if as_json else show_examination(found, Console())


@app.command()
def demo(
    video: Annotated[
        str | None, typer.Option(help="Your own film or folder in place of the generated ones.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where films, store and report go.")] = Path("demo"),
    engine: Annotated[str, typer.Option(help="ray or inline.")] = "ray",
) -> None:
    """Make a few minutes of film, extract it, query it and write FOLDER/report.html."""
    from reelbank.jobs.demo import run_demo

    raise typer.Exit(run_demo(folder, video=video, engine=engine, console=Console()))


@app.command()
def report(
    store: StoreOption,
    output: Annotated[Path, typer.Option("--output", help="The page to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one self-contained HTML page about the store."""
    from reelbank.jobs.reports.page import write_report
    from reelbank.stores.store import open_store

    write_report(open_store(store), output)
    Console().print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)


def _run(job: "Extraction") -> "Summary":
    """Plan and execute; trouble once work has begun is no wrong usage."""
    try:
        found = job.plan()
        try:
            return job.execute(found)
        except OSError as error:
            from reelbank.jobs.engine import sentence_of

            _complain(f"{sentence_of(error)}; the same command goes on from here")
            raise typer.Exit(NOT_WHOLE) from error
    except KeyboardInterrupt as error:
        _complain("stopped; what was committed stays, and the same command goes on from here")
        raise typer.Exit(STOPPED) from error
    finally:
        job.close()


def _complain(sentence: str) -> None:
    Console(stderr=True).print(
        f"reelbank: {sentence}", markup=False, highlight=False, soft_wrap=True
    )


if __name__ == "__main__":
    main()
