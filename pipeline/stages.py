"""The stages of an extraction and what names the output of each.

A stage's *base* is the digest of everything that its output depends on except the span: content,
settings, weights, decoder and the bases of the stages that it reads. A unit's key adds the span.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reelbank.pipeline.backbones.digests import check_sha256
from reelbank.pipeline.backbones.shipped import weights_path
from reelbank.pipeline.decode.identity import decoder_identity
from reelbank.pipeline.detect.config import Detectron2Config
from reelbank.pipeline.detect.detectron2_config import settings_digest
from reelbank.pipeline.detect.weights import weights_digest
from reelbank.pipeline.settings import FEATURES_VERSION, BackboneSettings, ExtractSettings
from reelbank.stores.keys import digest_of
from reelbank.stores.stages import bank_stage

FINISH_STAGES = ("video", "shots", "tracks")
"""Decided once for a whole video, after all its parts."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a recipe, without any video."""

    name: str
    """'scores', 'detections', 'bank:<name>', 'video', 'shots' or 'tracks'."""
    ingredients: Mapping[str, Any]
    """Settings, weights and decoder: JSON values, compared to explain why work is due."""
    reads: tuple[str, ...] = ()
    """Names of the stages whose output it reads."""
    any_decoder_read: bool = False
    """What it reads may stem from another decoder than the ingredients name."""

    @property
    def is_finish(self) -> bool:
        """Whether it is decided for the whole video at once."""
        return self.name in FINISH_STAGES


def stage_specs(settings: ExtractSettings, *, accept_decoder: bool = False) -> dict[str, StageSpec]:
    """Stages of a recipe by name, each after those that it reads.

    With `accept_decoder` a stage may read what another decoder made.

    Raises ValueError where a weights file is missing or has another digest than the recipe says.
    """
    decoder = decoder_identity()
    specs = {"video": StageSpec("video", {"decoder": decoder})}
    if settings.shots is not None:
        shots = asdict(settings.shots)
        # Thresholds matter to `finish` alone: changing one must not decode again.
        specs["scores"] = StageSpec(
            "scores", {"shots": settings.shots.scorer_settings(), "decoder": decoder}
        )
        specs["shots"] = StageSpec("shots", {"shots": shots}, reads=("scores",))
    if settings.detector is not None:
        specs["detections"] = StageSpec(
            "detections",
            {
                "detector": _without_paths(asdict(settings.detector)),
                "config_file": settings_digest(settings.detector)
                if isinstance(settings.detector, Detectron2Config)
                else None,
                "weights": weights_digest(settings.detector),
                "key_step_seconds": settings.key_step_seconds,
                "decoder": decoder,
            },
        )
    if settings.detector is not None and settings.shots is not None and settings.tracks is not None:
        specs["tracks"] = StageSpec(
            "tracks", {"tracks": asdict(settings.tracks)}, reads=("detections", "shots")
        )
    for name in settings.banks:
        specs[bank_stage(name)] = _bank_spec(name, settings, decoder)
    if accept_decoder:
        return {name: replace(spec, any_decoder_read=True) for name, spec in specs.items()}
    return specs


def _bank_spec(name: str, settings: ExtractSettings, decoder: Mapping[str, str]) -> StageSpec:
    bank = settings.banks[name]
    # The same rows, however they are packed.
    left_out = ["backbone", "compression"]
    if bank.roi_aligned:
        # Stores from before there was a choice have rows of this kind under keys without it.
        left_out.append("roi_aligned")
    ingredients: dict[str, Any] = {
        "bank": {key: value for key, value in asdict(bank).items() if key not in left_out},
        "key_step_seconds": settings.key_step_seconds,
        "decoder": decoder,
    }
    if bank.kind != "object":
        backbone = settings.backbones[bank.backbone].resolved()
        # Like the device, the batch size moves the last bits of a row (by 1e-5), so it is no
        # ingredient; one recipe keeps one fixed batch shape, so that its rows repeat exactly.
        ingredients["backbone"] = {
            key: value
            for key, value in _without_paths(asdict(backbone)).items()
            if key not in ("batch_size", "sha256")
        }
        ingredients["weights"] = backbone_digest(backbone)
    reads = ("detections",) if bank.reads_detections else ()
    return StageSpec(bank_stage(name), ingredients, reads)


def backbone_digest(backbone: BackboneSettings) -> str | None:
    """SHA-256 of the checkpoint, checked against the recipe's; None for untrained weights.

    Raises ValueError where the file is missing or differs.
    """
    if backbone.weights is None:
        return None
    path = weights_path(backbone.name, backbone.weights)
    if not Path(path).is_file():
        raise ValueError(
            f"backbone {backbone.name}: {backbone.weights} is neither a weights file nor the name "
            "of weights that ship for it; correct the path, or use null for untrained weights"
        )
    return check_sha256(path, backbone.sha256)


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    # A file is named by its digest: moving it changes nothing.
    paths = ("weights", "sha256", "config", "labels")
    return {key: one for key, one in settings.items() if key not in paths}


def stage_base(
    name: str, specs: Mapping[str, StageSpec], content: str, *, any_decoder: bool = False
) -> str:
    """Digest of everything but the span that the output of stage `name` depends on.

    `content` is the SHA-256 of the video. With `any_decoder` the decoder is left out, for
    comparing outputs that differ in nothing else.
    """
    spec = specs[name]
    ingredients = {
        key: value
        for key, value in spec.ingredients.items()
        if not (any_decoder and key == "decoder")
    }
    reads = [stage_base(read, specs, content, any_decoder=any_decoder) for read in spec.reads]
    return digest_of(
        {
            "stage": name,
            "content": content,
            "ingredients": ingredients,
            "reads": reads,
            "features_version": FEATURES_VERSION,
        }
    )


def unit_bases(name: str, specs: Mapping[str, StageSpec], content: str) -> dict[str, str]:
    """What a unit notes of its bases, by which a later plan knows it again."""
    bases = {"any_decoder_base": stage_base(name, specs, content, any_decoder=True)}
    if not (specs[name].reads and specs[name].any_decoder_read):
        bases["base"] = stage_base(name, specs, content)
    return bases


def naming_base(bases: Mapping[str, str]) -> str:
    """The base that names a unit: another one where it may stem from another decoder."""
    return bases.get("base", bases["any_decoder_base"])


def unit_key(base: str, video_id: str, start_seconds: float, end_seconds: float) -> str:
    """Name of a stage's output for one span of one video."""
    # repr keeps every digit, and writes an open end as 'inf', which JSON has no word for.
    return digest_of(
        {"base": base, "video": video_id, "span": [repr(start_seconds), repr(end_seconds)]}
    )
