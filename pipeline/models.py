"""The networks of a recipe, each built on first use and kept for every part."""

from collections.abc import Iterable
from functools import cache

import cv2
import torch

from reelbank.pipeline.backbones.models import LoadedBackbone, build_backbone
from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.protocol import Detector
from reelbank.pipeline.settings import ExtractSettings
from reelbank.stores.stages import bank_of


class Models:
    """Detector and 3D CNNs of one recipe on one device."""

    def __init__(self, settings: ExtractSettings) -> None:
        self.settings = settings
        torch.set_num_threads(settings.resources.threads)
        cv2.setNumThreads(settings.resources.threads)
        # Without this an input of another size may take another kernel, and give other last bits.
        torch.backends.cudnn.benchmark = False
        self.detector = cache(self._detector)
        self.backbone = cache(self._backbone)

    def load(self, stages: Iterable[str]) -> None:
        """Build now the networks that these stages need.

        Raises ValueError or ImportError where one cannot be had, whatever the video.
        """
        for stage in stages:
            bank = self.settings.banks.get(bank_of(stage) or "")
            if stage == "detections" or (bank is not None and bank.kind == "object"):
                self.detector()
            elif bank is not None:
                self.backbone(bank.backbone)

    def _detector(self) -> Detector:
        config = self.settings.detector
        if config is None:
            raise ValueError("this recipe has no detector")
        return build_detector(config, device=self.settings.resources.device)

    def _backbone(self, name: str) -> LoadedBackbone:
        wanted = self.settings.backbones[name]
        loaded = build_backbone(
            wanted.name, weights=wanted.weights, sha256=wanted.sha256, seed=wanted.seed
        )
        # Channels last: up to half faster, on CPUs as on GPUs.
        loaded.module.to(self.settings.resources.device)
        loaded.module.to(memory_format=torch.channels_last_3d)
        return loaded
