"""Sweeps of a small real store, from settings to files."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from reelbank.jobs.evaluate import evaluate_ensemble
from reelbank.jobs.sweep import plan_of, run_sweep
from reelbank.jobs.sweeps.plan import planned
from reelbank.jobs.sweeps.settings import (
    AxisSettings,
    CeilingSettings,
    LineSettings,
    SweepSettings,
)
from reelbank.pipeline.theatre.ceilings import Ceiling, write_ceilings


def settings(recipes, **changes):
    given = {
        "title": "Poses & <cues>",
        "axis": AxisSettings(name="support", unit="s", values=(2.0, 4.0)),
        "lines": {
            "plain": LineSettings(recipe=str(recipes / "plain.yaml")),
            "plain ×2": LineSettings(recipe=str(recipes / "plain.yaml"), members=2, values=(2.0,)),
            "window": LineSettings(
                recipe=str(recipes / "window.yaml"),
                set=("long_term.support_seconds={support}",),
                ceiling=CeilingSettings(observer="batch"),
            ),
        },
        "seeds": (0, 1),
        "set": ("test.min_score=0.95",),
        "groups": {"contextual": ("answer",)},
    }
    return SweepSettings(**(given | changes))


def ceilings(folder):
    path = folder / "ceilings.json"
    known = [
        Ceiling("batch", support, {"contextual": 0.8}, mean)
        for support, mean in ((2.0, 0.6), (4.0, 0.9))
    ]
    write_ceilings(path, known, about={})
    return path


def said_by(sweep, uri, out, **more):
    stream = io.StringIO()
    found = run_sweep(sweep, uri, out, console=Console(file=stream, width=200), **more)
    return found, stream.getvalue()


def one_line(recipes, **changes):
    lines = {"plain": LineSettings(recipe=str(recipes / "plain.yaml"))}
    return settings(recipes, **({"lines": lines, "axis": None, "seeds": (0,)} | changes))


@dataclass(frozen=True)
class Done:
    """A sweep that was run, and what came of it."""

    sweep: SweepSettings
    planned: list
    out: Path
    found: dict
    said: str


@pytest.fixture(scope="module")
def done(uri, recipes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    sweep, out = settings(recipes), folder / "out"
    before = plan_of(sweep, out)
    assert not out.exists()
    return Done(sweep, before, out, *said_by(sweep, uri, out, ceilings=ceilings(folder)))


def recall_of(out):
    """Of each class, by any of the trainings."""
    metrics = json.loads(next((out / "runs").glob("*/metrics.json")).read_text())
    return {one["label"]: one["recall"] for one in metrics["details"]["classes"]}


def by_place(found):
    return {(one["line"], one["value"], one["metric"]): one for one in found["scores"]}


def test_a_sweep_ends_in_a_table_of_means_errors_and_ceilings(done):
    assert done.found == json.loads((done.out / "table.json").read_text())
    assert done.found["failures"] == {}
    places = by_place(done.found)
    assert places.keys() == {
        (line, value, metric)
        for line in ("plain", "plain ×2", "window")
        for value in (2.0, 4.0)
        for metric in ("map", "contextual")
    } - {("plain ×2", 4.0, "map"), ("plain ×2", 4.0, "contextual")}
    for one in places.values():
        assert set(one["by_seed"]) == {"0", "1"}
        values = list(one["by_seed"].values())
        assert one["mean"] == pytest.approx(sum(values) / 2)
        # With two values the deviation is their difference over root 2.
        assert one["standard_error"] == pytest.approx(abs(values[0] - values[1]) / 2)
    # The worse person of each moment is not tested, so that half of the boxes are missed.
    recall = recall_of(done.out)
    assert all(0.3 < share < 0.7 for share in recall.values())
    mean = sum(recall.values()) / len(recall)
    assert places["window", 4.0, "map"]["ceiling"] == pytest.approx(0.9 * mean)
    assert places["window", 2.0, "contextual"]["ceiling"] == pytest.approx(0.8 * recall["answer"])
    assert places["plain", 2.0, "map"]["ceiling"] is None
    for words in ("Poses & <cues>: map", "ceiling", f"{90 * mean:.1f}", "plain ×2"):
        assert words in done.said


def test_metrics_are_those_that_the_trainings_left(done, uri):
    places = by_place(done.found)
    for entry in planned(done.sweep):
        runs = [done.out / "runs" / folder for folder in entry.folders]
        if len(runs) > 1:
            members = [(one.settings, run) for one, run in zip(entry.members, runs, strict=True)]
            measured = evaluate_ensemble(members, uri)
        else:
            measured = json.loads((runs[0] / "metrics.json").read_text())
        of_class = {one["label"]: one["ap"] for one in measured["details"]["classes"]}
        for metric, value in (
            ("map", measured["metrics"]["map"]),
            ("contextual", of_class["answer"]),
        ):
            here = places[entry.line, entry.value, metric]["by_seed"]
            assert here[str(entry.seed)] == value


def test_what_is_done_is_not_run_again(done, uri):
    files = {path: path.stat().st_mtime_ns for path in (done.out / "runs").rglob("*")}
    again, said = said_by(done.sweep, uri, done.out, ceilings=done.out.parent / "ceilings.json")
    assert again == done.found
    assert {path: path.stat().st_mtime_ns for path in (done.out / "runs").rglob("*")} == files
    assert "step" not in said


def test_more_seeds_add_to_what_is_there(uri, recipes, tmp_path):
    first = run_sweep(one_line(recipes), uri, tmp_path)
    more = run_sweep(one_line(recipes, seeds=(0, 1)), uri, tmp_path)
    for one, before in zip(more["scores"], first["scores"], strict=True):
        assert before["by_seed"].items() < one["by_seed"].items()
        assert before["standard_error"] is None


def test_the_plan_says_what_is_done(done):
    after = plan_of(done.sweep, done.out)
    assert not any(one["is_done"] for one in done.planned)
    assert [one["run"] for one in after] == [one["run"] for one in done.planned]
    assert all(one["is_done"] for one in after)


def test_the_csv_holds_the_same_numbers_as_the_json(done):
    with (done.out / "table.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    for line, one in zip(lines, done.found["scores"], strict=True):
        assert (line["line"], line["metric"]) == (one["line"], one["metric"])
        assert float(line["support"]) == one["value"]
        assert float(line["mean"]) == pytest.approx(one["mean"])
        assert (line["ceiling"] == "") == (one["ceiling"] is None)


def test_a_training_that_fails_is_named_at_the_end_and_stops_no_other(uri, recipes, tmp_path):
    window = str(recipes / "window.yaml")
    lines = {
        "gone": LineSettings(recipe=window, set=("long_term.bank=gone",)),
        "plain": LineSettings(recipe=str(recipes / "plain.yaml")),
    }
    found, said = said_by(one_line(recipes, lines=lines), uri, tmp_path)
    assert list(found["failures"]) == ["gone, seed 0"]
    assert "'gone'" in found["failures"]["gone, seed 0"]
    assert said.strip().splitlines()[-1].startswith("failed: gone, seed 0: ")
    assert {one["line"] for one in found["scores"]} == {"plain"}
    assert "gone, seed 0" in (tmp_path / "report.html").read_text()


def test_classes_and_metrics_that_are_not_measured_are_refused_by_name(uri, recipes, tmp_path):
    for changes, words in (
        ({"groups": {"late": ("sleep",)}}, "groups.late: sleep not among the tested classes"),
        ({"metric": "top1", "groups": {}}, "metric='top1' was not measured; known: map"),
    ):
        found = run_sweep(one_line(recipes, **changes), uri, tmp_path)
        assert words in found["failures"]["plain, seed 0"]
        assert not found["scores"]
        assert "No training is done yet" in (tmp_path / "report.html").read_text()


def test_a_file_that_holds_no_ceilings_is_refused_before_any_training(uri, recipes, tmp_path):
    path = tmp_path / "ceilings.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="holds no ceilings"):
        run_sweep(one_line(recipes), uri, tmp_path / "out", ceilings=path)
    assert not (tmp_path / "out").exists()


def check_files(out):
    """Words of the chart; the page is whole and holds nothing that is run."""
    chart = ElementTree.fromstring((out / "chart.svg").read_text())
    page = (out / "report.html").read_text()
    assert "<cues>" not in page
    assert "Poses &amp; &lt;cues&gt;" in page
    assert "<script" not in page
    return " ".join(chart.itertext())


def test_the_chart_of_an_axis_names_it_and_its_values(done):
    words = check_files(done.out)
    for wanted in ("support (s)", "mean average precision, %", "contextual, %", "window, 4: "):
        assert wanted in words


def test_names_of_lines_are_shown_as_they_are(uri, recipes, tmp_path):
    name = "a <b> & 'c' {{ 7 }}"
    lines = {name: LineSettings(recipe=str(recipes / "plain.yaml"))}
    run_sweep(one_line(recipes, lines=lines), uri, tmp_path)
    assert name in check_files(tmp_path)
