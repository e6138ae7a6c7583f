"""What every average precision is computed from: scored claims, each right or wrong."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranking:
    """Claims of all classes in any order. ValueError for shapes that do not fit, and for NaN."""

    scores: Tensor
    """(n,) float64; a higher score comes earlier; -inf is allowed."""
    is_correct: Tensor
    """(n,) bool; a claim that is not correct is a false positive."""
    class_index: Tensor
    """(n,) int64 in [0, num_classes)."""
    video_index: Tensor
    """(n,) int64 in [0, num_videos); the bootstrap draws whole videos."""
    num_positives: Tensor
    """(num_videos, num_classes) int64: what there is to find, found or not."""

    def __post_init__(self) -> None:
        for name in ("is_correct", "class_index", "video_index"):
            found = getattr(self, name).shape
            if found != self.scores.shape:
                raise ValueError(
                    f"{name} must have the shape of scores, {tuple(self.scores.shape)}, "
                    f"got {tuple(found)}"
                )
        if self.num_positives.ndim != 2:
            raise ValueError(
                "num_positives must be (num_videos, num_classes), "
                f"got {tuple(self.num_positives.shape)}"
            )
        check_scores(self.scores)

    @property
    def num_classes(self) -> int:
        """Classes, those without a claim or a positive among them."""
        return self.num_positives.shape[1]

    @property
    def num_videos(self) -> int:
        """Videos that a bootstrap draws from."""
        return self.num_positives.shape[0]

    @property
    def recall(self) -> Tensor:
        """(num_classes,) float64: share of the positives that any claim finds, whatever its score;
        no order of the claims gives a higher average precision. NaN without positives.
        """
        found = torch.bincount(self.class_index[self.is_correct], minlength=self.num_classes)
        return found.double() / self.num_positives.sum(0)


def check_scores(scores: Tensor) -> None:
    """ValueError for NaN, which has no place in an order."""
    num_nan = int(scores.isnan().sum())
    if num_nan:
        raise ValueError(
            f"scores hold {num_nan} NaN of {scores.numel()}; every prediction needs a number: "
            "look at the model's last outputs"
        )
