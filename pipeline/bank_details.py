"""What a bank says of itself: enough to know where every number of a row comes from."""

from collections.abc import Mapping
from typing import Any

from reelbank.pipeline.models import Models
from reelbank.pipeline.settings import BankSettings, ExtractSettings
from reelbank.pipeline.stages import StageSpec


def bank_details(
    name: str, settings: ExtractSettings, specs: Mapping[str, StageSpec], models: Models
) -> dict[str, Any]:
    """JSON values of bank.json."""
    bank = settings.banks[name]
    details: dict[str, Any] = {
        "kind": bank.kind,
        "dtype": bank.dtype,
        "category": bank.roi_category,
        "key_step_seconds": settings.key_step_seconds,
        "dim": bank_dim(name, settings, models),
    }
    if bank.kind == "object":
        return details | _of_detector(settings, specs, models)
    if bank.kind == "grid":
        details["grid_size"] = bank.grid_size
    if bank.kind == "person":
        details["roi_align"] = {
            "aligned": bank.roi_aligned,
            "size": 7,
            "pool": "mean over time, max over 7x7",
        }
    return details | _of_backbone(bank, settings, models)


def bank_dim(name: str, settings: ExtractSettings, models: Models) -> int:
    """Length of a row."""
    bank = settings.banks[name]
    if bank.kind == "object":
        return models.detector().feature_dim
    dim = models.backbone(bank.backbone).module.feature_dim
    return dim * bank.grid_size**2 if bank.kind == "grid" else dim


def _of_detector(
    settings: ExtractSettings, specs: Mapping[str, StageSpec], models: Models
) -> dict[str, Any]:
    assert settings.detector is not None
    ingredients = specs["detections"].ingredients
    return {
        "model": settings.detector.kind,
        "detector": ingredients["detector"],
        "config_digest": ingredients["config_file"],
        "untrained": models.detector().untrained,
        "weights_digest": ingredients["weights"],
    }


def _of_backbone(bank: BankSettings, settings: ExtractSettings, models: Models) -> dict[str, Any]:
    loaded = models.backbone(bank.backbone)
    backbone = settings.backbones[bank.backbone].resolved()
    return {
        "model": backbone.name,
        "clip": {
            "num_frames": backbone.num_frames,
            "stride": backbone.stride,
            "rate": backbone.clip_rate,
            "short_side": backbone.short_side,
            "crop": None,
            "mean": list(loaded.module.mean),
            "std": list(loaded.module.std),
        },
        "precision": backbone.precision,
        "seed": backbone.seed if loaded.untrained else None,
        "untrained": loaded.untrained,
        "weights_digest": loaded.weights_digest,
        "licence": loaded.licence,
    }
