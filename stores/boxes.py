"""The box of each row of a bank that holds a row for each detection."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from reelbank.stores.files import Files
from reelbank.stores.films import Film
from reelbank.stores.live import LiveSet
from reelbank.stores.tables import read_lines
from reelbank.stores.times import TOLERANCE_SECONDS, nearest

ROI_KINDS = ("person", "object")
"""Kinds of bank that hold one row for each detection."""

_MAX_BOXES = 4_000_000
"""Held at once: 64 MB."""


class RowBoxes:
    """Boxes of a bank's rows, read from the table of detections, the videos used last kept."""

    def __init__(self, bank: str, metadata: Mapping[str, Any], files: Files, live: LiveSet) -> None:
        self._bank, self._metadata, self._files, self._live = bank, metadata, files, live
        self._held: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def of(self, video_id: str, film: Film) -> NDArray[np.float32]:
        """(n, 4) boxes of all rows of a video.

        ValueError for a bank without boxes, and where the detections are not those of the rows.
        """
        found = self._held.pop(video_id, None)
        if found is None:
            self.check()
            found = self._read(video_id, film.times(), film.counts())
        self._held[video_id] = found
        while len(self._held) > 1 and sum(map(len, list(self._held.values()))) > _MAX_BOXES:
            self._held.popitem(last=False)
        return found

    def check(self) -> None:
        """ValueError for a bank without boxes."""
        kind = self._metadata.get("kind", self._bank)
        if kind not in ROI_KINDS:
            raise ValueError(
                f"bank {self._bank!r} is of kind {kind!r}, whose rows have no boxes; "
                f"those of kind {' and '.join(map(repr, ROI_KINDS))} have"
            )

    def _read(
        self, video_id: str, times: NDArray[np.float64], counts: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        if len(times) == 0:
            return np.empty((0, 4), np.float32)
        lines = read_lines(
            self._files,
            self._live,
            "detections",
            video_id,
            start_seconds=float(times[0]) - TOLERANCE_SECONDS,
            end_seconds=float(times[-1]) + 2 * TOLERANCE_SECONDS,
        )
        category = self._metadata.get("category")
        if category is not None:
            lines = lines.filter(pc.field("category") == category)
        numbers = nearest(times, lines["time"].to_numpy())
        order = np.lexsort([lines["rank"].to_numpy(), numbers])
        order = order[numbers[order] >= 0]
        held = np.bincount(numbers[order], minlength=len(times))
        if not np.array_equal(held, counts):
            worst = int(np.argmax(held != counts))
            raise ValueError(
                f"bank {self._bank!r} has {counts[worst]} rows at {times[worst]} s of {video_id!r} "
                f"and the table detections {held[worst]}; extract again, or run reelbank verify"
            )
        columns = [lines[name].to_numpy() for name in ("x1", "y1", "x2", "y2")]
        return np.stack(columns, axis=1).astype(np.float32)[order]
