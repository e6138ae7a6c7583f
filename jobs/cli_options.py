"""Options and exit statuses that several commands share, and how they print JSON."""

import json
import sys
from typing import Annotated, Any

import typer

USAGE_ERROR, NOT_WHOLE, STOPPED = 2, 3, 130
"""Exit statuses: a mistake in what was asked, some of the work failed, interrupted."""

StoreOption = Annotated[str, typer.Option("--store", help="Folder or URI of the store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print it to the standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")
