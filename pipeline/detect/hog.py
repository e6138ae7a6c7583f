"""OpenCV's built-in people detector: works offline, needs no weights.

Source: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005; the
SVM is the one inside OpenCV. Departures: overlapping windows are thinned by our own non-maximum
suppression instead of OpenCV's grouping, which loses the margin of a box; and a box is the person
inside the window, not the window, whose wide border belongs to the descriptor.

Calibration: score = logistic(2.3 margin - 1.6), fitted to whether a box matches a person at IoU
0.5 on three frames of MOT17-04, a crowded street in daylight; elsewhere it only ranks.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from reelbank.pipeline.detect.appearance import appearance
from reelbank.pipeline.detect.boxes import clip, nms
from reelbank.pipeline.detect.config import HogConfig
from reelbank.pipeline.detect.moments import Moment
from reelbank.stores.records import Detections

WINDOW_WIDTH, WINDOW_HEIGHT = 64, 128
PERSON_WIDTH, PERSON_HEIGHT = 0.65, 0.75
"""Share of the window that the person fills: 96 of 128 rows by the training crops; the width is
the best fit to the boxes of MOT17-04."""
MAX_LEVELS = 64
LEVEL_FILTER = cv2.INTER_LINEAR_EXACT
"""Both as OpenCV's own search of all scales has them."""
LOGISTIC_SLOPE, LOGISTIC_OFFSET = 2.3, -1.6


class HogDetector:
    """Finds upright people of 96 pixels in height or more, after the frame's resizing.

    OpenCV's number of threads is one for the whole process and is left to the caller. The scales
    of a frame are searched one by one, each on a thread: OpenCV's own search of all scales appends
    boxes and margins under two separate locks, and with several threads gives some boxes the
    margins of others.
    """

    untrained = False

    def __init__(self, config: HogConfig) -> None:
        self.config = config
        self._descriptor = cv2.HOGDescriptor()
        people = np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32)
        self._descriptor.setSVMDetector(people)
        self.feature_dim = int(self._descriptor.getDescriptorSize())

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        """Detections of each frame: RoI features are the descriptor of the box at 64 x 128."""
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: NDArray[np.uint8]) -> Detections:
        boxes, margins = self._people(frame)
        logits = LOGISTIC_SLOPE * margins + LOGISTIC_OFFSET
        scores: NDArray[np.float32] = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        kept = nms(boxes, scores, max_iou=self.config.nms_iou)[: self.config.max_per_frame]
        kept = kept[scores[kept] >= self.config.min_score]
        boxes = boxes[kept]
        return Detections(
            boxes=boxes,
            scores=scores[kept],
            categories=("person",) * len(kept),
            features=self._describe(frame, boxes),
            appearance=appearance(frame, boxes),
        )

    def _people(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Boxes (n, 4) in [0, 1] and SVM margins (n,) of all windows, overlapping, unordered."""
        height, width = frame.shape[:2]
        scale = self.config.longest_side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size[0] < WINDOW_WIDTH or size[1] < WINDOW_HEIGHT:
            # No window fits a frame so narrow, and OpenCV would read beyond it.
            return np.zeros((0, 4), dtype=np.float32), np.zeros(0)
        interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(frame, size, interpolation=interpolation), np.uint8)
        with ThreadPoolExecutor(cv2.getNumThreads()) as threads:
            levels = list(threads.map(partial(self._at_scale, image), self._scales(size)))
        windows = np.concatenate([found for found, _ in levels])  # x y width height
        margins = np.concatenate([found for _, found in levels])
        centre = windows[:, :2] + windows[:, 2:] / 2.0
        half = windows[:, 2:] * (PERSON_WIDTH / 2.0, PERSON_HEIGHT / 2.0)
        corners = np.concatenate([centre - half, centre + half], axis=1)  # (n, 4)
        return clip((corners / (size + size)).astype(np.float32)), margins

    def _scales(self, size: tuple[int, int]) -> Iterator[float]:
        """How much larger than the window the people of each level are, while the window fits."""
        scale = 1.0
        for _ in range(MAX_LEVELS):
            if round(size[0] / scale) < WINDOW_WIDTH or round(size[1] / scale) < WINDOW_HEIGHT:
                return
            yield scale
            scale *= self.config.scale

    def _at_scale(
        self, image: NDArray[np.uint8], scale: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Windows (n, 4) as x y width height in pixels of `image`, and their margins (n,)."""
        height, width = image.shape[:2]
        size = (round(width / scale), round(height / scale))
        level = image if scale == 1.0 else cv2.resize(image, size, interpolation=LEVEL_FILTER)
        stride = (self.config.window_stride, self.config.window_stride)
        corners, margins = self._descriptor.detect(
            level, hitThreshold=self.config.hit_threshold, winStride=stride, padding=(0, 0)
        )
        windows = np.empty((len(corners), 4))
        windows[:, :2] = np.rint(np.asarray(corners, np.float64).reshape(-1, 2) * scale)
        windows[:, 2:] = np.rint(np.array((WINDOW_WIDTH, WINDOW_HEIGHT)) * scale)
        return windows, np.asarray(margins, np.float64).reshape(-1)

    def _describe(
        self, frame: NDArray[np.uint8], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Descriptors (n, 3780) of the boxes, each resized to the window."""
        height, width = frame.shape[:2]
        features = np.zeros((len(boxes), self.feature_dim), dtype=np.float32)
        for row, box in enumerate(boxes.astype(np.float64)):
            left = min(int(box[0] * width), width - 1)
            top = min(int(box[1] * height), height - 1)
            right = max(left + 1, int(np.ceil(box[2] * width)))
            bottom = max(top + 1, int(np.ceil(box[3] * height)))
            crop = frame[top:bottom, left:right]
            is_larger = crop.shape[0] > WINDOW_HEIGHT
            window = cv2.resize(
                crop,
                (WINDOW_WIDTH, WINDOW_HEIGHT),
                interpolation=cv2.INTER_AREA if is_larger else cv2.INTER_LINEAR,
            )
            features[row] = np.asarray(self._descriptor.compute(window)).reshape(-1)
        return features
