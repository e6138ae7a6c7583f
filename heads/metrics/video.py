"""Multi-label mAP of whole videos, and Charades, which is one.

Sources: Charades_v1_classify.m of the data set, and SlowFast and the released long-term feature
banks, whose definition is scikit-learn's; they differ, see `VideoProtocol`. Departure: a class
without a labelled video is left out of the mean, where the official script's mean becomes NaN.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reelbank.heads.metrics.average_precision import (
    STEPS,
    ClassAveragePrecision,
    Definition,
    average_precision,
)
from reelbank.heads.metrics.ranking import Ranking, check_scores


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoProtocol:
    """What an evaluator of video-level mAP counts."""

    definition: Definition
    """Which average precision."""
    only_labelled: bool
    """Whether videos without any label are left out; otherwise they hold false positives alone."""


CHARADES = VideoProtocol(definition=Definition("steps", "row_order"), only_labelled=True)
"""The official script: equal scores count in the order of the videos."""
MULTI_LABEL = VideoProtocol(definition=STEPS, only_labelled=False)
"""SlowFast, the released long-term feature banks, and scikit-learn."""

VIDEO_PROTOCOLS = {"charades": CHARADES, "multi_label": MULTI_LABEL}


def pool_clips(scores: Tensor) -> Tensor:
    """(videos, classes) from (videos, clips, classes): the highest score of any clip or crop."""
    if scores.ndim != 3 or scores.shape[1] == 0:
        raise ValueError(
            "scores of clips must be (videos, clips, classes) with at least one clip, "
            f"got {tuple(scores.shape)}"
        )
    check_scores(scores)
    return scores.amax(1)


def video_average_precision(
    scores: Tensor, labels: Tensor, *, protocol: VideoProtocol = MULTI_LABEL
) -> ClassAveragePrecision:
    """Average precision of each class; arguments as of `rank_videos`."""
    return average_precision(rank_videos(scores, labels, protocol=protocol), protocol.definition)


def rank_videos(
    scores: Tensor, labels: Tensor, *, protocol: VideoProtocol = MULTI_LABEL
) -> Ranking:
    """A claim for each video and class.

    scores: (videos, classes) float, -inf for a video that has no prediction; labels: bool, the
    same shape. ValueError for other shapes, for labels of another kind and for NaN.
    """
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(
            "scores and labels must both be (videos, classes), got "
            f"{tuple(scores.shape)} and {tuple(labels.shape)}"
        )
    if labels.dtype != torch.bool:
        raise ValueError(f"labels must be bool, got {labels.dtype}; compare them with 0 or 1 first")
    if protocol.only_labelled:
        labelled = labels.any(1)
        scores, labels = scores[labelled], labels[labelled]
    num_videos, num_classes = scores.shape
    return Ranking(
        scores=scores.double().reshape(-1),
        is_correct=labels.reshape(-1),
        class_index=torch.arange(num_classes).repeat(num_videos),
        video_index=torch.arange(num_videos).repeat_interleave(num_classes),
        num_positives=labels.long(),
    )
