"""What every detector does."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.detect.moments import Moment
from reelbank.stores.records import Detections


class Detector(Protocol):
    """Finds things in single frames; keeps no state between frames."""

    @property
    def feature_dim(self) -> int:
        """Length of a detection's RoI feature vector."""
        ...

    @property
    def untrained(self) -> bool:
        """Whether the weights are random."""
        ...

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        """Detections of each frame, in the order of the frames.

        `moments`: the place of each frame; a detector that looks at pixels passes it over.
        `frames`: (height, width, 3) upright RGB each. A frame's result does not depend on its
        neighbours. Boxes are clipped to the frame and have an area; equal scores are ordered by
        box, then category. Features (n, feature_dim) and appearance (n, 48) are always there.
        """
        ...
