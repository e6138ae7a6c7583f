"""Checkpoints: a folder each, whole or not there at all.

    RUN/checkpoints/00001000/weights.safetensors    the model's weights and buffers
                             optimiser.safetensors  its state, as PARAMETER:WHAT
                             state.json             everything else, and the digests of the others

A checkpoint is written under another name and renamed when it is whole and on the disk. Nothing in
it is executed by reading it. The position in the data and all random numbers follow from the step.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FOLDER = "checkpoints"
STATE, WEIGHTS, OPTIMISER = "state.json", "weights.safetensors", "optimiser.safetensors"
FORMAT = 1
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a run needs to go on."""

    step: int
    """Steps that are done."""
    weights: dict[str, Tensor]
    """The model's parameters and buffers, on the CPU."""
    optimiser: dict[str, Tensor]
    """The optimiser's tensors as PARAMETER:WHAT, on the CPU."""
    facts: dict[str, Any]
    """What can be said in JSON: settings, metrics at this step, the scaler's state."""


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint of the run; its folder appears when it is whole."""
    folder = run / FOLDER
    target = folder / f"{checkpoint.step:08}"
    unfinished = folder / f"{_UNFINISHED}{target.name}-{os.getpid()}"
    _remove(unfinished)
    unfinished.mkdir(parents=True)
    metadata = {"format": "pt", "step": str(checkpoint.step)}
    save_file(_storable(checkpoint.weights), unfinished / WEIGHTS, metadata)
    save_file(_storable(checkpoint.optimiser), unfinished / OPTIMISER, metadata)
    state = {
        "format": FORMAT,
        "step": checkpoint.step,
        "facts": plain(checkpoint.facts),
        "sha256": {name: _digest(unfinished / name) for name in (WEIGHTS, OPTIMISER)},
    }
    text = json.dumps({**state, "own_sha256": _own_digest(state)}, indent=1, allow_nan=False)
    (unfinished / STATE).write_text(text, "utf-8")
    for path in (*unfinished.iterdir(), unfinished):
        _flush(path)
    _retire(target)
    unfinished.rename(target)
    _flush(folder)
    return target


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check it against its digests.

    Raises ValueError that names the file and the remedy where something is missing or changed.
    """
    state = read_state(path)
    for name, expected in state["sha256"].items():
        if not (path / name).is_file():
            raise _damaged(path, f"{name} is missing")
        if _digest(path / name) != expected:
            raise _damaged(path, f"{name} is not what was written (its SHA-256 differs)")
    return Checkpoint(
        state["step"], _tensors(path, WEIGHTS), _tensors(path, OPTIMISER), state["facts"]
    )


def read_state(path: Path) -> dict[str, Any]:
    """`step`, `facts` and `sha256` of a checkpoint, without its tensors."""
    try:
        state = json.loads((path / STATE).read_text("utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no checkpoint ({STATE} is missing); correct the path") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, f"{STATE} is not JSON") from error
    if not isinstance(state, dict) or state.pop("own_sha256", None) != _own_digest(state):
        raise _damaged(path, f"{STATE} is not what was written (its SHA-256 differs)")
    if state["format"] != FORMAT:
        raise ValueError(
            f"{path}: format {state['format']}, this version reads {FORMAT}; "
            "use the version of Reelbank that wrote it"
        )
    return state


def checkpoints_of(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(path for path in (run / FOLDER).glob("[0-9]*") if (path / STATE).is_file())


def best_checkpoint(run: Path, metric: str) -> Path | None:
    """The one with the highest value of the metric, the earlier of two that are equal."""
    values = {
        path: read_state(path)["facts"]["metrics"].get(metric) for path in checkpoints_of(run)
    }
    known = {path: value for path, value in values.items() if value is not None}
    return max(known, key=lambda path: known[path]) if known else None


def find_checkpoint(path: Path) -> Path:
    """`path` if it is a checkpoint; of a run the best one, or the newest if none is called best."""
    if (path / STATE).is_file():
        return path
    there = checkpoints_of(path)
    if not there:
        raise ValueError(f"{path}: no checkpoint and no run with one; correct the path")
    metric = read_state(there[-1])["facts"].get("best_metric")
    return (best_checkpoint(path, metric) if metric else None) or there[-1]


def prune(run: Path, *, keep: int, metric: str | None) -> None:
    """Remove all but the newest `keep` checkpoints and the best one."""
    best = best_checkpoint(run, metric) if metric else None
    for path in checkpoints_of(run)[:-keep]:
        if path != best:
            _retire(path)


def sweep(run: Path) -> None:
    """Remove what processes that died left unfinished."""
    for path in (run / FOLDER).glob(f"{_UNFINISHED}*"):
        _remove(path)


def plain(value: Any) -> Any:
    """The value as JSON can hold it; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Cloned: tied weights share memory, which the format does not know.
    return {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}


def _tensors(path: Path, name: str) -> dict[str, Tensor]:
    try:
        return load_file(path / name)
    except SafetensorError as error:
        raise _damaged(path, f"{name} is not a safetensors file") from error


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path}: the checkpoint is damaged: {what}; remove this folder and the run goes on from "
        "the checkpoint before it, or from the start"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_digest(state: Any) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _retire(path: Path) -> None:
    """Remove a checkpoint; at no moment is a part of it to be seen."""
    if path.exists():
        _remove(path.rename(path.with_name(f"{_UNFINISHED}gone-{path.name}-{os.getpid()}")))


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _flush(path: Path) -> None:
    """Have the system write it to the disk: a rename may not overtake what it names."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
