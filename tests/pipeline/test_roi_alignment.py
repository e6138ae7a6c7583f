"""How RoIAlign is aligned: a setting of a person bank, which its metadata and its key tell."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reelbank.pipeline.backbones.backbone import normalise
from reelbank.pipeline.backbones.roi_pooling import roi_features
from reelbank.pipeline.bank_details import bank_details
from reelbank.pipeline.consumers import Clip, ClipFeatures
from reelbank.pipeline.models import Models
from reelbank.pipeline.settings import BackboneSettings, BankSettings, ExtractSettings, Resources
from reelbank.pipeline.stages import stage_specs
from reelbank.stores.records import Detections

ALIGNED = BankSettings(kind="person")
UNALIGNED = replace(ALIGNED, roi_aligned=False)


def test_the_default_is_aligned_and_keys_of_older_stores_still_count() -> None:
    aligned, unaligned = (
        stage_specs(ExtractSettings(banks={"person": bank}))["bank:person"].ingredients["bank"]
        for bank in (ALIGNED, UNALIGNED)
    )
    assert set(aligned) == {"kind", "category", "grid_size", "dtype"}
    assert unaligned == aligned | {"roi_aligned": False}


def test_a_bank_without_boxes_has_nothing_to_align() -> None:
    with pytest.raises(ValueError, match="roi_aligned=false means nothing to kind 'clip'"):
        BankSettings(kind="clip", roi_aligned=False)


def test_rows_and_metadata_follow_the_setting() -> None:
    banks = {"aligned": ALIGNED, "unaligned": UNALIGNED}
    wanted = ExtractSettings(banks=banks, resources=Resources(threads=torch.get_num_threads()))
    models = Models(wanted)
    loaded = models.backbone("main")
    boxes = np.float32([[0.1, 0.2, 0.6, 0.9], [0.3, 0.1, 0.9, 0.5]])
    found = Detections(boxes, np.float32([0.9, 0.8]), ("person", "person"))
    generator = np.random.default_rng(0)
    frames = list(generator.integers(0, 256, (8, 64, 96, 3), dtype=np.uint8))
    settings = BackboneSettings(batch_size=1).resolved()
    features = ClipFeatures(loaded, settings, banks, lambda number: found, "cpu")
    features.consume(Clip(0, frames))
    with torch.inference_mode():
        maps = loaded.module(normalise(torch.from_numpy(np.stack([frames])), loaded.module))
    for name, bank in banks.items():
        expected = roi_features(
            maps,
            [torch.from_numpy(boxes)],
            clip_size=(64, 96),
            spatial_stride=loaded.module.spatial_stride,
            aligned=bank.roi_aligned,
        )
        np.testing.assert_allclose(features.rows[name][0], expected.numpy(), atol=1e-4)
    assert np.abs(features.rows["aligned"][0] - features.rows["unaligned"][0]).max() > 0.01

    specs = stage_specs(wanted)
    told = {name: bank_details(name, wanted, specs, models)["roi_align"] for name in banks}
    assert [told[name]["aligned"] for name in banks] == [True, False]
