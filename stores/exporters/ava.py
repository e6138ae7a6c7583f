"""AVA: the CSV files of the release from a label set, and results in the form of its evaluation.

    <set>_<split>_v<version>.csv                       video,time,x1,y1,x2,y2,action,person
    <set>_<split>_excluded_timestamps_v<version>.csv   video,time
    <set>_action_list_v<version>_evaluated.pbtxt       the classes that the evaluation counts
    <set>_action_list_v<version>.pbtxt                 all classes, where there are others
    <set>_predictions_v<version>.csv                   video,time,x1,y1,x2,y2,action,score

Videos are called as in the imported file, times are those of the whole film again, and lines come
in the order of that file: what was imported from v2.1 and v2.2 comes back byte for byte, but for
the lines of videos that the store does not hold. Lines without a person have seven fields, lines
without a box two.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reelbank.stores.exporters.exporter import checked_labels
from reelbank.stores.exporters.lines import LABEL_SET, by_video, label_values
from reelbank.stores.exporters.names import safe_name
from reelbank.stores.labels import set_and_version
from reelbank.stores.names import unknown
from reelbank.stores.stages import labels_stage
from reelbank.stores.store import Store

_EXCLUDED, _ACTION = "task = 'excluded'", "task <> 'excluded'"
_SPLITS = {"validation": "val"}
"""What the release calls a split."""

_LINES_AT_ONCE = 65_536
_FIELDS = "video_id, source_name, time, x1, y1, x2, y2, label_id, instance_id"
_BOX = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, kw_only=True, slots=True)
class AvaExporter:
    """One label set; with `predictions`, what a model says of its videos as well."""

    is_folder: ClassVar[bool] = True

    labels: str
    """Label set, 'name@version'; it brings names, times and the numbers of the classes."""
    predictions: str | None = None
    """`model` of the lines of the table predictions to write."""

    def write(self, store: Store, videos: Sequence[str], output: Path) -> Mapping[str, int]:
        """The files named at the top, where they have lines; how many lines (classes) each has."""
        release = _Release(store, videos, labels=self.labels)
        name, version = set_and_version(self.labels)
        version = f"v{version.removeprefix('v')}"
        counts: dict[str, int] = {}
        for split in release.splits():
            called = name if split is None else f"{name}_{_SPLITS.get(split, safe_name(split))}"
            excluded = release.lines(split, _EXCLUDED)
            _write_csv(output / f"{called}_{version}.csv", release.lines(split, _ACTION), counts)
            _write_csv(output / f"{called}_excluded_timestamps_{version}.csv", excluded, counts)
        _write_maps(output / f"{name}_action_list_{version}", release.classes(), counts)
        if self.predictions is not None:
            lines = release.predictions(self.predictions)
            _write_csv(output / f"{name}_predictions_{version}.csv", lines, counts)
        return counts


def _write_csv(path: Path, lines: Iterable[Sequence[str]], counts: dict[str, int]) -> None:
    """Write the lines and count them; no lines make no file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for count, line in enumerate(lines, 1):
            writer.writerow(line)
            counts[path.name] = count
    if path.name not in counts:
        path.unlink()


def _write_maps(stem: Path, classes: Sequence[Mapping[str, Any]], counts: dict[str, int]) -> None:
    """The map of the evaluated classes, and that of all, each in the release's spelling."""
    evaluated = [one for one in classes if one["evaluated"]]
    if evaluated:
        _write_map(stem.with_name(f"{stem.name}_evaluated.pbtxt"), "item", "id", evaluated)
        counts[f"{stem.name}_evaluated.pbtxt"] = len(evaluated)
    if len(evaluated) < len(classes):
        _write_map(stem.with_name(f"{stem.name}.pbtxt"), "label", "label_id", classes)
        counts[f"{stem.name}.pbtxt"] = len(classes)


