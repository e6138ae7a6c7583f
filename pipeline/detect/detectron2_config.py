"""Finding and reading detectron2's YAML configs, without detectron2: plain YAML, local files only.

detectron2 itself reads a config with Python tags by running them and fetches a base that is an
address; a config from a stranger must do neither.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import yaml

from reelbank.pipeline.detect.config import PYTHON_SUFFIXES, Detectron2Config

BASE_KEY = "_BASE_"
HOW_TO_GET_DETECTRON2 = (
    "the detectron2 detector needs detectron2, which is not on the package index: clone "
    "https://github.com/facebookresearch/detectron2, then run "
    "'pip install \"setuptools<81\" && pip install --no-build-isolation ./detectron2' "
    "(https://detectron2.readthedocs.io/tutorials/install.html)"
)


def settings_digest(config: Detectron2Config) -> str:
    """SHA-256 of the YAML files that `config.config` names: it and its bases, in reading order."""
    digest = hashlib.sha256()
    for path in config_files(config_path(config)):
        content = path.read_bytes()
        digest.update(f"{len(content)}\n".encode() + content)
    return digest.hexdigest()


def config_path(config: Detectron2Config) -> Path:
    """The YAML file: a path, or else a name in the model zoo of the installed detectron2."""
    path = Path(config.config).expanduser()
    if path.is_file():
        return path
    try:
        package = importlib.util.find_spec("detectron2")
    except ValueError:  # A module without a spec, such as one that a program made by hand.
        package = None
    if package is None or not package.submodule_search_locations:
        raise ValueError(
            f"config={config.config!r} is no file, and there is no model zoo to look it up; "
            f"{HOW_TO_GET_DETECTRON2}"
        )
    zoo = Path(package.submodule_search_locations[0]) / "model_zoo" / "configs"
    path = zoo / config.config
    if not path.is_file():
        folder = zoo / "COCO-Detection"
        known = sorted(f"{folder.name}/{file.name}" for file in folder.glob("faster_rcnn_*.yaml"))
        raise ValueError(
            f"config={config.config!r} is neither a file nor in the model zoo; known there, among "
            f"others: {', '.join(known)}"
        )
    return path


def config_files(path: Path) -> list[Path]:
    """The YAML file and the bases that it builds on, each checked to be plain and local."""
    files: list[Path] = []
    waiting = [path]
    while waiting:
        current = waiting.pop(0)
        if current in files:
            raise ValueError(f"config {path} builds on itself through {current}; remove that base")
        files.append(current)
        waiting.extend(_bases(current))
    return files


def _bases(path: Path) -> list[Path]:
    bases = _read_plain(path).get(BASE_KEY, [])
    names = bases if isinstance(bases, list) else [bases]
    for name in names:
        is_python = Path(str(name)).suffix.lower() in PYTHON_SUFFIXES
        if not isinstance(name, str) or "://" in name or is_python:
            raise ValueError(
                f"config {path} builds on {name!r}; a base must be a YAML file on this machine"
            )
    return [path.parent / Path(name).expanduser() for name in names]


def _read_plain(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.constructor.ConstructorError as error:
        raise ValueError(
            f"config {path} holds a Python tag ({error.problem}), and nothing from strangers is "
            "executed; write the value out"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config {path} is no YAML file ({error}); correct it") from error
    except OSError as error:
        raise ValueError(
            f"config {path} cannot be read ({error.strerror}); correct the path"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"config {path} holds no settings; give a YAML config of detectron2")
    return content
