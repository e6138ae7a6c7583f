"""The weights that come with the package load, say whence they are, and tell actions apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open

from reelbank.jobs.pretrain import PretrainSettings, precisions, read_settings
from reelbank.jobs.recipe import load_recipe, settings_from
from reelbank.jobs.training.theatre_clips import PeopleClips, decoded, read_people
from reelbank.pipeline.backbones.backbone import normalise
from reelbank.pipeline.backbones.digests import file_sha256
from reelbank.pipeline.backbones.models import build_backbone
from reelbank.pipeline.backbones.roi_pooling import roi_features
from reelbank.pipeline.backbones.shipped import SHIPPED, is_shipped, recipe_path, weights_path
from reelbank.pipeline.backbones.zoo import BACKBONES
from reelbank.pipeline.settings import BackboneSettings
from reelbank.pipeline.stages import backbone_digest
from reelbank.pipeline.theatre.roles import MOVEMENTS
from reelbank.pipeline.theatre.sizes import SIZES
from reelbank.pipeline.theatre.theatre import make_theatre

NAMED = [(backbone, name) for backbone, names in SHIPPED.items() for name in names]
MAX_BYTES = 8 * 2**20


@pytest.mark.parametrize(("backbone", "name"), NAMED)
def test_the_digest_that_is_planned_with_is_that_of_the_weights_that_are_loaded(backbone, name):
    loaded = build_backbone(backbone, weights=name)
    assert not loaded.untrained
    assert loaded.licence == "Apache-2.0"
    planned = backbone_digest(BackboneSettings(name=backbone, weights=name))
    assert planned == loaded.weights_digest == file_sha256(weights_path(backbone, name))


@pytest.mark.parametrize(("backbone", "name"), NAMED)
def test_the_file_is_small_and_tells_recipe_and_seed(backbone, name):
    path = weights_path(backbone, name)
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    recipe = settings_from(json.loads(told["recipe"]), path, PretrainSettings)
    assert recipe == read_settings(recipe_path(backbone))
    assert told["backbone"] == backbone
    assert int(told["seed"]) == yaml.safe_load(recipe_path(backbone).read_text())["seed"]
    with open(path, "rb") as file:
        assert len(file.read()) <= MAX_BYTES


def test_a_name_of_shipped_weights_is_no_path(tmp_path, monkeypatch):
    (tmp_path / "theatre").write_text("a file of that name")
    monkeypatch.chdir(tmp_path)
    settings = load_recipe("default").with_absolute_paths()
    assert settings.backbones["main"].weights == "theatre"
    assert not is_shipped("slowonly_r50_8x8", "theatre")
    assert set(SHIPPED) <= set(BACKBONES)


@pytest.mark.slow
def test_rows_of_people_in_films_never_seen_tell_their_movements(tmp_path):
    films = {"train": 2, "validation": 1, "test": 2}
    size = replace(SIZES["tiny"], num_films=films, width=160, height=96)
    theatre = make_theatre(tmp_path, size, seed=7, processes=1)
    shipped, untrained = (precision_of_a_probe(theatre, weights) for weights in ("theatre", None))
    assert float(shipped.mean()) > 0.95
    assert float(untrained.mean()) < 0.7


def precision_of_a_probe(theatre, weights):
    """Average precision of each movement in the test films, by a linear map of people's rows."""
    people = read_people(theatre)
    films = {path.stem: decoded(path) for path in sorted(theatre.films.iterdir())}
    clip = BackboneSettings(name="slowonly_tiny", weights=weights).resolved()
    backbone = build_backbone("slowonly_tiny", weights=weights).module
    rows, targets = {}, {}
    for split in ("train", "test"):
        clips = PeopleClips(
            [one for one in people.moments if one.split == split], films, clip, jitter=0.0
        )
        batch = clips.__getitems__(range(0, len(clips), 2))
        with torch.no_grad():
            rows[split] = roi_features(
                backbone(normalise(batch.frames, backbone)),
                torch.split(batch.boxes, batch.counts.tolist()),
                clip_size=batch.frames.shape[2:4],
                spatial_stride=backbone.spatial_stride,
            )
        targets[split] = batch.targets[:, [people.classes.index(name) for name in MOVEMENTS]]
    scores = probe(rows["train"], targets["train"], rows["test"])
    return precisions(scores, targets["test"].bool())


def probe(rows, targets, others):
    """Scores of a ridge regression."""
    mean, deviation = rows.mean(0), rows.std(0) + 1e-3
    known = np.asarray((rows - mean) / deviation, np.float64)
    ridge = known.T @ known + 100.0 * np.eye(known.shape[1])
    weights = np.linalg.solve(ridge, known.T @ np.asarray(targets - targets.mean(0), np.float64))
    return torch.from_numpy(np.asarray((others - mean) / deviation, np.float64) @ weights)
