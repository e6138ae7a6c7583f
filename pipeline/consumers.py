"""What each stage does with the frames of a span; every consumer runs on a thread of its own."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from reelbank.pipeline.backbones.backbone import normalise
from reelbank.pipeline.backbones.models import LoadedBackbone
from reelbank.pipeline.backbones.roi_pooling import clip_features, grid_features, roi_features
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.detect.protocol import Detector
from reelbank.pipeline.settings import BackboneSettings, BankSettings
from reelbank.pipeline.shots.scorer import ShotScorer
from reelbank.stores.records import Detections

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """The frame on screen at a key time."""

    number: int
    """Key time divided by the key step."""
    rgb: Pixels
    """(H, W, 3), upright, full size."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames that a 3D CNN sees around a key time."""

    number: int
    """Key time divided by the key step."""
    frames: list[Pixels]
    """T frames of (h, w, 3) each."""


class ScoreRows:
    """One shot score for each frame of the span."""

    def __init__(self, scorer: ShotScorer) -> None:
        self._scorer = scorer
        self.times: list[float] = []
        self.scores: list[float] = []

    def consume(self, shown: tuple[float | None, Pixels]) -> None:
        """Score a frame; a frame without a time precedes the span and is only remembered."""
        time, rgb = shown
        score = self._scorer.score(rgb)
        if time is not None:
            self.times.append(time)
            self.scores.append(np.nan if score is None else score)


class DetectionRows:
    """Detections at each key time, and the rows of the detector's own banks.

    `check`, where given, is called with each key time's number and what was found there;
    `moment_of` gives the place of a key time by its number.
    """

    def __init__(
        self,
        detector: Detector,
        banks: Mapping[str, BankSettings],
        *,
        batch_size: int,
        moment_of: Callable[[int], Moment],
        check: Callable[[int, Detections], None] | None = None,
    ) -> None:
        self._detector = detector
        self._banks = banks
        self._batch_size = batch_size
        self._moment_of = moment_of
        self._check = check
        self._batch: list[KeyFrame] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self.error: BaseException | None = None
        """Why no more detections will come, if it is not that all are there."""
        self.found: dict[int, Detections] = {}
        """Without features: these would fill the memory, and `rows` has those that are wanted."""
        self.rows: dict[str, dict[int, Rows]] = {name: {} for name in banks}

    def consume(self, frame: KeyFrame) -> None:
        """Take one key frame; a full batch goes to the detector."""
        self._batch.append(frame)
        if len(self._batch) == self._batch_size:
            self._flush()

    def finish(self) -> None:
        """Detect in what still waits; no key frame comes after this."""
        self._flush()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            found = self._detector.detect(
                [frame.rgb for frame in batch],
                [self._moment_of(frame.number) for frame in batch],
            )
            kept = {
                frame.number: self._take(frame.number, detections)
                for frame, detections in zip(batch, found, strict=True)
            }
        except BaseException as error:
            # Whatever went wrong: clips that wait for these detections must not wait for ever.
            self.fail(error)
            raise
        with self._changed:
            self.found.update(kept)
            self._changed.notify_all()

    def _take(self, number: int, detections: Detections) -> Detections:
        """Check, keep the rows of the banks, and leave the rest of the features behind."""
        if self._check is not None:
            self._check(number, detections)
        for name, bank in self._banks.items():
            assert detections.features is not None
            self.rows[name][number] = detections.features[
                of_category(detections, bank.roi_category)
            ]
        return replace(detections, features=None)

    def fail(self, error: BaseException) -> BaseException:
        """Release everyone who waits: no more detections will come; gives the first cause."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()
            return self.error

    def wait_for(self, number: int) -> Detections:
        """Detections at a key time, as soon as they are there."""
        with self._changed:
            self._changed.wait_for(
                lambda: number in self.found or self._has_ended or self.error is not None
            )
            if number not in self.found:
                raise RuntimeError(
                    f"the detector ended before key time number {number}"
                ) from self.error
            return self.found[number]


class ClipFeatures:
    """Rows of every bank that one 3D CNN makes."""

    def __init__(
        self,
        backbone: LoadedBackbone,
        settings: BackboneSettings,
        banks: Mapping[str, BankSettings],
        detections_at: Callable[[int], Detections],
        device: str,
    ) -> None:
        self._backbone = backbone
        self._banks = banks
        self._detections_at = detections_at
        self._device = torch.device(device)
        self._batch: list[Clip] = []
        self.settings = settings
        self.rows: dict[str, dict[int, Rows]] = {name: {} for name in banks}

    def consume(self, clip: Clip) -> None:
        """Take one clip; a full batch goes through the network."""
        self._batch.append(clip)
        if len(self._batch) == self.settings.batch_size:
            self.flush()

    @torch.inference_mode()
    def flush(self) -> None:
        """Run the network on what waits, padded to the fixed batch shape."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        maps = tuple(one[: len(batch)].float() for one in self._forward(batch))
        for name, bank in self._banks.items():
            for clip, rows in zip(batch, self._pool(bank, maps, batch), strict=True):
                self.rows[name][clip.number] = rows

    def _forward(self, batch: list[Clip]) -> tuple[torch.Tensor, ...]:
        frames = np.stack([np.stack(clip.frames) for clip in batch])  # (n, T, h, w, 3)
        padding = self.settings.batch_size - len(batch)
        if padding:
            frames = np.concatenate([frames, np.zeros((padding, *frames.shape[1:]), np.uint8)])
        clips = normalise(torch.from_numpy(frames).to(self._device), self._backbone.module)
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
        precision = getattr(torch, self.settings.precision)
        with torch.autocast(self._device.type, dtype=precision, enabled=precision != torch.float32):
            maps: tuple[torch.Tensor, ...] = self._backbone.module(clips)
        return maps

    def _pool(
        self, bank: BankSettings, maps: tuple[torch.Tensor, ...], batch: list[Clip]
    ) -> list[Rows]:
        """(n, dim) rows of each clip."""
        if bank.kind == "clip":
            return list(clip_features(maps).cpu().numpy()[:, None])
        if bank.kind == "grid":
            return list(grid_features(maps, bank.grid_size).cpu().numpy()[:, None])
        boxes = []
        for clip in batch:
            found = self._detections_at(clip.number)
            boxes.append(torch.from_numpy(found.boxes[of_category(found, bank.roi_category)]))
        height, width = batch[0].frames[0].shape[:2]
        stride = self._backbone.module.spatial_stride
        pooled = roi_features(
            maps,
            boxes,
            clip_size=(height, width),
            spatial_stride=stride,
            aligned=bank.roi_aligned,
        )
        rows: Rows = pooled.cpu().numpy()
        return np.split(rows, np.cumsum([len(one) for one in boxes])[:-1])


def of_category(detections: Detections, category: str | None) -> NDArray[np.bool_]:
    """Mask of the detections that have a row in a bank of `category`; None stands for all."""
    if category is None:
        return np.ones(len(detections), bool)
    return np.array([name == category for name in detections.categories], bool)
