"""Commands that look after a store, and bring things into it and out of it."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reelbank.jobs.cli_options import JsonOption, StoreOption, print_json

app = typer.Typer()


FormatOption = Annotated[
    str, typer.Option("--format", help="table, csv, json, parquet or arrow (to standard output).")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Write a file; its suffix (.parquet .csv .json .arrow) names the format.",
    ),
]


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT, EXPLAIN or DESCRIBE.")],
    store: StoreOption,
    output_format: FormatOption = "table",
    output: OutputOption = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="BANK", help="Write that bank's rows beside the lines, to --output FILE.npz."
        ),
    ] = None,
) -> None:
    """Query the store with SQL; `select * from rows` joins all there is about each bank row."""
    from reelbank.jobs.query import (
        checked_features_path,
        file_writer,
        result_writer,
        write_features,
    )
    from reelbank.stores.store import open_store

    if features is not None:
        path = checked_features_path(output)
        write_features(open_store(store).features(sql, features), path)
        return
    write = result_writer(output_format) if output is None else file_writer(output)
    write(open_store(store).sql(sql))


@app.command()
def search(
    store: StoreOption,
    bank: Annotated[str, typer.Option(help="The bank to search.")],
    like: Annotated[
        str,
        typer.Option(
            metavar="VIDEO@T[#TRACK]",
            help="The row at the key time nearest to second T: the track's, else the first.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="So many lines.")] = 20,
    output_format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Find the rows of a bank most alike a given one, by cosine; every row is compared."""
    from reelbank.jobs.query import file_writer, result_writer
    from reelbank.jobs.search import parse_like
    from reelbank.stores.store import open_store

    write = result_writer(output_format) if output is None else file_writer(output)
    write(open_store(store).search(bank, parse_like(like), top=top))


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


@app.command()
def compact(
    store: StoreOption,
    banks: Annotated[bool, typer.Option("--banks", help="Also merge small bank groups.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Merge small files into few large ones, and write anew what holds removed videos."""
    from reelbank.jobs.care import show_compaction
    from reelbank.jobs.show import FAULT_STATUS
    from reelbank.stores.care.compact import compact as compact_store
    from reelbank.stores.store import open_store

    found = compact_store(open_store(store), banks=banks)
    print_json(asdict(found)) if as_json else show_compaction(found, Console())
    raise typer.Exit(FAULT_STATUS if found.problems else 0)


@app.command()
def gc(
    store: StoreOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            max=1_000_000,
            help="Hours; younger leftovers stay. 0 only while nobody else uses the store.",
        ),
    ] = 24.0,
    superseded: Annotated[
        bool,
        typer.Option(
            "--superseded", help="Also work that settings going back could make count again."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete what no longer counts: leftovers, files that were merged, removed videos."""
    from reelbank.jobs.care import show_collection
    from reelbank.stores.care.collect import collect
    from reelbank.stores.store import open_store

    found = collect(
        open_store(store), grace_seconds=grace * 3600, dry_run=dry_run, superseded=superseded
    )
    print_json(asdict(found)) if as_json else show_collection(found, Console())


@app.command()
def remove(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...")],
    store: StoreOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take videos out of the store; compact and gc then take them off the disk."""
    from reelbank.jobs.care import remove as remove_videos
    from reelbank.jobs.care import show_removal
    from reelbank.stores.store import open_store

    found = remove_videos(
        open_store(store),
        videos,
        confirm=lambda question: yes or typer.confirm(question, err=True),
    )
    if found is None:
        raise typer.Exit(1)
    print_json(asdict(found)) if as_json else show_removal(found, Console())


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="Folder or URI of a store.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two stores: coverage, cosines of each bank, settings; 1 where they are not alike."""
    from reelbank.jobs.care import DIFFERENT_STATUS, show_difference
    from reelbank.stores.care.compare import compare
    from reelbank.stores.store import open_store

    found = compare(open_store(a), open_store(b))
    print_json(found.as_json()) if as_json else show_difference(found, Console())
    raise typer.Exit(0 if found.is_alike else DIFFERENT_STATUS)


@app.command()
def migrate(store: StoreOption, as_json: JsonOption = False) -> None:
    """Bring a store of an older format up to the newest."""
    from reelbank.jobs.care import show_migration
    from reelbank.stores.care.migrate import migrate as migrate_store
    from reelbank.stores.identity import files_at

    found = migrate_store(files_at(store))
    print_json(asdict(found)) if as_json else show_migration(found, Console())
