"""Train a backbone on a theatre before it is put to use: `python -m reelbank.jobs.pretrain FOLDER`.

The weights that come with the package were made so, by the recipe that lies beside them. As on
Kinetics and AVA, the network learns what a clip shows of each person: actions and identity. What a
clip does not show (the label of a pose) it cannot learn. Theatres for tests have other seeds.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from numpy.typing import NDArray
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from reelbank import __version__
from reelbank.heads.metrics.average_precision import STEPS, average_precision
from reelbank.heads.metrics.ranking import Ranking
from reelbank.jobs.recipe import settings_from
from reelbank.jobs.training.config import TrainingConfig
from reelbank.jobs.training.loading import TrainingData
from reelbank.jobs.training.loop import FitResult, fit
from reelbank.jobs.training.theatre_clips import (
    Moment,
    PeopleBatch,
    PeopleClips,
    decoded,
    read_people,
)
from reelbank.pipeline.backbones.backbone import Backbone, normalise
from reelbank.pipeline.backbones.models import construct, draw_weights, seeded
from reelbank.pipeline.backbones.roi_pooling import roi_features
from reelbank.pipeline.backbones.shipped import recipe_path
from reelbank.pipeline.backbones.zoo import backbone_config
from reelbank.pipeline.settings import BackboneSettings
from reelbank.pipeline.theatre.roles import ACTIONS
from reelbank.pipeline.theatre.theatre import THEATRE_VERSION, make_theatre

LICENCE = "Apache-2.0"
TEST_SPLIT = "validation"
"""Its films are tested on; all others are learned from."""
TEST_BATCH = 16
DROPOUT = 0.5
"""Probability on the features that the classifier sees."""
CUE_ACTIONS = [one.name for one in ACTIONS if not one.counts]
"""What is rare: showing a thing, and for whom."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings:
    """All that decides the weights."""

    backbone: str
    """Name of the network."""
    size: str = "small"
    """Size of the theatre."""
    seed: int
    """Seed of the theatre; that of the weights is the training's."""
    jitter: float = 0.04
    """Furthest shift of each side of a box in training, over that side."""
    cue_weight: float = 3.0
    """How much more often clips with a cue are drawn than clips without: cues are rare."""
    training: TrainingConfig
    """How it is trained; a step takes `batch_size` clips with everybody in them."""


class PeopleClassifier(nn.Module):
    """A backbone and a linear classifier on the features of people."""

    def __init__(self, backbone: Backbone, base_rates: Tensor) -> None:
        """`base_rates` (num_classes,): share of people that have each label."""
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last_3d)
        # As in the published heads; it also spreads what is learned over all channels.
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(backbone.feature_dim, len(base_rates))
        nn.init.normal_(self.classifier.weight, std=0.01)
        with torch.no_grad():
            self.classifier.bias.copy_(torch.logit(base_rates, eps=1e-3))

    def forward(self, batch: PeopleBatch) -> Tensor:
        """Logits (M, num_classes)."""
        clips = normalise(batch.frames, self.backbone)
        rows = roi_features(
            self.backbone(clips.contiguous(memory_format=torch.channels_last_3d)),
            torch.split(batch.boxes, batch.counts.tolist()),
            clip_size=(batch.frames.shape[2], batch.frames.shape[3]),
            spatial_stride=self.backbone.spatial_stride,
        )
        logits: Tensor = self.classifier(self.dropout(rows))
        return logits


class PeopleTask:
    """Labels of people from clips; tested by the average precision of each class."""

    def __init__(self, model: PeopleClassifier, test: PeopleClips, classes: Sequence[str]) -> None:
        self.model, self.test, self.classes = model, test, tuple(classes)

    def losses(self, batch: PeopleBatch) -> Iterator[Tensor]:
        """Cross entropy of each class by itself, mean over people and classes."""
        yield F.binary_cross_entropy_with_logits(self.model(batch).float(), batch.targets)

    def weight(self, batch: PeopleBatch) -> float:
        """How many people there are."""
        return float(len(batch.targets))

    def evaluate(self) -> Mapping[str, float]:
        """Mean average precision of what a clip shows: movements, cues, and who it is."""
        places = range(len(self.test))
        batches = [
            self.test.__getitems__(places[start : start + TEST_BATCH])
            for start in places[::TEST_BATCH]
        ]
        scores = torch.cat([self.model(one).double() for one in batches])
        targets = torch.cat([one.targets for one in batches]).bool()
        per_class = dict(zip(self.classes, precisions(scores, targets).tolist(), strict=True))
        groups = {
            "movements": [one.name for one in ACTIONS if one.family == "visible" and one.counts],
            "cues": CUE_ACTIONS,
            "people": [name for name in self.classes if name.startswith("person ")],
        }
        return {
            group: float(torch.tensor([per_class[name] for name in names]).nanmean())
            for group, names in groups.items()
        }


