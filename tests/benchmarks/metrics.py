"""Print as JSON what the metrics cost: `python -m tests.benchmarks.metrics [--boxes 100000]`.

Frame mAP of made boxes, as many lines of ground truth as AVA's training set and 60 detections for
each box, by both protocols, and its error bars. Seconds are of one process on the wall and on the
processor; memory is the highest so far, inputs included.
"""

import argparse
import json
import resource
import sys
import time

import torch
from torch import Tensor

from reelbank.heads.metrics.average_precision import ALL_POINTS, average_precision
from reelbank.heads.metrics.bootstrap import bootstrap
from reelbank.heads.metrics.boxes import (
    Detections,
    GroundTruth,
    KeyFrames,
    detections_of_scores,
)
from reelbank.heads.metrics.frame import FRAME_PROTOCOLS, rank_detections

NUM_CLASSES, SECONDS_OF_VIDEO, PEOPLE = 60, 900, 3


class Clock:
    """Seconds on the wall and on the processor since the last look."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def lap(self) -> dict[str, float]:
        """Time since the last lap, and the peak of memory."""
        wall, processor = time.perf_counter(), time.process_time()
        found = {
            "wall_seconds": round(wall - self._wall, 2),
            "processor_seconds": round(processor - self._processor, 2),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        }
        self._wall, self._processor = wall, processor
        return found


def made(num_lines: int, num_boxes: int, num_videos: int) -> tuple[GroundTruth, Detections]:
    """People who stand where they stood, labelled and detected with jitter."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(num_videos, SECONDS_OF_VIDEO, PEOPLE, 2, generator=generator) * 0.5
    people = torch.cat([corners, corners + 0.45], -1).double()

    def some(count: int, jitter: float) -> tuple[KeyFrames, Tensor]:
        video = torch.randint(num_videos, (count,), generator=generator)
        second = torch.randint(SECONDS_OF_VIDEO, (count,), generator=generator)
        person = torch.randint(PEOPLE, (count,), generator=generator)
        moved = jitter * torch.rand(count, 4, generator=generator)
        return KeyFrames(video, second.double()), people[video, second, person] + moved

    at, boxes = some(num_lines, 0.01)
    truth = GroundTruth(at, boxes, torch.randint(1, 81, (num_lines,), generator=generator))
    at, boxes = some(num_boxes, 0.02)
    scores = torch.rand(num_boxes, NUM_CLASSES, generator=generator)
    ids = torch.arange(1, NUM_CLASSES + 1)
    return truth, detections_of_scores(at, boxes, scores, class_ids=ids)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1_600_000, help="lines of ground truth")
    parser.add_argument("--boxes", type=int, default=100_000, help="boxes, 60 detections each")
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--draws", type=int, default=100, help="draws of the error bars")
    given = parser.parse_args()
    clock = Clock()
    truth, detections = made(given.lines, given.boxes, given.videos)
    found = {"lines": given.lines, "detections": len(detections.labels), "make": clock.lap()}
    for name, protocol in FRAME_PROTOCOLS.items():
        ids = torch.arange(1, NUM_CLASSES + 1)
        ranking = rank_detections(truth, detections, class_ids=ids, protocol=protocol).ranking
        found[f"{name} matching"] = clock.lap()
        average_precision(ranking, ALL_POINTS)
        found[f"{name} average precision"] = clock.lap()
    bootstrap(ranking, ALL_POINTS, num_draws=given.draws)
    found[f"{given.draws} draws"] = clock.lap()
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
