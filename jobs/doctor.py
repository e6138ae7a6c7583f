"""What this machine can do, found without loading a network."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from reelbank.jobs.recipe import recipe_names
from reelbank.pipeline.backbones.zoo import BACKBONES
from reelbank.pipeline.decode.identity import decoder_identity

CHECKED = (
    "av duckdb fsspec numpy opencv-python-headless pyarrow pydantic ray safetensors "
    "scenedetect-headless scipy torch torchvision zarr"
).split()
CODECS = (
    "h264",
    "hevc",
    "av1",
    "vp8",
    "vp9",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "h263",
    "msmpeg4v2",
)


LABELS = {
    "memory_gb": "memory (GB)",
    "disk_free_gb": "disk free (GB)",
    "backbones": "networks",
    "ray_address": "RAY_ADDRESS",
}


def examine() -> dict[str, Any]:
    """Plain values: libraries, decoder, codecs, devices, detectors, networks, recipes."""
    import av

    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "libraries": {name: _version(name) for name in CHECKED},
        "decoder": decoder_identity(),
        "codecs": {name: name in av.codecs_available for name in CODECS},
        "devices": _devices(),
        "detectors": {
            "hog": True,
            "torchvision": importlib.util.find_spec("torchvision") is not None,
            "detectron2": importlib.util.find_spec("detectron2") is not None,
        },
        "backbones": sorted(BACKBONES),
        "recipes": recipe_names(),
        "ray_address": os.environ.get("RAY_ADDRESS"),
    }


def show_examination(found: Mapping[str, Any], console: Console) -> None:
    """Print it, with what is missing and how to get it."""
    names = Column(no_wrap=True, style="bold")
    table = Table(names, Column(), show_header=False, box=None, pad_edge=False)
    for name, value in found.items():
        table.add_row(LABELS.get(name, name), _words(value))
    console.print(table, markup=False, highlight=False)
    missing = [name for name, there in found["libraries"].items() if there is None]
    if missing:
        console.print(
            f"missing: {', '.join(missing)}; run make install", highlight=False, soft_wrap=True
        )
    if not found["detectors"]["detectron2"]:
        console.print(
            "optional: detectron2 is not installed; its installation page tells how",
            highlight=False,
            soft_wrap=True,
        )


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            name if there is True else f"{name}: {'missing' if there in (None, False) else there}"
            for name, there in value.items()
        )
    if value is None:
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _version(name: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(name)
    return None


def _memory_gb() -> float:
    import psutil

    return round(float(psutil.virtual_memory().total) / 1e9, 1)


def _devices() -> list[str]:
    import torch

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ["cpu", *(f"cuda:{index} {name}" for index, name in enumerate(cards))]
