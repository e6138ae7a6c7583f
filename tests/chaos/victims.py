"""Extractions in processes of their own, to be killed at chosen moments."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.shared_data import ROOT

POLL_SECONDS = 0.002
PATIENCE_SECONDS = 200.0

SMALL = (
    "detector={longest_side: 160, window_stride: 16}",
    "backbones.main.short_side=64",
    "banks.grid={kind: grid}",
    "resources.threads=1",
    "resources.extractors=1",
)
"""Settings with many commits and little arithmetic."""


class Victim:
    """`reelbank extract` in a process group of its own, that of its Ray included."""

    def __init__(
        self,
        inputs: Path,
        store: Path,
        overrides: Sequence[str],
        *,
        log: Path,
        ray_folder: Path | None = None,
    ) -> None:
        """Start it; without a `ray_folder` with the inline engine."""
        words = [word for one in overrides for word in ("--set", one)]
        command = [sys.executable, "-m", "reelbank.jobs.cli", "extract", str(inputs)]
        self.store, self.log = store, log
        self._output = log.open("ab")
        self.process = subprocess.Popen(
            [
                *command,
                "--store",
                str(store),
                "--engine",
                "ray" if ray_folder else "inline",
                *words,
            ],
            cwd=ROOT,
            env=os.environ | ({"RAY_TMPDIR": str(ray_folder)} if ray_folder else {}),
            stdout=self._output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def wait(self) -> int:
        """Let it come to its end; its exit status."""
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition; False where the process ended before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None:
            if condition():
                return True
            if time.monotonic() > deadline:
                raise TimeoutError(self.log.read_text())
            time.sleep(POLL_SECONDS)
        return False

    def wait_for_commits(self, number: int) -> bool:
        """Wait until the store has so many commits more than now; False where it ends before."""
        wanted = num_commits(self.store) + number
        return self.wait_until(lambda: num_commits(self.store) >= wanted)

    def workers(self) -> list[psutil.Process]:
        """The processes of its Ray actors."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.cmdline()[:1] and child.cmdline()[0].startswith("ray::Worker"):
                    found.append(child)
        return found

    def kill_driver(self) -> None:
        """SIGKILL to the command alone; its actors live on for a while."""
        self.process.kill()
        self.process.wait()

    def bury(self) -> None:
        """End every process of its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._output.close()


@contextmanager
def graveyard() -> Iterator[Callable[[Victim], Victim]]:
    """Takes victims in, and leaves no process of theirs behind."""
    victims: list[Victim] = []

    def keep(victim: Victim) -> Victim:
        victims.append(victim)
        return victim

    try:
        yield keep
    finally:
        for victim in victims:
            victim.bury()


def num_commits(store: Path) -> int:
    """Commits on disk."""
    return len(list((store / "commits").glob("*.json")))


def has_open(process: psutil.Process, path: Path) -> bool:
    """Whether a process has a file open now."""
    for number in _names(Path(f"/proc/{process.pid}/fd")):
        with suppress(OSError):
            if os.readlink(f"/proc/{process.pid}/fd/{number}") == str(path):
                return True
    return False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def pause(chance: random.Random) -> None:
    """A moment of random length, so that a kill hits anything between two commits."""
    time.sleep(chance.uniform(0.0, 0.4))
