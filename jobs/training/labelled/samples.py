"""What is learned from and tested: clips, and the things in them that are classified."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Samples:
    """n clips, by film and time, and m items in them, by clip: boxes, or each clip as a whole."""

    videos: tuple[str, ...]
    """Names of the films."""
    video: NDArray[np.int64]
    """(n,) number of each clip's film."""
    times: NDArray[np.float64]
    """(n,) middle of each clip, in seconds."""
    clip: NDArray[np.int64]
    """(m,) number of each item's clip, rising; every clip has an item."""
    place: NDArray[np.int64]
    """(m,) which row of the clip's key time in a bank is the item's; -1 where it has none."""
    boxes: NDArray[np.float64] | None
    """(m, 4) x1 y1 x2 y2 in [0, 1]; None where items are whole clips."""
    targets: NDArray[np.uint8] | None
    """(m, num_classes), 1 for the classes of each item; None where they are not known."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def num_items(self) -> int:
        """The m items."""
        return len(self.clip)

    @property
    def keys(self) -> list[tuple[str, float]]:
        """(video, time) of each clip."""
        names = [self.videos[number] for number in self.video.tolist()]
        return list(zip(names, self.times.tolist(), strict=True))

    @property
    def first_items(self) -> NDArray[np.int64]:
        """(n + 1,) the first item of each clip, and m."""
        return np.searchsorted(self.clip, np.arange(len(self) + 1))

    @property
    def digest(self) -> str:
        """Tells whether samples are the same: of films, times, boxes and targets."""
        found = hashlib.sha256("\n".join(self.videos).encode())
        for array in (self.video, self.times, self.clip, self.place, self.boxes, self.targets):
            found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def whole_clips(
    videos: tuple[str, ...],
    video: NDArray[np.int64],
    times: NDArray[np.float64],
    targets: NDArray[np.uint8] | None,
) -> Samples:
    """Samples whose only item is the clip itself."""
    count = len(times)
    return Samples(
        videos=videos,
        video=video,
        times=times,
        clip=np.arange(count),
        place=np.zeros(count, np.int64),
        boxes=None,
        targets=targets,
    )


def boxed_clips(
    videos: tuple[str, ...],
    video: NDArray[np.int64],
    times: NDArray[np.float64],
    *,
    place: NDArray[np.int64],
    boxes: NDArray[np.float64],
    targets: NDArray[np.uint8] | None,
) -> Samples:
    """Samples from m boxes, each with its film and time, in any order of these."""
    order = np.lexsort((place, times, video))
    video, times = video[order], times[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(video) != 0) | (np.diff(times) != 0)
    return Samples(
        videos=videos,
        video=video[is_first],
        times=times[is_first],
        clip=np.cumsum(is_first) - 1,
        place=place[order],
        boxes=boxes[order],
        targets=None if targets is None else targets[order],
    )
