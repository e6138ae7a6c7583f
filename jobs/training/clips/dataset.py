"""Clips decoded on the fly, with their boxes, labels and windows, as PyTorch datasets.

Whatever is drawn for a clip follows from the state of Python's generator, which the loop seeds for
each sample: a batch is the same in any number of loaders, and in a run that was resumed.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from reelbank.jobs.training import bank_dataset
from reelbank.jobs.training.bank_dataset import BankDataset, WindowBatch, relative
from reelbank.jobs.training.clips.config import ClipsConfig
from reelbank.jobs.training.clips.views import (
    drawn_view,
    is_inside,
    on_border,
    seen,
    views_for_test,
)
from reelbank.jobs.training.labelled.samples import Samples
from reelbank.pipeline.backbones.zoo import backbone_info
from reelbank.pipeline.decode.random_access import frames_at
from reelbank.stores.records import VideoInfo

_WHOLE_FRAME = np.array([[0, 0, 1, 1]], np.float32)


class ClipBatch(NamedTuple):
    """N clips with M items to learn from: boxes, or each clip as a whole."""

    frames: Tensor
    """(N, T, h, w, 3) uint8 RGB."""
    times: Tensor
    """(N,) float64, middle of each clip in seconds."""
    boxes: Tensor | None
    """(M, 4) float32 x1 y1 x2 y2 in [0, 1] of the crop; None where items are whole clips."""
    clip_of: Tensor
    """(M,) int64, the clip of each item."""
    targets: Tensor
    """(M, num_classes) uint8, 1 for the classes of each item."""
    window: WindowBatch | None
    """The N windows of a bank around the clips, as `relative` gives them, where the head reads
    one."""


class SeenClip(NamedTuple):
    """One view of a clip that is tested."""

    frames: Tensor
    """(T, h, w, 3) uint8 RGB."""
    boxes: Tensor | None
    """(m, 4) float32 in the view, where items are boxes; those that are outside lie on its
    border."""
    is_inside: Tensor
    """(m,) bool, which items are in the view."""


class ClipSource:
    """Clips by number: frames as they are decoded, boxes as they are stored."""

    def __init__(
        self, samples: Samples, films: Mapping[str, VideoInfo], config: ClipsConfig
    ) -> None:
        self._samples, self._films = samples, films
        self._first = samples.first_items
        self._clip, self._threads = config.clip, config.decoder_threads

    def __len__(self) -> int:
        return len(self._samples)

    def time(self, index: int) -> float:
        """Middle of a clip in seconds."""
        return float(self._samples.times[index])

    def items(self, index: int) -> slice:
        """Which items are those of a clip."""
        return slice(int(self._first[index]), int(self._first[index + 1]))

    def boxes(self, index: int) -> NDArray[np.float32]:
        """(m, 4) boxes of a clip; the whole frame where its item is the clip."""
        boxes = self._samples.boxes
        return _WHOLE_FRAME if boxes is None else boxes[self.items(index)].astype(np.float32)

    def frames(self, index: int) -> list[NDArray[np.uint8]]:
        """T frames (H, W, 3) of full size: those of which an extraction's clip is made.

        Raises ValueError where nothing can be decoded there, or the film cannot be read.
        """
        info = self._films[self._samples.videos[self._samples.video[index]]]
        times = self._clip.sample_times(self.time(index), info.rate)
        try:
            return frames_at(info, times, threads=self._threads)
        except OSError as error:
            raise ValueError(
                f"film {info.video_id!r} can no longer be read from {info.source} "
                f"({error.strerror}); put it back, and run the same command again"
            ) from error


class TrainingClips(Dataset[ClipBatch]):
    """Clips to learn from, each looked at in a view that is drawn for it."""

    def __init__(
        self,
        samples: Samples,
        films: Mapping[str, VideoInfo],
        config: ClipsConfig,
        windows: BankDataset | None = None,
    ) -> None:
        """`windows`, where the head reads a bank, has one for each clip of `samples`."""
        config = config.resolved()
        self.samples = samples
        self._source, self._augment = ClipSource(samples, films, config), config.augment
        self._windows = windows
        self._stride = backbone_info(config.backbone).spatial_stride

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> ClipBatch:
        """A batch of one clip; boxes that its crop leaves out lie on its border."""
        generator = np.random.default_rng(random.getrandbits(63))
        frames = self._source.frames(index)
        height, width = frames[0].shape[:2]
        view = drawn_view(self._augment, width, height, generator)
        clip, boxes = seen(frames, self._source.boxes(index), view)
        boxes = on_border(boxes, view, stride=self._stride)
        assert self.samples.targets is not None
        targets = self.samples.targets[self._source.items(index)]
        return ClipBatch(
            frames=torch.from_numpy(clip)[None],
            times=torch.tensor([self._source.time(index)], dtype=torch.float64),
            boxes=torch.from_numpy(boxes) if self.samples.boxes is not None else None,
            clip_of=torch.zeros(len(targets), dtype=torch.int64),
            targets=torch.from_numpy(targets),
            window=None if self._windows is None else self._windows[index],
        )


class TestClips(Dataset[list[SeenClip]]):
    """Clips to be tested, decoded once, in all views of the config."""

    __test__ = False  # For pytest, which takes the name for a class of tests.

    def __init__(
        self, samples: Samples, films: Mapping[str, VideoInfo], config: ClipsConfig
    ) -> None:
        config = config.resolved()
        self._source, self._views = ClipSource(samples, films, config), config.test
        self._has_boxes = samples.boxes is not None
        self._stride = backbone_info(config.backbone).spatial_stride

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> list[SeenClip]:
        """All views of one clip."""
        frames, boxes = self._source.frames(index), self._source.boxes(index)
        height, width = frames[0].shape[:2]
        found = []
        for view in views_for_test(self._views, width, height):
            clip, moved = seen(frames, boxes, view)
            reachable = on_border(moved, view, stride=self._stride)
            found.append(
                SeenClip(
                    torch.from_numpy(clip),
                    torch.from_numpy(reachable) if self._has_boxes else None,
                    torch.from_numpy(is_inside(moved)),
                )
            )
        return found


def collate_clips(items: Sequence[ClipBatch]) -> ClipBatch:
    """One batch of several; ValueError where their clips have different sizes."""
    sizes = sorted({tuple(item.frames.shape[2:4]) for item in items})
    if len(sizes) > 1:
        raise ValueError(
            f"clips of {len(sizes)} sizes (height, width) cannot share a batch: "
            f"{', '.join(map(str, sizes))}; set short_term.augment.crop_size"
        )
    times = torch.cat([item.times for item in items])
    boxes = [item.boxes for item in items if item.boxes is not None]
    windows = [item.window for item in items if item.window is not None]
    return ClipBatch(
        frames=torch.cat([item.frames for item in items]),
        times=times,
        boxes=torch.cat(boxes) if boxes else None,
        clip_of=torch.cat([item.clip_of + number for number, item in enumerate(items)]),
        targets=torch.cat([item.targets for item in items]),
        window=relative(bank_dataset.collate(windows), times) if windows else None,
    )
