"""Weights of a checkpoint into a model, with one sentence where they do not fit."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from reelbank.jobs.training.clips.config import ClipsConfig
from reelbank.jobs.training.settings import TrainSettings


def restore_weights(model: nn.Module, weights: Mapping[str, Tensor], where: object) -> None:
    """Load the weights into the model, all of them.

    Raises ValueError that names `where` and the first tensor that is missing, too many, or of
    another shape.
    """
    shapes = {name: tuple(one.shape) for name, one in model.state_dict().items()}
    found = {name: tuple(one.shape) for name, one in weights.items()}
    for name in sorted(shapes.keys() | found.keys()):
        if shapes.get(name) != found.get(name):
            raise ValueError(
                f"{where}: {name} is {_words(found.get(name))} there and "
                f"{_words(shapes.get(name))} in the model; use the settings of its training"
            )
    model.load_state_dict(dict(weights))


def without_weights(settings: TrainSettings) -> TrainSettings:
    """The same settings for a model that gets a checkpoint's weights: none are read for it."""
    if not isinstance(settings.short_term, ClipsConfig):
        return settings
    drawn = replace(settings.short_term, weights=None, sha256=None)
    return replace(settings, short_term=drawn)


def _words(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else f"{shape}"
