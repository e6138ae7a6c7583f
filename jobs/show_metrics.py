"""What a test came to, for people to read."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show_metrics(found: Mapping[str, Any], console: Console) -> None:
    """Print what `train` or `evaluate` gives: each metric, then each class with its error bars."""
    bars = found["details"].get("map", {})
    for name, value in found["metrics"].items():
        spread = f" ± {bars['deviation']:.3f}" if name == "map" and bars else ""
        console.print(f"{name}: {value:.4f}{spread}", highlight=False)
    classes = found["details"].get("classes", [])
    if classes:
        console.print(_table(classes))
    if "checkpoint" in found:
        console.print(
            f"checkpoint {found['checkpoint']}, {found['num_parameters']:,} parameters learned, "
            f"{found['steps_per_second']:.1f} steps/s, waiting for data "
            f"{found['waiting_share']:.1%}",
            markup=False,
            highlight=False,
        )


def _table(classes: list[dict[str, Any]]) -> Table:
    table = Table("class", box=None, header_style="dim")
    for name in ("AP", "from", "to", "positives"):
        table.add_column(name, justify="right")
    for one in classes:
        bars = [f"{one[name]:.3f}" if name in one else "" for name in ("low", "high")]
        table.add_row(one["label"], f"{one['ap']:.3f}", *bars, f"{one['num_positives']:,}")
    return table
