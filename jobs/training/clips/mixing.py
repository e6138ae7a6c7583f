"""Labelled and predicted boxes in the same clips.

Source: Wu, PhD thesis, section 7.2.1: training on both lessens the difference between the boxes of
the ground truth and those of a test.
"""

import numpy as np

from reelbank.jobs.training.labelled.moments import moments_of, places_among
from reelbank.jobs.training.labelled.samples import Samples, boxed_clips


def mixed(labelled: Samples, predicted: Samples) -> Samples:
    """The clips of both, by film and time, each with the boxes that either has for it."""
    videos = tuple(sorted({*labelled.videos, *predicted.videos}))
    number_of = {name: number for number, name in enumerate(videos)}
    video, times = [], []
    for part in (labelled, predicted):
        renumbered = np.array([number_of[name] for name in part.videos], np.int64)
        video.append(renumbered[part.video[part.clip]])
        times.append(part.times[part.clip])
    # A detection may lie within a millisecond of its label, and belongs to the same clip.
    known, first = np.unique(moments_of(video[0], times[0]), return_index=True)
    place = places_among(known, moments_of(video[1], times[1]))
    times[1][place >= 0] = times[0][first[place[place >= 0]]]
    assert labelled.boxes is not None
    assert predicted.boxes is not None
    assert labelled.targets is not None
    assert predicted.targets is not None
    return boxed_clips(
        videos,
        np.concatenate(video),
        np.concatenate(times),
        place=np.concatenate([labelled.place, predicted.place]),
        boxes=np.concatenate([labelled.boxes, predicted.boxes]),
        targets=np.concatenate([labelled.targets, predicted.targets]),
    )
