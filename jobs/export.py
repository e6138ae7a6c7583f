"""The command `reelbank export`: from its options to an exporter, and what was written."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reelbank.stores.exporters.ava import AvaExporter
from reelbank.stores.exporters.coco import CocoExporter
from reelbank.stores.exporters.exporter import Exporter, export
from reelbank.stores.exporters.mot import MotExporter
from reelbank.stores.exporters.parquet import ParquetExporter
from reelbank.stores.exporters.webdataset import DEFAULT_SHARD_BYTES, WebDatasetExporter
from reelbank.stores.store import open_store


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """What `reelbank export` was asked for."""

    output_format: str
    """A key of `EXPORTERS`."""
    store: str
    """Folder or URI."""
    output: Path
    """File or folder to write."""
    videos: tuple[str, ...] = ()
    """Videos to write; none given: all."""
    labels: str | None = None
    """Label set, 'name@version'."""
    bank: str | None = None
    """Name of a bank."""
    seconds: float | None = None
    """Length of a sample."""
    shard_mb: float | None = None
    """Greatest size of a shard, in millions of bytes."""
    predictions: str | None = None
    """Model whose predictions are written."""


def run_export(request: ExportRequest) -> dict[str, int]:
    """Write the output; how many of what it holds. A wrong request is a ValueError."""
    exporter = exporter_of(request)
    return export(open_store(request.store), exporter, request.output, videos=request.videos)


def exporter_of(request: ExportRequest) -> Exporter:
    """The exporter with its options; ValueError for one that is lacking or means nothing."""
    name = request.output_format
    if name not in EXPORTERS:
        raise ValueError(f"export {name}: unknown format; known: {', '.join(sorted(EXPORTERS))}")
    make, taken = EXPORTERS[name]
    for option in ("labels", "bank", "seconds", "shard_mb", "predictions"):
        if getattr(request, option) is not None and option not in taken:
            flag = f"--{option.replace('_', '-')}"
            raise ValueError(f"export {name} has no option {flag}; leave it away")
    return make(request)


def _coco(request: ExportRequest) -> Exporter:
    return CocoExporter(labels=request.labels)


def _mot(request: ExportRequest) -> Exporter:
    return MotExporter()


def _ava(request: ExportRequest) -> Exporter:
    if request.labels is None:
        raise ValueError("export ava writes a label set; say which: --labels NAME@VERSION")
    return AvaExporter(labels=request.labels, predictions=request.predictions)


def _webdataset(request: ExportRequest) -> Exporter:
    if request.bank is None:
        raise ValueError("export webdataset writes the rows of a bank; say which: --bank NAME")
    shard_mb = DEFAULT_SHARD_BYTES / 1e6 if request.shard_mb is None else request.shard_mb
    if not 0 < shard_mb < math.inf:
        raise ValueError(f"--shard-mb must be more than 0 and finite, not {shard_mb:g}")
    return WebDatasetExporter(
        bank=request.bank,
        labels=request.labels,
        seconds=request.seconds,
        shard_bytes=max(1, round(shard_mb * 1e6)),
    )


def _parquet(request: ExportRequest) -> Exporter:
    return ParquetExporter()


EXPORTERS: dict[str, tuple[Callable[[ExportRequest], Exporter], tuple[str, ...]]] = {
    "ava": (_ava, ("labels", "predictions")),
    "coco": (_coco, ("labels",)),
    "mot": (_mot, ()),
    "parquet": (_parquet, ()),
    "webdataset": (_webdataset, ("labels", "bank", "seconds", "shard_mb")),
}
"""How each format is made, and the options that it takes."""
