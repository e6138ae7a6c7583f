"""The log of a run: a line of JSON for each entry, and TensorBoard where it is installed.

RUN/log.jsonl      {"kind": "training", "step": 120, "loss": 0.53, "learning_rate": 0.01, ...}
                   {"kind": "evaluation", "step": 1000, "map": 0.41}
RUN/tensorboard/   the same numbers as training/loss, evaluation/map, ...
"""

import json
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from reelbank.jobs.training.checkpoints import plain

NAME = "log.jsonl"
Kind = Literal["training", "evaluation"]


class RunLog:
    """Appends to the log of a run; what lies after the step that it goes on from is dropped."""

    def __init__(self, run: Path, *, step: int, tensorboard: bool) -> None:
        run.mkdir(parents=True, exist_ok=True)
        _keep_until(run / NAME, step)
        self._file = (run / NAME).open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard and find_spec("tensorboard") is not None:
            # Here, because it takes a second to import.
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, kind: Kind, step: int, values: Mapping[str, float]) -> None:
        """One entry: the values after `step` updates."""
        line = {"kind": kind, "step": step} | plain(values)
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)


def read_log(run: Path, kind: Kind) -> list[dict[str, Any]]:
    """The entries of one kind, in their order."""
    return [entry for _, entry in _entries(run / NAME) if entry["kind"] == kind]


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines and what they hold; a last line that was cut off is left out."""
    if not path.is_file():
        return
    for line in path.read_text("utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield line, json.loads(line)


def _keep_until(path: Path, step: int) -> None:
    """Drop entries of steps that will be done again."""
    kept = [line for line, entry in _entries(path) if entry["step"] <= step]
    fresh = path.with_name(f".{NAME}-{os.getpid()}")
    fresh.write_text("".join(kept), "utf-8")
    fresh.replace(path)
