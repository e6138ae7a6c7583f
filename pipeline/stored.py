"""Detections of an earlier run, for RoI banks that are added later."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.pipeline.plan import Span, subtract
from reelbank.pipeline.stages import StageSpec, stage_base
from reelbank.stores.live import LiveSet
from reelbank.stores.records import Detections
from reelbank.stores.store import Store

BOX_TOLERANCE = 1e-4
"""Share of the frame by which a box may move when another machine detects again."""


class StoredDetections:
    """What the store has for the key times of one span."""

    def __init__(self, store: Store, span: Span, specs: Mapping[str, StageSpec]) -> None:
        """Read them; ValueError where this recipe's detections do not cover the span."""
        self._video_id = span.info.video_id
        self._step = float(specs["detections"].ingredients["key_step_seconds"])
        _check_covered(store.live(), span, specs)
        table = store.table("detections", self._video_id, span.start_seconds, span.end_seconds)
        times, detections = detections_of(table)
        numbers = np.rint(times / self._step).astype(int).tolist()
        self._found: dict[int, Detections] = dict(zip(numbers, detections, strict=True))

    def at(self, number: int) -> Detections:
        """Detections of a key time by its number; a covered one without lines had none."""
        nothing = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), ())
        return self._found.get(number, nothing)

    def check(self, number: int, found: Detections) -> None:
        """ValueError where detecting again did not find the same: rows would belong to others."""
        stored = self.at(number)
        if found.categories == stored.categories and np.allclose(
            found.boxes, stored.boxes, rtol=0, atol=BOX_TOLERANCE
        ):
            return
        raise ValueError(
            f"{self._video_id}, {number * self._step:g} s: the detector now finds "
            f"{len(found)} boxes that are not the {len(stored)} of the store, so rows of this bank "
            "would belong to other detections (another machine or device?); extract the "
            "detections anew too: change a setting of the detector, or use a new store"
        )


def _check_covered(live: LiveSet, span: Span, specs: Mapping[str, StageSpec]) -> None:
    digest, whole = span.info.digest, (span.start_seconds, span.end_seconds)
    bases = {
        name: stage_base("detections", specs, digest, any_decoder=name == "any_decoder_base")
        for name in ("base", "any_decoder_base")
    }
    covered = [
        (unit.start_seconds, unit.end_seconds)
        for unit in live.units(span.info.video_id, "detections")
        if any(unit.details.get(name) == base for name, base in bases.items())
    ]
    for start, end in subtract(whole, covered):
        raise ValueError(
            f"{span.info.video_id}: the store has no detections of this recipe from {start:g} to "
            f"{end:g} s, which its RoI banks need; run the same command again"
        )


def detections_of(table: pa.Table) -> tuple[NDArray[np.float64], list[Detections]]:
    """Lines of the table `detections` as one record for each key time that has any, rising."""
    table = table.sort_by([("time", "ascending"), ("rank", "ascending")])
    times, starts = np.unique(table["time"].to_numpy(), return_index=True)
    boxes = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
    scores = table["score"].to_numpy()
    categories = table["category"].to_pylist()
    looks = table["appearance"].to_pylist()
    records = []
    for start, end in pairwise([*starts.tolist(), len(table)]):
        appearance: NDArray[Any] | None = None
        if all(look is not None for look in looks[start:end]):
            appearance = np.stack([np.frombuffer(look, np.uint8) for look in looks[start:end]])
        records.append(
            Detections(
                boxes[start:end],
                scores[start:end],
                tuple(categories[start:end]),
                appearance=appearance,
            )
        )
    return times.astype(np.float64), records
