"""Weights that come with the package, by backbone and name; each lies beside its recipe.

Nothing here imports torch: the driver of an extraction plans with their digests.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "weights"

SHIPPED = {"slowonly_tiny": ("theatre",)}
"""For each backbone the names of its weights."""


def is_shipped(backbone: str, weights: str | None) -> bool:
    """Whether `weights` is the name of shipped weights of `backbone`, not a path."""
    return weights in SHIPPED.get(backbone, ())


def weights_path(backbone: str, weights: str) -> str:
    """Path of the weights file that a recipe names: shipped weights by name, others by path."""
    return str(FOLDER / f"{backbone}.safetensors") if is_shipped(backbone, weights) else weights


def recipe_path(backbone: str) -> Path:
    """How the shipped weights of a backbone were trained, as YAML for `jobs.pretrain`."""
    return FOLDER / f"{backbone}.yaml"
