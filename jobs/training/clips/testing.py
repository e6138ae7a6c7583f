"""Scores of clips in a test, over all views of each: their mean, or the highest.

Source: Wu, PhD thesis, Table 7.2g (centre, three crops, flips, three scales) for the mean, section
7.5.1 for the highest, which counts on Charades over clips and crops alike. A view counts for a box
that it shows; where no view shows it, as with a centre crop, those at the border count.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reelbank.heads.feature_bank.config import Loss
from reelbank.heads.feature_bank.losses import class_scores
from reelbank.jobs.training.bank_dataset import BankDataset, WindowBatch, relative
from reelbank.jobs.training.batches import map_tensors
from reelbank.jobs.training.clips.dataset import SeenClip, TestClips
from reelbank.jobs.training.clips.model import ClipModel
from reelbank.jobs.training.labelled.samples import Samples


class ClipTester:
    """Scores of all items of some samples."""

    def __init__(
        self,
        clips: TestClips,
        samples: Samples,
        windows: BankDataset | None,
        *,
        loss: Loss,
        highest: bool,
        clips_at_once: int,
        loaders: int,
    ) -> None:
        """`windows`, where the head reads a bank, has one for each clip of `samples`. With
        `highest` the highest score of any view counts, of items that every view shows.
        """
        self._clips, self._windows, self._loss = clips, windows, loss
        self._highest, self._at_once, self._loaders = highest, clips_at_once, loaders
        self._times = torch.tensor(samples.times)
        self._counts: list[int] = np.diff(samples.first_items).tolist()

    def scores(self, model: ClipModel) -> Tensor:
        """(m, num_classes) float32 on the CPU, in the order of the items."""
        found = [torch.empty(0, model.head.config.num_classes)]
        for indices, clips in self._batches():
            found += self._of_clips(model, indices, clips)
        return torch.cat(found)

    def _batches(self) -> Iterator[tuple[list[int], list[list[SeenClip]]]]:
        """Numbers of clips and their views, a few clips at once."""
        loader = DataLoader(
            self._clips,
            batch_size=self._at_once,
            collate_fn=list,
            num_workers=self._loaders,
            multiprocessing_context="spawn" if self._loaders else None,
        )
        done = 0
        for clips in loader:
            yield list(range(done, done + len(clips))), clips
            done += len(clips)

    def _of_clips(
        self, model: ClipModel, indices: Sequence[int], clips: Sequence[Sequence[SeenClip]]
    ) -> list[Tensor]:
        """(m, num_classes) for each clip, over its views."""
        views = [(number, view) for number, clip in enumerate(clips) for view in clip]
        found: dict[int, Tensor] = {}
        for pack in _packs(views, self._at_once):
            scored = self._of_views(model, indices, pack)
            for (number, _), scores, share in zip(pack, scored, _shares(pack, clips), strict=True):
                before = found.get(number)
                if self._highest:
                    found[number] = scores if before is None else torch.maximum(before, scores)
                else:
                    found[number] = scores * share + (0.0 if before is None else before)
        return [found[number] for number in range(len(clips))]

    def _of_views(
        self, model: ClipModel, indices: Sequence[int], pack: Sequence[tuple[int, SeenClip]]
    ) -> list[Tensor]:
        """Scores (m, num_classes) of each view; the views have one size."""
        device = next(model.parameters()).device
        chosen = [indices[number] for number, _ in pack]
        counts = [self._counts[index] for index in chosen]
        boxes = [view.boxes for _, view in pack if view.boxes is not None]
        given = {
            "frames": torch.stack([view.frames for _, view in pack]),
            "boxes": torch.cat(boxes) if boxes else None,
            "clip_of": torch.repeat_interleave(torch.arange(len(pack)), torch.tensor(counts)),
            "window": self._windows_of(chosen),
        }
        logits = model(**map_tensors(given, lambda one: one.to(device)))
        return list(torch.split(class_scores(logits, self._loss).cpu(), counts))

    def _windows_of(self, indices: Sequence[int]) -> WindowBatch | None:
        if self._windows is None:
            return None
        return relative(self._windows.__getitems__(indices), self._times[list(indices)])


def _packs(
    views: Sequence[tuple[int, SeenClip]], at_once: int
) -> Iterator[list[tuple[int, SeenClip]]]:
    """Views of one size, at most `at_once` together."""
    sizes = sorted({tuple(view.frames.shape) for _, view in views})
    for size in sizes:
        alike = [one for one in views if tuple(one[1].frames.shape) == size]
        for start in range(0, len(alike), at_once):
            yield alike[start : start + at_once]


def _shares(
    pack: Sequence[tuple[int, SeenClip]], clips: Sequence[Sequence[SeenClip]]
) -> Iterator[Tensor]:
    """(m, 1) for each view: what its scores count among those of all views of its clip."""
    for number, view in pack:
        seen = torch.stack([one.is_inside for one in clips[number]])  # (views, m)
        num_seen = seen.sum(dim=0)
        share = torch.where(num_seen > 0, view.is_inside / num_seen.clamp(min=1), 1 / len(seen))
        yield share[:, None]
