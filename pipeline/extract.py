"""One part of work: decode once, feed every missing stage, write, commit."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from reelbank.pipeline.finish import stored_detections
from reelbank.pipeline.models import Models
from reelbank.pipeline.plan import Part, PartSummary, Span
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.span import SpanOutput, extract_span, nothing_of
from reelbank.pipeline.stages import StageSpec, stage_base, unit_key
from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.records import ContentError, Detections
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.store import Store


def extract_part(
    part: Part,
    *,
    models: Models,
    store: Store,
    settings: ExtractSettings,
    specs: Mapping[str, StageSpec],
    run: str,
) -> PartSummary:
    """Decode the spans of `part` once, write what its stages lack and commit it stage by stage."""
    began = time.perf_counter()
    outputs = [
        _extract(span, part.stages, models=models, settings=settings, store=store)
        for span in part.spans
    ]
    writer = PartWriter(part, outputs, store=store, settings=settings, specs=specs, models=models)
    committed, num_bytes = [], 0
    for stage in part.stages:
        attempt = store.new_attempt()
        units, files = writer.write(stage, attempt)
        num_bytes += sum(file.num_bytes for file in files)
        if store.commit(stage, units, files, run=run, attempt=attempt) is not None:
            committed.append(stage)
    return PartSummary(
        committed=tuple(committed),
        frames=sum(output.report.frames for output in outputs),
        frames_decoded=sum(output.report.frames_decoded for output in outputs),
        frames_used=sum(output.report.frames_used for output in outputs),
        num_bytes=num_bytes,
        seconds=time.perf_counter() - began,
    )


def _extract(
    span: Span, stages: Sequence[str], *, models: Models, settings: ExtractSettings, store: Store
) -> SpanOutput:
    stored: dict[int, Detections] = {}
    needs = any(
        f"bank:{name}" in stages and bank.kind == "person" for name, bank in settings.banks.items()
    )
    if needs and "detections" not in stages:
        stored = _stored_detections(store, span, settings.key_step_seconds)
    try:
        return extract_span(span, stages, models=models, settings=settings, stored=stored)
    except ContentError as error:
        return nothing_of(span, stages, str(error))


def _stored_detections(store: Store, span: Span, step: float) -> dict[int, Detections]:
    """Detections of an earlier run by number of the key time."""
    table = store.table("detections", span.info.video_id, span.start_seconds, span.end_seconds)
    times, detections = stored_detections(table)
    numbers = np.rint(times / step).astype(int).tolist()
    return _NoneByDefault(zip(numbers, detections, strict=True))


class _NoneByDefault(dict[int, Detections]):
    """A key time without a stored detection had none."""

    def __missing__(self, number: int) -> Detections:
        return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), ())


class PartWriter:
    """Turns what the stages made of a part into files and units."""

    def __init__(
        self,
        part: Part,
        outputs: Sequence[SpanOutput],
        *,
        store: Store,
        settings: ExtractSettings,
        specs: Mapping[str, StageSpec],
        models: Models,
    ) -> None:
        self.part, self.outputs = part, outputs
        self.store, self.settings, self.specs, self.models = store, settings, specs, models

    def write(self, stage: str, attempt: str) -> tuple[list[Unit], list[FileEntry]]:
        """Files of one stage and the units that they hold; nothing is visible before its commit."""
        units = [
            self._unit(stage, span, output)
            for span, output in zip(self.part.spans, self.outputs, strict=True)
        ]
        key = self.store.commit_key(stage, units)
        if stage == "scores":
            return self._with_rows(units, [len(one.scores) for one in self.outputs]), [
                self.store.write_table("scores", key=key, attempt=attempt, data=self._scores())
            ]
        if stage == "detections":
            counts = [sum(len(found) for found in one.detections) for one in self.outputs]
            return self._with_rows(units, counts), [
                self.store.write_table(
                    "detections", key=key, attempt=attempt, data=self._detections()
                )
            ]
        return self._write_bank(stage.removeprefix("bank:"), units, key, attempt)

    def _unit(self, stage: str, span: Span, output: SpanOutput) -> Unit:
        info = span.info
        base = stage_base(stage, self.specs, info.digest)
        details: dict[str, Any] = {
            "base": base,
            "any_decoder_base": stage_base(stage, self.specs, info.digest, any_decoder=True),
            "ingredients": dict(self.specs[stage].ingredients),
            "decode": decode_details(output),
        }
        if stage.startswith("bank:"):
            details["bank"] = self._bank_details(stage.removeprefix("bank:"))
        return Unit(
            video_id=info.video_id,
            digest=info.digest,
            stage=stage,
            start_seconds=span.start_seconds,
            end_seconds=span.end_seconds,
            key=unit_key(base, info.video_id, span.start_seconds, span.end_seconds),
            num_rows=0,
            details=details,
        )

    @staticmethod
    def _with_rows(units: Sequence[Unit], counts: Sequence[int]) -> list[Unit]:
        return [replace(unit, num_rows=count) for unit, count in zip(units, counts, strict=True)]

    def _scores(self) -> pa.Table:
        tables = [
            pa.table(
                {
                    "video_id": pa.array([span.info.video_id] * len(output.scores), pa.string()),
                    "time": output.score_times,
                    "score": pa.array(output.scores, from_pandas=True),
                },
                schema=SCHEMAS["scores"],
            )
            for span, output in zip(self.part.spans, self.outputs, strict=True)
        ]
        return pa.concat_tables(tables)

    def _detections(self) -> pa.Table:
        columns: dict[str, list[Any]] = {name: [] for name in SCHEMAS["detections"].names}
        for span, output in zip(self.part.spans, self.outputs, strict=True):
            for time_, found in zip(output.times.tolist(), output.detections, strict=True):
                count = len(found)
                columns["video_id"] += [span.info.video_id] * count
                columns["time"] += [time_] * count
                columns["rank"] += range(count)
                columns["category"] += found.categories
                columns["score"] += found.scores.tolist()
                for name, values in zip(("x1", "y1", "x2", "y2"), found.boxes.T, strict=True):
                    columns[name] += values.tolist()
                appearance = found.appearance if found.appearance is not None else [None] * count
                columns["appearance"] += [
                    None if one is None else one.tobytes() for one in appearance
                ]
        return pa.table(columns, schema=SCHEMAS["detections"])

    def _bank_details(self, name: str) -> dict[str, Any]:
        """What bank.json says: enough to know where every number of a row comes from."""
        bank = self.settings.banks[name]
        details: dict[str, Any] = {
            "kind": bank.kind,
            "dtype": bank.dtype,
            "category": bank.roi_category,
            "key_step_seconds": self.settings.key_step_seconds,
            "dim": bank_dim(name, self.settings, self.models),
        }
        if bank.kind == "object":
            detector = self.models.detector()
            assert self.settings.detector is not None
            return details | {
                "model": self.settings.detector.kind,
                "untrained": detector.untrained,
                "weights_digest": self.specs[f"bank:{name}"].ingredients.get("weights"),
            }
        loaded = self.models.backbone(bank.backbone)
        backbone = self.settings.backbones[bank.backbone].resolved()
        if bank.kind == "grid":
            details["grid_size"] = bank.grid_size
        if bank.kind == "person":
            details["roi_align"] = {
                "aligned": True,
                "size": 7,
                "pool": "mean over time, max over 7x7",
            }
        return details | {
            "model": backbone.name,
            "clip": {
                "num_frames": backbone.num_frames,
                "stride": backbone.stride,
                "rate": backbone.clip_rate,
                "short_side": backbone.short_side,
                "crop": None,
                "mean": list(loaded.module.mean),
                "std": list(loaded.module.std),
            },
            "precision": backbone.precision,
            "seed": backbone.seed if loaded.untrained else None,
            "untrained": loaded.untrained,
            "weights_digest": loaded.weights_digest,
            "licence": loaded.licence,
        }

    def _write_bank(
        self, name: str, units: Sequence[Unit], key: str, attempt: str
    ) -> tuple[list[Unit], list[FileEntry]]:
        dim = bank_dim(name, self.settings, self.models)
        dtype = np.dtype(self.settings.banks[name].dtype)
        counts_of = [
            np.array([len(one) for one in output.rows[name]], np.int64) for output in self.outputs
        ]
        rows = [one for output in self.outputs for one in output.rows[name]]
        times = np.concatenate([output.times for output in self.outputs])
        counts = np.concatenate(counts_of)
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        placed, time_offset = [], 0
        for unit, one in zip(units, counts_of, strict=True):
            placed.append(
                replace(
                    unit,
                    num_rows=int(one.sum()),
                    time_offset=time_offset,
                    num_times=len(one),
                    row_offset=int(first[time_offset]),
                )
            )
            time_offset += len(one)
        group = self.store.write_bank(
            name,
            key=key,
            attempt=attempt,
            rows=np.concatenate([np.empty((0, dim), np.float32), *rows]).astype(dtype),
            times=times,
            first=first,
            units=placed,
        )
        index = pa.table(
            {
                "bank": [name] * len(times),
                "video_id": [
                    span.info.video_id
                    for span, output in zip(self.part.spans, self.outputs, strict=True)
                    for _ in output.times
                ],
                "time": times,
                "first_row": first[:-1],
                "num_rows": counts.astype(np.int32),
            },
            schema=SCHEMAS["index"],
        )
        return placed, [
            group,
            self.store.write_table("index", key=key, attempt=attempt, data=index),
        ]


def bank_dim(name: str, settings: ExtractSettings, models: Models) -> int:
    """Length of a row."""
    bank = settings.banks[name]
    if bank.kind == "object":
        return models.detector().feature_dim
    dim = models.backbone(bank.backbone).module.feature_dim
    return dim * bank.grid_size**2 if bank.kind == "grid" else dim


def decode_details(output: SpanOutput) -> dict[str, Any]:
    """The decode report as JSON values."""
    report = asdict(output.report)
    report["lost"] = [asdict(one) for one in output.report.lost]
    return report
