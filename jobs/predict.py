"""Write what a checkpoint says of a store's films back into the store, as a table for SQL.

    select video_id, time, track_id, label, score from predicted
    where model = 'lfb-3000' and label = 'answer' and score > 0.5

A commit holds the lines of a few films. Compaction, removal and collection treat them as those of
any other stage.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from reelbank.jobs.training.checkpoints import find_checkpoint
from reelbank.jobs.training.everything import items_of
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.jobs.training.predictor import Predictor, load_predictor
from reelbank.jobs.training.runs import run_of
from reelbank.stores.commits import Unit
from reelbank.stores.keys import digest_of
from reelbank.stores.schemas import schema_of
from reelbank.stores.stages import bank_stage, predictions_stage
from reelbank.stores.store import Store, open_store

RUN = "predict"
"""What commits of predictions name as their run: no extraction made them."""

KEY_TIMES_AT_ONCE = 16_384
"""Key times of the films of one commit, if it has several."""


def predict(
    checkpoint: Path,
    store: Store | str,
    *,
    name: str | None = None,
    device: str = "cpu",
    console: Console | None = None,
) -> dict[str, Any]:
    """Score every item of every film that has the features; what was scored already stays.

    `checkpoint` may be a run: its best one. The lines are in the view `predictions`, and with boxes
    and tracks in `predicted`, under `model` = `name`, else RUN-STEP. Gives `model`, `videos`,
    `videos_reused`, `lines` (written now) and `classes`.

    Raises ValueError where the store lacks a bank, or has rows of another network.
    """
    opened = open_store(store) if isinstance(store, str) else store
    found = find_checkpoint(checkpoint)
    name = name or f"{run_of(found).name}-{int(found.name)}"
    stage, read = predictions_stage(name), opened.frozen()
    predictor = load_predictor(found, read, device=device)
    wanted = [_unit(predictor, read, stage, video) for video in sorted(predictor.features.videos)]
    new = [unit for unit in wanted if not _is_there(read, unit)]
    lines = 0
    for units in _packs(new, predictor.num_times):
        lines += _written(predictor, opened, read, name, units)
        if console is not None:
            done = new.index(units[-1]) + 1
            console.print(f"{done} of {len(new)} films, {lines} lines", highlight=False)
    return {
        "model": name,
        "videos": len(wanted),
        "videos_reused": len(wanted) - len(new),
        "lines": lines,
        "classes": len(predictor.classes),
    }


def _unit(predictor: Predictor, store: Store, stage: str, video: str) -> Unit:
    """The work on a film, its lines not counted yet; the key says what they depend on."""
    live = store.live()
    stages = ["video", "detections", *(bank_stage(bank) for bank in predictor.banks)]
    sources = [unit for name in stages for unit in live.units(video, name)]
    settings = asdict(predictor.settings)
    del settings["training"]
    made_from = {
        "stage": stage,
        "weights": predictor.weights_digest,
        "settings": settings,
        "sources": [[unit.stage, unit.key] for unit in sources],
    }
    return Unit(
        video_id=video,
        digest=sources[0].digest,
        stage=stage,
        start_seconds=0.0,
        end_seconds=math.inf,
        key=digest_of(made_from),
        num_rows=0,
        details={"weights": predictor.weights_digest, "labels": predictor.settings.labels.set},
    )


def _is_there(store: Store, wanted: Unit) -> bool:
    found = store.live().unit(*wanted.span)
    return found is not None and found.key == wanted.key


def _packs(units: Sequence[Unit], times: Callable[[str], int]) -> Iterator[list[Unit]]:
    """The units in commits that fit into memory."""
    pack: list[Unit] = []
    held = 0
    for unit in units:
        count = times(unit.video_id)
        if pack and held + count > KEY_TIMES_AT_ONCE:
            yield pack
            pack, held = [], 0
        pack.append(unit)
        held += count
    if pack:
        yield pack


def _written(
    predictor: Predictor, store: Store, read: Store, name: str, units: Sequence[Unit]
) -> int:
    """Score some films and commit the lines; gives how many."""
    videos = [unit.video_id for unit in units]
    samples, rank = items_of(predictor.settings, read, predictor.features, videos)
    data = _lines(samples, rank, predictor.score(samples), predictor.classes.names, name)
    counts = np.bincount(samples.video[samples.clip], minlength=len(videos))
    stage, attempt = units[0].stage, store.new_attempt()
    counted = [
        replace(unit, num_rows=int(count) * len(predictor.classes))
        for unit, count in zip(units, counts, strict=True)
    ]
    key = store.commit_key(stage, counted)
    entry = store.write_table("predictions", key=key, attempt=attempt, data=data)
    store.commit(stage, counted, [entry], run=RUN, attempt=attempt)
    return len(data)


def _lines(
    samples: Samples,
    rank: NDArray[np.int64] | None,
    scores: Tensor,
    names: Sequence[str],
    model: str,
) -> pa.Table:
    """A line for each item and class, by film, time and rank."""
    each, clip = len(names), samples.clip
    count = each * len(clip)
    columns = {
        "video_id": _named(np.repeat(samples.video[clip], each), samples.videos),
        "time": pa.array(np.repeat(samples.times[clip], each)),
        "rank": pa.nulls(count) if rank is None else pa.array(np.repeat(rank, each)),
        "label": _named(np.tile(np.arange(each), len(clip)), names),
        "score": pa.array(scores.reshape(-1).numpy()),
        "model": _named(np.zeros(count, np.int64), [model]),
    }
    schema = schema_of("predictions")
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _named(numbers: NDArray[np.int64], names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(numbers.astype(np.int32), pa.array(names, pa.string()))
