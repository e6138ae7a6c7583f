"""Which weights a detector's settings name: found, checked and digested without PyTorch."""

from pathlib import Path

from reelbank.pipeline.backbones.digests import check_sha256
from reelbank.pipeline.detect.config import (
    DetectorConfig,
    Detectron2Config,
    HogConfig,
    LabelsConfig,
    TorchvisionConfig,
)
from reelbank.pipeline.detect.label_files import labels_digest


def weights_digest(config: DetectorConfig) -> str | None:
    """What names the weights in a stage's key; None where there are none, or random ones.

    A file: its SHA-256, hexadecimal, held against `config.sha256`. Published weights: the name of
    the published file, which ends in the first digits of its SHA-256; nothing is fetched. Label
    files count as weights: they decide what is found.
    """
    if isinstance(config, LabelsConfig):
        return labels_digest(config.labels)
    if isinstance(config, HogConfig) or config.weights is None:
        return None
    if isinstance(config, TorchvisionConfig) and config.published_file is not None:
        return config.published_file
    return checked_digest(weights_path(config), config.sha256)


def weights_path(config: TorchvisionConfig | Detectron2Config) -> Path:
    """The file that `config.weights` names, which must be there."""
    assert config.weights is not None
    path = Path(config.weights).expanduser()
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not there"
        raise ValueError(
            f"the {config.kind} detector's weights file {path} {found}; correct the path, or use "
            "null for untrained weights"
        )
    return path


def checked_digest(path: Path, expected: str | None) -> str:
    """SHA-256 of the file, hexadecimal; an error where it differs from `expected`."""
    try:
        return check_sha256(path, expected)
    except OSError as error:
        raise ValueError(
            f"weights file {path} cannot be read ({error.strerror}); make it readable"
        ) from error
