"""The page of heads, from real trainings of a small store."""

import json

import numpy as np
import pytest

from reelbank.jobs.reports.attention import most_certain
from reelbank.jobs.reports.heads_page import TrainedModel, heads_report
from reelbank.jobs.reports.window_view import view_of
from reelbank.jobs.train import train
from reelbank.jobs.training.settings import EvaluationSettings, HeadSettings
from reelbank.pipeline.theatre.ceilings import Ceiling
from tests.jobs.labelled_store import recipe
from tests.jobs.reports.test_page import Page

FAMILIES = {"visible": ("sit", "stand"), "contextual": ("answer", "tune")}
CEILING = Ceiling("batch", 6.0, {"visible": 1.0, "contextual": 0.8}, 0.9)


@pytest.fixture(scope="module")
def runs(labelled_store, tmp_path_factory):
    """Settings, run and outcome of a 3D CNN and of an LFB."""
    folder = tmp_path_factory.mktemp("runs")
    test = EvaluationSettings(num_draws=20, min_score=0.95)
    known = {
        "3D CNN": recipe(head=HeadSettings(bank="none"), long_term=None, test=test),
        "LFB <batch>": recipe(test=test),
    }
    return {
        name: (
            settings,
            folder / str(number),
            train(settings, labelled_store, folder / str(number)),
        )
        for number, (name, settings) in enumerate(known.items())
    }


@pytest.fixture(scope="module")
def attended(runs, labelled_store):
    settings, run, _ = runs["LFB <batch>"]
    return most_certain(settings, run, labelled_store, "answer")


def test_weights_are_those_of_the_rows_of_the_window(attended, labelled_store):
    assert attended.weights.sum() == pytest.approx(1.0, abs=1e-3)
    assert (attended.weights >= 0).all()
    window = labelled_store.bank("person").window(
        attended.video_id, attended.time, 6.0, rows_per_time=2
    )
    np.testing.assert_array_equal(attended.times, window.times)
    assert len(attended.boxes) == len(attended.times)
    assert 0 <= attended.score <= 1


def test_an_unknown_class_is_answered_with_those_that_are_known(runs, labelled_store):
    settings, run, _ = runs["LFB <batch>"]
    with pytest.raises(ValueError, match="class 'dance' is unknown; known: sit, stand"):
        most_certain(settings, run, labelled_store, "dance")


def test_a_model_that_attends_to_nothing_is_refused(runs, labelled_store):
    settings, run, _ = runs["3D CNN"]
    with pytest.raises(ValueError, match="attends to no window"):
        most_certain(settings, run, labelled_store, "answer")


def test_the_page_shows_models_ceilings_classes_and_an_example(
    runs, attended, labelled_store, tmp_path
):
    models = [TrainedModel(name, outcome, CEILING) for name, (_, _, outcome) in runs.items()]
    path = tmp_path / "deep" / "heads.html"
    view = view_of(labelled_store, attended, "LFB <batch>")
    facts = [("films", "two & two")]
    heads_report(path, models, families=FAMILIES, facts=facts, view=view)
    text = path.read_text()
    words = " ".join(word for _, word in Page(text).texts)
    for model in models:
        metrics = model.outcome["metrics"]["map"]
        assert f"{100 * metrics:.1f}" in words
        assert model.name in words
        for one in model.outcome["details"]["classes"]:
            assert f"{100 * one['ap']:.1f}" in words
    classes = models[0].outcome["details"]["classes"]
    recall = {one["label"]: one["recall"] for one in classes}
    mean = sum(recall.values()) / len(recall)
    contextual = (recall["answer"] + recall["tune"]) / 2
    assert mean < 0.7  # The worse person of each moment is not tested.
    for wanted in (
        f"; ceiling {90 * mean:.1f}",
        f"; ceiling {80 * contextual:.1f}",
        "two & two",
        "contextual",
        "±",
    ):
        assert wanted in words
    assert f"a score of {attended.score:.2f}" in words
    assert "LFB <batch>" not in text
    assert "<script" not in text


def test_without_ceilings_errors_and_example_the_page_says_what_there_is(runs, tmp_path):
    name, (_, _, outcome) = next(iter(runs.items()))
    bare = json.loads(json.dumps(outcome))
    bare["details"]["map"] = {}
    for one in bare["details"]["classes"]:
        one.pop("deviation", None)
    path = tmp_path / "heads.html"
    heads_report(path, [TrainedModel(name, bare, None)], families=FAMILIES)
    words = " ".join(word for tag, word in Page(path.read_text()).texts if tag != "style")
    assert "; ceiling " not in words
    assert "±" not in words
    assert "What a model looked at" not in words
