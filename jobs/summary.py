"""What an extraction did: the table at its end, and the same as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from reelbank.stores.store import Store


@dataclass(kw_only=True, slots=True)
class Summary:
    """Totals of one run."""

    run: str
    store: str
    status: dict[str, str] = field(default_factory=dict)
    """'ok', 'partial' or 'failed' by video."""
    errors: dict[str, str] = field(default_factory=dict)
    """One sentence for each video that is not ok."""
    warnings: list[str] = field(default_factory=list)
    """What went wrong without harm to the videos, a sentence each."""
    traces: list[str] = field(default_factory=list)
    """Where in the code tasks failed."""
    film_seconds: float = 0.0
    """Film in the inputs that could be read."""
    computed_seconds: float = 0.0
    """Film in the parts that this run computed."""
    wall_seconds: float = 0.0
    frames: int = 0
    """Frames inside the parts that this run computed."""
    frames_decoded: int = 0
    frames_used: int = 0
    num_bytes: int = 0
    """Bytes written."""

    def count(self, status: str) -> int:
        """Videos of a status."""
        return sum(one == status for one in self.status.values())

    @property
    def exit_status(self) -> int:
        """0 if every video is whole, else 3."""
        return 0 if all(one == "ok" for one in self.status.values()) else 3

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        plain["videos"] = {
            "in": len(self.status),
            **{name: self.count(name) for name in ("ok", "partial", "failed")},
        }
        plain["hours"] = self.film_seconds / 3600
        plain["times_real_time"] = self.times_real_time
        return plain

    @property
    def times_real_time(self) -> float:
        """Seconds of film computed in each second."""
        return self.computed_seconds / self.wall_seconds if self.wall_seconds else 0.0

    def print(self, console: Console) -> None:
        """The table, and a line for each video that is not ok."""
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in self._lines().items():
            table.add_row(name, value)
        console.print(table)
        for warning in self.warnings:
            console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
        for video, error in sorted(self.errors.items()):
            console.print(
                f"{self.status.get(video, 'failed')}: {video!r}: {error}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def _lines(self) -> Mapping[str, str]:
        hours = self.film_seconds / 3600
        counts = ", ".join(f"{self.count(name)} {name}" for name in ("ok", "partial", "failed"))
        return {
            "videos": f"{len(self.status)} in: {counts}",
            "film": f"{hours:.3f} h, {self.computed_seconds / 3600:.3f} h computed",
            "speed": f"{self.times_real_time:.1f} x real time ({self.wall_seconds:.1f} s)",
            "frames": f"{self.frames_decoded} decoded for {self.frames}, {self.frames_used} used",
            "written": f"{self.num_bytes / 1e6:.1f} MB",
            "run": self.run,
        }


def committed_spans(store: Store, run: str) -> dict[str, int]:
    """Spans that a run committed, by stage, as far as the store still has its commits."""
    return store.columns().num_units_of(run)
