"""Link the detections of neighbouring key times into tracks.

Source: Gu et al., AVA, CVPR 2018, section 4 (similarity of boxes at neighbouring key times,
optimal assignment), with the motion of Cao et al., OC-SORT, CVPR 2023: velocity is read off
observed boxes, not filtered. At each key time the tracks that may go on are matched one to one
with the detections so that the sum of squared similarities is largest.
Departures: similarity mixes place with a colour histogram in place of a learned embedding; tracks
end at cuts; gaps, the overlap demanded and the distance walked are functions of seconds, so that
one setting serves 1 Hz and 30 Hz.

Place is box overlap. At 1 Hz a walker leaves its old box behind, so boxes that look alike may also
link by nearness, without overlap; where no colours are known, only overlap counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reelbank.pipeline.track.config import TrackConfig
from reelbank.pipeline.track.similarity import (
    pairwise_colour,
    pairwise_distance,
    pairwise_iou,
)
from reelbank.stores.records import Detections, Shot, Track

_VELOCITY_SPAN = 3
"""Observations back from the last one between which velocity is measured (OC-SORT's Δt)."""

_HALF_LIFE_SECONDS = 0.1
"""Time in which half of the extra overlap demanded of close boxes is given up. At 25 Hz a box of
another size is then another person (0.5 is asked), at 1 Hz a walker may have moved on (0.2)."""


def link(
    times: NDArray[np.float64],
    detections: Sequence[Detections],
    shots: Sequence[Shot],
    config: TrackConfig,
) -> list[Track]:
    """Tracks through m key times, ordered by their first time and the rank there.

    `times` (m,) rise; `detections` has one record for each. Key times at which nothing was seen
    may be there with an empty record or be left out. A key time past the last shot's end belongs
    to that shot. A detection is in at most one track.
    """
    if len(times) != len(detections):
        raise ValueError(f"{len(times)} key times and {len(detections)} detections do not match")
    if len(times) == 0:
        return []
    if not shots:
        raise ValueError("there are key times but no shots; give one shot that covers the film")
    shot_ids = _shot_of_each(times, shots)
    done: list[_Path] = []
    alive: list[_Path] = []
    for number, (time, seen) in enumerate(zip(times.tolist(), detections, strict=True)):
        if number and shot_ids[number] != shot_ids[number - 1]:
            done, alive = done + alive, []
        may_go_on = [path for path in alive if _is_recent(path, time, config)]
        done += [path for path in alive if path not in may_go_on]
        alive = _extend(may_go_on, number, time, seen, int(shot_ids[number]), config)
    paths = [path for path in done + alive if len(path.ranks) >= config.min_detections]
    paths.sort(key=lambda path: (path.numbers[0], path.ranks[0]))
    return [
        Track(
            category=path.category,
            times=times[path.numbers],
            ranks=np.array(path.ranks, dtype=np.int32),
            shot_id=path.shot_id,
        )
        for path in paths
    ]


@dataclass(slots=True, eq=False)
class _Path:
    """A track being built."""

    category: str
    shot_id: int
    numbers: list[int] = field(default_factory=list)
    """Numbers of its key times."""
    times: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    colour: NDArray[np.uint8] | None = None
    """Histogram of the last box."""

    def add(self, number: int, time: float, rank: int, seen: Detections) -> None:
        self.numbers.append(number)
        self.times.append(time)
        self.ranks.append(rank)
        self.boxes.append(seen.boxes[rank].astype(np.float64))
        self.colour = None if seen.appearance is None else seen.appearance[rank]

    def expected_box(self, time: float) -> NDArray[np.float64]:
        """The last box, moved on at the velocity of its centre."""
        last = self.boxes[-1]
        if len(self.boxes) == 1:
            return last
        back = max(0, len(self.boxes) - 1 - _VELOCITY_SPAN)
        shift = _centre(last) - _centre(self.boxes[back])
        velocity = shift / (self.times[-1] - self.times[back])
        return last + np.tile(velocity * (time - self.times[-1]), 2)


def _extend(
    paths: list[_Path],
    number: int,
    time: float,
    seen: Detections,
    shot_id: int,
    config: TrackConfig,
) -> list[_Path]:
    """Match `paths` with the detections of one key time; the rest of these begin new paths."""
    taken = set()
    for path_index, rank in _match(paths, time, seen, config):
        paths[path_index].add(number, time, rank, seen)
        taken.add(rank)
    begun = []
    for rank, (score, category) in enumerate(zip(seen.scores, seen.categories, strict=True)):
        if rank not in taken and score >= max(config.min_score, config.min_start_score):
            begun.append(_Path(category, shot_id))
            begun[-1].add(number, time, rank, seen)
    return paths + begun


def _match(
    paths: list[_Path], time: float, seen: Detections, config: TrackConfig
) -> list[tuple[int, int]]:
    """(path, rank) pairs whose squared similarities have the largest sum."""
    if not paths or len(seen) == 0:
        return []
    last = np.array([path.boxes[-1] for path in paths])
    expected = np.array([path.expected_box(time) for path in paths])
    boxes = seen.boxes.astype(np.float64)
    elapsed = np.array([time - path.times[-1] for path in paths])[:, None]  # (paths, 1)
    # Motion read off a few boxes can be wrong, so the place where it was last counts as well.
    place = np.maximum(pairwise_iou(expected, boxes), pairwise_iou(last, boxes))
    is_allowed = (place >= _demanded_overlap(elapsed, config)) & (place > 0)
    similarity = place
    colour = _colour(paths, seen)
    if colour is not None:
        nearness = _nearness(last, expected, boxes, elapsed, config)
        nearness[colour < config.min_colour] = 0.0
        is_allowed |= nearness > 0
        weight = config.appearance_weight
        similarity = (1 - weight) * np.maximum(place, nearness) + weight * colour
    is_allowed &= np.array([[path.category == name for name in seen.categories] for path in paths])
    is_allowed &= seen.scores >= config.min_score
    # Squared, so that two doubtful links do not outweigh a sure one: in a row of people dressed
    # alike, all would move up by one place when one leaves.
    worth = np.where(is_allowed, similarity**2, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if is_allowed[row, column]]


def _colour(paths: list[_Path], seen: Detections) -> NDArray[np.float64] | None:
    """Likeness of colours, (paths, detections); None where any is unknown."""
    colours = [path.colour for path in paths if path.colour is not None]
    if seen.appearance is None or len(colours) < len(paths):
        return None
    return pairwise_colour(np.array(colours), seen.appearance)


def _demanded_overlap(elapsed: NDArray[np.float64], config: TrackConfig) -> NDArray[np.float64]:
    """Least overlap of two boxes of one instance that lie this many seconds apart."""
    extra = config.min_iou_close - config.min_iou
    return config.min_iou + extra * 0.5 ** (elapsed / _HALF_LIFE_SECONDS)


def _nearness(
    last: NDArray[np.float64],
    expected: NDArray[np.float64],
    boxes: NDArray[np.float64],
    elapsed: NDArray[np.float64],
    config: TrackConfig,
) -> NDArray[np.float64]:
    """What stands for the overlap of boxes that need not meet, in [0, 1]; 0: out of the question.

    The reach is how far an instance gets in the time elapsed. Nearness is the overlap that the
    boxes would have in one place, times the share of the reach that is left from the likelier of
    the last and the expected place. At high rates the reach is short, and overlap says more.
    """
    reach = config.max_speed * elapsed
    moved = pairwise_distance(last, boxes)
    missed = np.minimum(moved, pairwise_distance(expected, boxes))
    overlap_in_place = pairwise_iou(_at_origin(last), _at_origin(boxes))
    is_possible = (moved < reach) & (overlap_in_place >= config.min_iou_close)
    return np.where(is_possible, overlap_in_place * (1 - missed / reach), 0.0)


def _is_recent(path: _Path, time: float, config: TrackConfig) -> bool:
    """Whether a path may still go on at this time."""
    rounding = 1e-6  # Of key times, which are multiples of a step.
    return time - path.times[-1] <= config.max_gap_seconds + rounding


def _shot_of_each(times: NDArray[np.float64], shots: Sequence[Shot]) -> NDArray[np.intp]:
    """Index of the shot that holds each key time."""
    starts = np.array([shot.start_seconds for shot in shots])
    return np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    centre: NDArray[np.float64] = (box[:2] + box[2:]) / 2
    return centre


def _at_origin(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 4) of the same sizes around one place."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.hstack([-half, half])
