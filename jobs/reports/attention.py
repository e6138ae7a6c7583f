"""Which rows of its window a trained head looked at, for the box of which it is most certain."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reelbank.heads.feature_bank.attention import Attention
from reelbank.jobs.evaluate import restored
from reelbank.jobs.reports.window_view import Attended
from reelbank.jobs.training.settings import TrainSettings
from reelbank.stores.store import Store


def most_certain(settings: TrainSettings, run: Path, store: Store, label: str) -> Attended:
    """What the model of a run looked at where it was most certain of the class `label`.

    Of labels of kind `ava`, with a window of boxes and a non-local operator. ValueError where the
    class is not known, or the model has no weights.
    """
    prepared = restored(settings, run, store)
    window = settings.long_term
    if window is None or settings.head.operator.kind != "non_local":
        raise ValueError(f"{run}: the model attends to no window; give one with a long-term bank")
    names = list(prepared.classes.names)
    if label not in names:
        raise ValueError(f"class {label!r} is unknown; known: {', '.join(names)}")
    model = prepared.task.model.eval()
    with _weights_of(model) as layers, torch.no_grad():
        scores = prepared.task.scorer.scores()
    item = int(scores[:, names.index(label)].argmax())
    samples = prepared.test.samples
    assert samples.boxes is not None
    clip = int(samples.clip[item])
    found = store.bank(window.bank).gather(
        [samples.keys[clip]],
        window.support_seconds,
        window.causal,
        window.rows_per_time,
        boxes=True,
    )
    assert found.boxes is not None
    place = item - int(samples.first_items[clip])
    weights = np.mean([_row(layer, clip, place) for layer in layers], axis=0)
    mask = found.mask[0]
    return Attended(
        video_id=samples.keys[clip][0],
        time=samples.keys[clip][1],
        box=samples.boxes[item],
        label=label,
        score=float(scores[item, names.index(label)]),
        times=found.times[0][mask],
        boxes=found.boxes[0][mask],
        weights=weights[: len(mask)][mask],
    )


@contextmanager
def _weights_of(model: nn.Module) -> Iterator[list[list[Tensor]]]:
    """For each layer the weights (b, items, rows) of every batch that passes meanwhile."""
    layers: list[list[Tensor]] = []
    handles = []
    for module in model.modules():
        if isinstance(module, Attention):
            batches: list[Tensor] = []
            layers.append(batches)

            def keep(
                layer: nn.Module, inputs: Any, _output: Tensor, kept: list[Tensor] = batches
            ) -> None:
                assert isinstance(layer, Attention)
                kept.append(layer.weights(*inputs).float().cpu())

            handles.append(module.register_forward_hook(keep))
    yield layers
    for handle in handles:
        handle.remove()


def _row(batches: list[Tensor], clip: int, place: int) -> Any:
    """Weights of one item: clips come in their order, and items in theirs within a clip."""
    for batch in batches:
        if clip < len(batch):
            return batch[clip, place].numpy()
        clip -= len(batch)
    raise AssertionError("fewer clips were scored than there are")
