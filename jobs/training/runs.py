"""The folder of a run: what is in it besides the loop's checkpoints and log.

RUN/recipe.yaml    the recipe, every setting resolved; written first
    run.json       the store's id, and versions
    metrics.json   what came out; written last, so that a run with one is finished
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import reelbank
from reelbank.jobs.recipe import load_recipe, resolved_yaml
from reelbank.jobs.training.checkpoints import FOLDER, plain
from reelbank.jobs.training.config import FREE_SETTINGS
from reelbank.jobs.training.settings import TrainSettings
from reelbank.stores.store import Store

RECIPE, RUN, METRICS = "recipe.yaml", "run.json", "metrics.json"


def check_folder(run: Path, settings: TrainSettings, store: Store) -> None:
    """ValueError where the folder is another run's, or holds something else.

    Settings that do not change what is learned may differ from those of the run so far.
    """
    if (run / RECIPE).is_file():
        _check_same(run, settings, store)
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise ValueError(f"{run} is no folder of a run ({RECIPE} is missing); give another folder")


def begin(run: Path, settings: TrainSettings, store: Store) -> None:
    """Make the folder this run's, where it is not that already."""
    if (run / RECIPE).is_file():
        return
    run.mkdir(parents=True, exist_ok=True)
    about = {
        "store": store.id,
        "uri": store.uri,
        "versions": {
            "reelbank": reelbank.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
    _write(run / RUN, json.dumps(about, indent=1) + "\n")
    _write(run / RECIPE, resolved_yaml(settings))


def finished(run: Path) -> dict[str, Any] | None:
    """What a run came to; None where it is not finished."""
    if not (run / METRICS).is_file():
        return None
    found: dict[str, Any] = json.loads((run / METRICS).read_text("utf-8"))
    return found


def finish(run: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write down what the run came to; gives it as it can be read back."""
    as_json: dict[str, Any] = plain(found)
    _write(run / METRICS, json.dumps(as_json, indent=1, allow_nan=False) + "\n")
    return as_json


def recipe_of(run: Path) -> TrainSettings:
    """The recipe of a run."""
    return load_recipe(str(run / RECIPE), (), TrainSettings)


def run_of(checkpoint: Path) -> Path:
    """The folder of the run of a checkpoint, or of the run itself."""
    checkpoint = checkpoint.absolute()
    return checkpoint.parent.parent if checkpoint.parent.name == FOLDER else checkpoint


def _check_same(run: Path, settings: TrainSettings, store: Store) -> None:
    before, now = (_binding(one) for one in (recipe_of(run), settings))
    for name, was, given in _differences(before, now):
        raise ValueError(
            f"{run}: the run was begun with {name}={was!r} and is now given {given!r}; give it the "
            "same again, or train in another folder"
        )
    about = json.loads((run / RUN).read_text("utf-8"))
    if about["store"] != store.id:
        raise ValueError(
            f"{run}: the run was begun on the store {about['uri']}, which is another than "
            f"{store.uri}; train in another folder"
        )


def _binding(settings: TrainSettings) -> dict[str, Any]:
    found = asdict(settings)
    found["training"] = {
        name: value for name, value in found["training"].items() if name not in FREE_SETTINGS
    }
    return found


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now


def _write(path: Path, text: str) -> None:
    """The file appears when it is whole."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)
