"""One live line for each stage in a terminal, plain lines elsewhere; only committed work counts."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

PLAIN_INTERVAL_SECONDS = 5.0
"""Where the output is no terminal, a stage is reported at most this often."""


class StageProgress:
    """How much of each stage is committed, in minutes of film."""

    def __init__(self, totals: Mapping[str, float], console: Console) -> None:
        self._totals = dict(totals)
        self._done = dict.fromkeys(totals, 0.0)
        self._failed = dict.fromkeys(totals, 0)
        self._began = time.monotonic()
        self._console = console
        self._last_plain = dict.fromkeys(totals, self._began)
        self._told: dict[str, tuple[float, int]] = {}
        self._live: Progress | None = None
        self._lines: dict[str, TaskID] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the lines while inside."""
        if not self._console.is_terminal:
            yield
            for stage in self._totals:
                if self._told.get(stage) != self._state(stage):
                    self._plain(stage)
            return
        columns = (
            TextColumn("{task.fields[stage]:<18}"),
            BarColumn(30),
            TextColumn("{task.fields[words]}"),
        )
        with Progress(*columns, console=self._console, refresh_per_second=4) as self._live:
            for stage, total in self._totals.items():
                self._lines[stage] = self._live.add_task(
                    "", total=max(total, 1e-9), stage=stage, words=self._words(stage)
                )
            yield
        self._live = None

    def advance(self, stage: str, seconds: float) -> None:
        """Note committed work of a stage."""
        self._done[stage] += seconds
        self._update(stage)

    def fail(self, stage: str, videos: int) -> None:
        """Note videos that a stage lost."""
        self._failed[stage] += videos
        self._update(stage)

    def _update(self, stage: str) -> None:
        if self._live is not None:
            self._live.update(
                self._lines[stage], completed=self._done[stage], words=self._words(stage)
            )
        elif time.monotonic() - self._last_plain[stage] >= PLAIN_INTERVAL_SECONDS:
            self._plain(stage)

    def _plain(self, stage: str) -> None:
        self._last_plain[stage] = time.monotonic()
        self._told[stage] = self._state(stage)
        self._console.print(
            f"{stage}: {self._words(stage)}", markup=False, highlight=False, soft_wrap=True
        )

    def _state(self, stage: str) -> tuple[float, int]:
        return self._done[stage], self._failed[stage]

    def _words(self, stage: str) -> str:
        done, total = self._done[stage], self._totals[stage]
        rate = done / max(time.monotonic() - self._began, 1e-9)
        left = f"{(total - done) / rate:.0f} s left" if 0 < done < total else ""
        words = f"{done / 60:.1f}/{total / 60:.1f} min of film, {rate:.1f} x real time"
        return ", ".join(filter(None, [words, left, f"{self._failed[stage]} failed"]))