def precisions(scores: Tensor, targets: Tensor) -> Tensor:
    """(num_classes,) average precision, NaN without positives; both (n, num_classes)."""
    num_people, num_classes = scores.shape
    ranking = Ranking(
        scores=scores.flatten(),
        is_correct=targets.flatten(),
        class_index=torch.arange(num_classes).repeat(num_people),
        video_index=torch.zeros(scores.numel(), dtype=torch.int64),
        num_positives=targets.sum(0)[None],
    )
    return average_precision(ranking, STEPS).per_class


def read_settings(path: Path) -> PretrainSettings:
    """Settings from a YAML file; ValueError names what is wrong in it."""
    return settings_from(yaml.safe_load(path.read_text("utf-8")), str(path), PretrainSettings)


def pretrain(
    settings: PretrainSettings, folder: Path, output: Path, *, console: Console | None = None
) -> FitResult:
    """Make the theatre in `folder`/theatre, train in `folder`/run, write the weights to `output`.

    What is there already is not done again. ValueError where `folder` holds other work.
    """
    theatre = make_theatre(folder / "theatre", settings.size, seed=settings.seed)
    people = read_people(theatre)
    films = {path.stem: decoded(path) for path in sorted(theatre.films.iterdir())}
    height, width = next(iter(films.values())).frames.shape[1:3]
    clip = BackboneSettings(name=settings.backbone, short_side=min(height, width)).resolved()
    learned = [one for one in people.moments if one.split != TEST_SPLIT]
    tested = [one for one in people.moments if one.split == TEST_SPLIT]
    targets = torch.cat([torch.from_numpy(one.targets) for one in learned])
    config = backbone_config(settings.backbone)
    with seeded(settings.training.seed):
        backbone = construct(config)
        draw_weights(backbone, config)
        model = PeopleClassifier(backbone, targets.mean(dim=0))
    task = PeopleTask(model, PeopleClips(tested, films, clip, jitter=0.0), people.classes)
    data = TrainingData(
        dataset=PeopleClips(learned, films, clip, jitter=settings.jitter),
        collate=_as_it_is,
        order=WeightedOrder(
            weights=_weights(learned, people.classes, settings.cue_weight),
            batch_size=settings.training.batch_size,
            seed=settings.training.seed,
        ),
    )
    about = {"pretrain": asdict(settings), "theatre_version": THEATRE_VERSION}
    result = fit(task, data, settings.training, run=folder / "run", about=about, console=console)
    write_weights(model.backbone, output, settings, result.metrics)
    return result


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedOrder:
    """Samples of each step drawn with replacement."""

    weights: NDArray[np.float64]
    """(num_samples,) how often each is drawn; they add up to 1."""
    batch_size: int
    """Samples of a step."""
    seed: int
    """Together with the step it decides the draw."""

    def __call__(self, step: int) -> list[int]:
        """Indices of the samples of a step."""
        rng = np.random.default_rng([self.seed, step])
        drawn: list[int] = rng.choice(len(self.weights), self.batch_size, p=self.weights).tolist()
        return drawn


def _weights(
    moments: Sequence[Moment], classes: Sequence[str], cue_weight: float
) -> NDArray[np.float64]:
    cues = [place for place, name in enumerate(classes) if name in CUE_ACTIONS]
    weights = np.array([cue_weight if one.targets[:, cues].any() else 1.0 for one in moments])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _as_it_is(batch: PeopleBatch) -> PeopleBatch:
    """The data set gives whole batches."""
    return batch


def write_weights(
    backbone: Backbone,
    output: Path,
    settings: PretrainSettings,
    metrics: Mapping[str, float | None],
) -> None:
    """Weights as safetensors, with the recipe, the seed and the results in their metadata."""
    output.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: one.contiguous() for name, one in backbone.state_dict().items()}
    save_file(
        tensors,
        output,
        metadata={
            "backbone": settings.backbone,
            "recipe": json.dumps(asdict(settings)),
            "seed": str(settings.seed),
            "trained_on": f"theatre {THEATRE_VERSION}, {settings.size}, seed {settings.seed}",
            "average_precision": json.dumps(dict(metrics)),
            "reelbank": __version__,
            "license": LICENCE,
        },
    )


def main() -> None:
    """Train the weights that come with the package anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where theatre and run are kept")
    parser.add_argument("--backbone", default="slowonly_tiny", help="which of the shipped weights")
    parser.add_argument(
        "--output", type=Path, help="weights file; default: FOLDER/NAME.safetensors"
    )
    given = parser.parse_args()
    output = given.output or given.folder / f"{given.backbone}.safetensors"
    settings = read_settings(recipe_path(given.backbone))
    console = Console()
    result = pretrain(settings, given.folder, output, console=console)
    console.print(f"{output}: {result.metrics}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
