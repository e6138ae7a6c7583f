"""A live line in a terminal, plain lines elsewhere: how far a training is and how it goes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from reelbank.jobs.progress import PLAIN_INTERVAL_SECONDS


class TrainingProgress:
    """Steps that are done, the last loss, and the share of time spent waiting for data."""

    def __init__(self, num_steps: int, console: Console) -> None:
        self._num_steps, self._console = num_steps, console
        self._began = self._last_plain = time.monotonic()
        self._first = 0
        self._words = self._told = ""
        self._live: tuple[Progress, TaskID] | None = None

    @contextmanager
    def shown(self, step: int) -> Iterator[None]:
        """Show the line while inside; `step` steps were done before."""
        self._first = step
        self._began = time.monotonic()
        if not self._console.is_terminal:
            yield
            self._plain()
            return
        columns = (TextColumn("training"), BarColumn(30), TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=self._console, refresh_per_second=4) as progress:
            line = progress.add_task("", total=self._num_steps, completed=step, words="")
            self._live = (progress, line)
            yield
        self._live = None

    def tell(self, step: int, *, loss: float, waiting_share: float) -> None:
        """Note that `step` steps are done."""
        rate = (step - self._first) / max(time.monotonic() - self._began, 1e-9)
        left = (self._num_steps - step) / max(rate, 1e-9)
        self._words = (
            f"{step}/{self._num_steps} steps, loss {loss:.4g}, {rate:.3g} steps/s, "
            f"waiting for data {waiting_share:.0%}, {left:.0f} s left"
        )
        if self._live is not None:
            progress, line = self._live
            progress.update(line, completed=step, words=self._words)
        elif time.monotonic() - self._last_plain >= PLAIN_INTERVAL_SECONDS:
            self._plain()

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the metrics after `step` steps, on a line that stays."""
        words = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._print(f"step {step}: {words}")

    def _plain(self) -> None:
        self._last_plain = time.monotonic()
        if self._words != self._told:
            self._told = self._words
            self._print(f"training: {self._words}")

    def _print(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)
