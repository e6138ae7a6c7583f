"""One part of work: decode once, feed every missing stage, write, commit."""

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelbank.pipeline.bank_details import bank_details, bank_dim
from reelbank.pipeline.models import Models
from reelbank.pipeline.plan import Part, PartSummary, Span
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.span import SpanOutput, extract_span, nothing_of
from reelbank.pipeline.stages import StageSpec, naming_base, unit_bases, unit_key
from reelbank.pipeline.stored import StoredDetections
from reelbank.stores.commits import FileEntry, Unit
from reelbank.stores.records import ContentError, VideoInfo
from reelbank.stores.schemas import SCHEMAS
from reelbank.stores.stages import bank_of
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
        _extract(span, part.stages, models=models, settings=settings, store=store, specs=specs)
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
    span: Span,
    stages: Sequence[str],
    *,
    models: Models,
    settings: ExtractSettings,
    store: Store,
    specs: Mapping[str, StageSpec],
) -> SpanOutput:
    wanted = {bank_of(stage) for stage in stages}
    needs = any(name in wanted and bank.reads_detections for name, bank in settings.banks.items())
    stored = None
    if needs and "detections" not in stages:
        stored = StoredDetections(store, span, specs)
    _check_unchanged(span.info)
    try:
        output = extract_span(span, stages, models=models, settings=settings, stored=stored)
    except ContentError as error:
        output = nothing_of(span, stages, str(error))
    _check_unchanged(span.info)
    return output


def _check_unchanged(info: VideoInfo) -> None:
    """OSError where the file is not the one that was probed: its rows would bear a wrong digest."""
    status = os.stat(info.source)
    if (status.st_size, status.st_mtime_ns) != (info.num_bytes, info.modified_ns):
        message = (
            "the file changed while this run was reading it; the next run takes what it is then"
        )
        raise OSError(errno.ESTALE, message, info.source)


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
        bank = bank_of(stage)
        assert bank is not None
        return self._write_bank(bank, units, key, attempt)

    def _unit(self, stage: str, span: Span, output: SpanOutput) -> Unit:
        info = span.info
        bases = unit_bases(stage, self.specs, info.digest)
        details: dict[str, Any] = {
            **bases,
            "ingredients": dict(self.specs[stage].ingredients),
            "decode": decode_details(output),
        }
        if (bank := bank_of(stage)) is not None:
            details["bank"] = bank_details(bank, self.settings, self.specs, self.models)
        return Unit(
            video_id=info.video_id,
            digest=info.digest,
            stage=stage,
            start_seconds=span.start_seconds,
            end_seconds=span.end_seconds,
            key=unit_key(naming_base(bases), info.video_id, span.start_seconds, span.end_seconds),
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

    def _write_bank(
        self, name: str, units: Sequence[Unit], key: str, attempt: str
    ) -> tuple[list[Unit], list[FileEntry]]:
        counts = [
            np.array([len(one) for one in output.rows[name]], np.int64) for output in self.outputs
        ]
        first = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        placed = _placed(units, counts, first)
        group = self.store.write_bank(
            name,
            key=key,
            attempt=attempt,
            rows=self._rows(name),
            times=np.concatenate([output.times for output in self.outputs]),
            first=first,
            units=placed,
            compression=self.settings.banks[name].compression,
        )
        index = self._index(name, first)
        return placed, [
            group,
            self.store.write_table("index", key=key, attempt=attempt, data=index),
        ]

    def _rows(self, name: str) -> NDArray[Any]:
        """(n, dim) rows of all spans, in the type that the bank has on disk."""
        dim = bank_dim(name, self.settings, self.models)
        pieces = [one for output in self.outputs for one in output.rows[name]]
        exact = np.concatenate([np.empty((0, dim), np.float32), *pieces])
        with np.errstate(over="ignore"):
            rows = exact.astype(self.settings.banks[name].dtype)
        if not np.isfinite(exact).all():
            raise ValueError(
                f"bank {name!r}: the network gave numbers that are not finite; check its weights, "
                "and its precision: float32 has the widest range"
            )
        if not np.isfinite(rows).all():
            raise ValueError(
                f"bank {name!r}: a row holds {np.abs(exact).max():.6g}, and {rows.dtype} ends at "
                f"{np.finfo(rows.dtype).max:.6g}; set banks.{name}.dtype: float32"
            )
        return rows

    def _index(self, name: str, first: NDArray[np.int64]) -> pa.Table:
        """Lines of `index`: where the rows of each key time are."""
        times = np.concatenate([output.times for output in self.outputs])
        return pa.table(
            {
                "bank": [name] * len(times),
                "video_id": [
                    span.info.video_id
                    for span, output in zip(self.part.spans, self.outputs, strict=True)
                    for _ in output.times
                ],
                "time": times,
                "first_row": first[:-1],
                "num_rows": np.diff(first).astype(np.int32),
            },
            schema=SCHEMAS["index"],
        )


def _placed(
    units: Sequence[Unit], counts: Sequence[NDArray[np.int64]], first: NDArray[np.int64]
) -> list[Unit]:
    """Units with their places in the group; `counts` are each one's rows by key time."""
    placed: list[Unit] = []
    offset = 0
    for unit, one in zip(units, counts, strict=True):
        placed.append(
            replace(
                unit,
                num_rows=int(one.sum()),
                time_offset=offset,
                num_times=len(one),
                row_offset=int(first[offset]),
            )
        )
        offset += len(one)
    return placed


def decode_details(output: SpanOutput) -> dict[str, Any]:
    """The decode report as JSON values."""
    report = asdict(output.report)
    report["lost"] = [asdict(one) for one in output.report.lost]
    return report
