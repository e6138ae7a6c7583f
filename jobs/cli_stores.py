"""Commands that look after a store, and bring things into it and out of it."""

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reelbank.jobs.cli_options import JsonOption, StoreOption, print_json

app = typer.Typer()


@app.command("import")
def import_command(
    importer: Annotated[
        str, typer.Argument(metavar="FORMAT", help="ava, charades, csv, epic-kitchens or lvu.")
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Annotation files, class files too; all files of a set at once."
        ),
    ],
    store: StoreOption,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the label set; else that of the format (csv: of the file)."),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the set; else that of the files.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of all lines; else that in each file's name.")
    ] = None,
    id_format: Annotated[
        str | None,
        typer.Option(
            "--id-format",
            help="A video's name in the files, from {stem}, {name}, {parent} and {path} of its id; "
            "else '{stem}'.",
        ),
    ] = None,
    time_offset: Annotated[
        float,
        typer.Option(
            "--time-offset",
            help="Seconds added to the files' times; -902 for AVA on cuts that begin at 902 s.",
        ),
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Bring public or hand-made annotation files into the store as a label set."""
    from reelbank.jobs.import_labels import ImportRequest, import_labels, show_import
    from reelbank.stores.importers.label_set import ReadOptions

    if not math.isfinite(time_offset):
        raise ValueError(f"--time-offset {time_offset} must be a finite number of seconds")
    request = ImportRequest(
        importer=importer,
        files=tuple(files),
        store=store,
        options=ReadOptions(name=name, version=version, split=split),
        id_format=id_format,
        time_offset=time_offset,
    )
    found = import_labels(request)
    print_json(found.as_json()) if as_json else show_import(found, Console())


@app.command()
def export(
    output_format: Annotated[
        str, typer.Argument(metavar="FORMAT", help="ava, coco, mot, parquet or webdataset.")
    ],
    store: StoreOption,
    output: Annotated[
        Path, typer.Option("--output", help="New file (coco) or folder (all others).")
    ],
    videos: Annotated[
        list[str] | None, typer.Option("--video", help="This video alone; may be given again.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="NAME@VERSION", help="Label set: ava, coco, webdataset.")
    ] = None,
    bank: Annotated[str | None, typer.Option(help="Bank: webdataset.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="webdataset: length of a sample; else a video each.")
    ] = None,
    shard_mb: Annotated[
        float | None, typer.Option(help="webdataset: size of a shard (default 512).")
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(metavar="MODEL", help="ava: also this model's results.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write what the store holds in another tool's format."""
    from reelbank.jobs.export import ExportRequest, run_export

    found = run_export(
        ExportRequest(
            output_format=output_format,
            store=store,
            output=output,
            videos=tuple(videos or ()),
            labels=labels,
            bank=bank,
            seconds=seconds,
            shard_mb=shard_mb,
            predictions=predictions,
        )
    )
    if as_json:
        print_json(found)
        return
    counts = ", ".join(f"{count} {name}" for name, count in found.items())
    Console().print(f"wrote {output}: {counts}", markup=False, highlight=False, soft_wrap=True)