def _write_map(path: Path, kind: str, number: str, classes: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for one in classes:
            name = one["label"].replace("\\", "\\\\").replace('"', '\\"')
            fields = f'  name: "{name}"\n  {number}: {one["label_id"]}\n'
            stream.write(f"{kind} {{\n{fields}}}\n")


class _Release:
    """The lines of a label set as its makers wrote them."""

    def __init__(self, store: Store, videos: Sequence[str], *, labels: str) -> None:
        live = store.live()
        self._store, self._labels = store, checked_labels(live, labels)
        self._values = label_values(labels)
        units = live.units(stage=labels_stage(labels))
        self._offsets = {
            unit.video_id: float(unit.details.get("time_offset", 0.0)) for unit in units
        }
        self._videos = [video_id for video_id in videos if video_id in self._offsets]

    def splits(self) -> list[str | None]:
        text = f"SELECT DISTINCT split FROM labels WHERE {LABEL_SET} ORDER BY split"
        return [line["split"] for line in self._sql(text, self._values)]

    def lines(self, split: str | None, condition: str) -> Iterator[list[str]]:
        """Lines of a split in the order of its file, a bounded number at a time."""
        where = f"{LABEL_SET} AND split IS NOT DISTINCT FROM $split AND {condition}"
        values = self._values | {"split": split}
        text = f"SELECT coalesce(max(source_line), 0) AS last FROM labels WHERE {where}"
        last = self._sql(text, values)[0]["last"]
        for low in range(0, last + 1, _LINES_AT_ONCE):
            found = self._sql(
                f"SELECT {_FIELDS} FROM labels WHERE {where} AND source_line >= $low "
                "AND source_line < $high AND video_id IN (SELECT unnest($videos)) "
                "ORDER BY source_line",
                values | {"low": low, "high": low + _LINES_AT_ONCE, "videos": self._videos},
            )
            yield from map(self._line, found)

    def classes(self) -> list[dict[str, Any]]:
        """Classes by number."""
        return self._sql(
            f"SELECT label_id, label, evaluated FROM classes WHERE {LABEL_SET} ORDER BY label_id",
            self._values,
        )

    def predictions(self, model: str) -> Iterator[list[str]]:
        """A model's scores of the boxes of the set's videos."""
        models = {line["model"] for line in self._sql("SELECT DISTINCT model FROM predictions")}
        if model not in models:
            raise unknown("model of the table predictions:", model, models)
        numbers = {one["label"]: one["label_id"] for one in self.classes()}
        names = self._source_names()
        lines = by_video(
            self._store,
            "predictions",
            self._videos,
            order=("time", "rank", "label"),
            where="model = $model",
            values={"model": model},
        )
        for video_id, found in lines:
            boxes = self._boxes(video_id) if len(found) else {}
            for line in found.to_pylist():
                if line["label"] not in numbers:
                    raise unknown(f"class of {self._labels}:", line["label"], numbers)
                if (line["time"], line["rank"]) not in boxes:
                    raise ValueError(
                        f"model {model!r} has a prediction at {line['time']} s of {video_id!r} "
                        f"for rank {line['rank']}, and there is no such detection; predict again"
                    )
                yield [
                    names[video_id],
                    _time(line["time"] - self._offsets[video_id]),
                    *(f"{value:.6f}" for value in boxes[line["time"], line["rank"]]),
                    str(numbers[line["label"]]),
                    f"{line['score']:.6f}",
                ]

    def _line(self, line: Mapping[str, Any]) -> list[str]:
        fields = [line["source_name"], _time(line["time"] - self._offsets[line["video_id"]])]
        if line["x1"] is None:
            return fields
        fields += [_coordinate(line[name]) for name in _BOX]
        fields.append("" if line["label_id"] is None else str(line["label_id"]))
        return fields if line["instance_id"] is None else [*fields, str(line["instance_id"])]

    def _source_names(self) -> dict[str, str]:
        found = self._sql(
            "SELECT video_id, min(source_name) AS source_name FROM labels "
            f"WHERE {LABEL_SET} GROUP BY video_id",
            self._values,
        )
        return {line["video_id"]: line["source_name"] for line in found}

    def _boxes(self, video_id: str) -> dict[tuple[float, int], list[float]]:
        found = self._store.detections(video_id).select(["time", "rank", *_BOX]).to_pylist()
        return {(line["time"], line["rank"]): [line[name] for name in _BOX] for line in found}

    def _sql(self, text: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self._store.sql(text, values).to_pylist()
        return lines


def _time(seconds: float) -> str:
    """As in the release: whole seconds of four digits."""
    if abs(seconds - round(seconds)) < 1e-6:
        return f"{round(seconds):04d}"
    return f"{seconds:.6f}".rstrip("0")


def _coordinate(value: float) -> str:
    """As in the release: three decimals; more only where they would be lost."""
    text = f"{value:.3f}"
    return text if float(text) == value else repr(value)
