import json
import shutil
from dataclasses import replace

import pytest
import yaml

from reelbank.jobs.evaluate import evaluate, evaluate_actions, evaluate_ensemble
from reelbank.jobs.recipe import resolved_yaml
from reelbank.jobs.train import train
from reelbank.jobs.training.checkpoints import checkpoints_of
from reelbank.jobs.training.logs import read_log
from reelbank.jobs.training.plan import training_plan
from reelbank.jobs.training.settings import (
    AvaLabels,
    BankShortTerm,
    EpicLabels,
    HeadSettings,
    LongTermSettings,
    OperatorConfig,
)
from tests.jobs.extraction import command
from tests.jobs.labelled_store import make_labelled_store, recipe, training

RECIPE = recipe(training=training(num_steps=8, checkpoint_every=4))


@pytest.fixture(scope="module")
def run(labelled_store, tmp_path_factory):
    """A finished run of RECIPE."""
    folder = tmp_path_factory.mktemp("runs") / "lfb"
    train(RECIPE, labelled_store, folder)
    return folder


def copied(run, folder):
    shutil.copytree(run, folder)
    return folder


def steadily(entries):
    """Log entries without what the clock says."""
    return [
        {key: one[key] for key in one if key not in ("seconds", "waiting_share")} for one in entries
    ]


def untimed(found):
    return {key: found[key] for key in found if key not in ("steps_per_second", "waiting_share")}


def test_a_run_says_what_came_out_and_how_many_samples_there_were(run):
    found = json.loads((run / "metrics.json").read_text())
    assert 0 < found["metrics"]["map"] <= 1
    assert found["details"]["map"]["low"] <= found["metrics"]["map"]
    assert [one["label"] for one in found["details"]["classes"]] == [
        *("sit", "stand", "answer", "tune")
    ]
    assert found["training"] == {"num_clips": 37, "num_items": 74}
    assert (run / found["checkpoint"]).is_dir()
    assert found["step"] == 8
    assert yaml.safe_load((run / "recipe.yaml").read_text())["labels"]["set"] == "ava@1"


def test_a_run_that_was_interrupted_gives_what_an_unbroken_one_gives(run, labelled_store, tmp_path):
    broken = copied(run, tmp_path / "broken")
    shutil.rmtree(checkpoints_of(broken)[-1])
    (broken / "metrics.json").unlink()
    found = train(RECIPE, labelled_store, broken)
    wanted = json.loads((run / "metrics.json").read_text())
    assert untimed(found) == untimed(wanted)
    for kind in ("training", "evaluation"):
        assert steadily(read_log(broken, kind)) == steadily(read_log(run, kind))


def test_a_finished_run_is_not_run_again(run, labelled_store, tmp_path):
    again = copied(run, tmp_path / "again")
    shutil.rmtree(again / "checkpoints")
    found = train(
        replace(RECIPE, training=training(num_steps=8, log_every=3)), labelled_store, again
    )
    assert found == json.loads((run / "metrics.json").read_text())
    assert not (again / "checkpoints").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": AvaLabels(set="ava@1", min_iou=0.5)}, "labels.min_iou=0.9 .* given 0.5"),
        ({"training": training(num_steps=9)}, "training.num_steps=8 and is now given 9"),
        (
            {"head": HeadSettings(operator=OperatorConfig(inner_dim=4))},
            "head.classifier_dropout=0.1 and is now given 0.3",
        ),
    ],
)
def test_a_folder_with_another_recipe_is_refused(run, labelled_store, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        train(replace(RECIPE, **changes), labelled_store, run)


def test_a_folder_with_another_store_or_something_else_is_refused(run, tmp_path):
    other = make_labelled_store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"begun on the store .*labelled.*another folder"):
        train(RECIPE, other, run)
    with pytest.raises(ValueError, match="is no folder of a run"):
        train(RECIPE, other, tmp_path)


def test_a_run_that_never_began_leaves_a_folder_that_the_right_store_can_use(
    labelled_store, tmp_path
):
    wrong = replace(RECIPE, labels=AvaLabels(set="ava@2"))
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown label set 'ava@2'"):
            train(wrong, labelled_store, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert train(RECIPE, labelled_store, tmp_path / "run")["step"] == 8


def test_the_best_checkpoint_is_told_where_a_metric_chooses_it(labelled_store, tmp_path):
    config = training(num_steps=6, evaluate_every=2, best_metric="map", keep_checkpoints=1)
    found = train(replace(RECIPE, training=config), labelled_store, tmp_path / "run")
    values = [entry["map"] for entry in read_log(tmp_path / "run", "evaluation")]
    assert found["metrics"]["map"] == max(values)
    assert found["step"] == 2 * (1 + values.index(max(values)))


def test_a_checkpoint_evaluates_to_the_metrics_of_its_run(run, labelled_store):
    wanted = json.loads((run / "metrics.json").read_text())
    for path in (run, run / wanted["checkpoint"]):
        found = evaluate(RECIPE, path, labelled_store)
        assert found == {name: wanted[name] for name in ("metrics", "details")}
    on_training = replace(RECIPE, labels=AvaLabels(set="ava@1", test=("train",)))
    assert evaluate(on_training, run, labelled_store)["metrics"] != wanted["metrics"]


def test_a_checkpoint_of_another_shape_or_other_classes_is_refused(run, labelled_store):
    wider = HeadSettings(operator=OperatorConfig(inner_dim=16), classifier_dropout=0.1)
    with pytest.raises(ValueError, match=r"\(5, 16\) there and \(5, 24\) in the model"):
        evaluate(replace(RECIPE, head=wider), run, labelled_store)
    other = replace(
        RECIPE, labels=EpicLabels(set="epic@1", task="verb"), short_term=BankShortTerm(bank="clip")
    )
    with pytest.raises(ValueError, match=r"trained on 5 classes .* and the label set has 3"):
        evaluate(other, run, labelled_store)


def test_an_ensemble_of_one_model_twice_is_that_model(run, labelled_store):
    once = evaluate(RECIPE, run, labelled_store)
    assert evaluate_ensemble([(RECIPE, run)] * 2, labelled_store) == once
    other = replace(RECIPE, test=replace(RECIPE.test, min_score=0.95))
    with pytest.raises(ValueError, match="tested on other samples"):
        evaluate_ensemble([(RECIPE, run), (other, run)], labelled_store)


def test_verbs_and_nouns_together_are_actions(labelled_store, tmp_path):
    window = LongTermSettings(bank="clip", support_seconds=4.0)
    members = []
    for task in ("verb", "noun"):
        settings = replace(
            RECIPE,
            labels=EpicLabels(set="epic@1", task=task),
            short_term=BankShortTerm(bank="clip"),
            long_term=window,
            training=training(num_steps=3),
        )
        train(settings, labelled_store, tmp_path / task)
        members.append([(settings, tmp_path / task)])
    found = evaluate_actions(*members, labelled_store)["metrics"]
    assert set(found) == {
        f"{task}_{top}" for task in ("verb", "noun", "action") for top in ("top1", "top5")
    }
    verbs = json.loads((tmp_path / "verb" / "metrics.json").read_text())["metrics"]
    assert found["verb_top1"] == verbs["top1"]
    with pytest.raises(ValueError, match="the model of verbs is one of 'noun'"):
        evaluate_actions(members[1], members[0], labelled_store)


def test_a_plan_counts_samples_and_parameters(labelled_store):
    found = training_plan(RECIPE, labelled_store)
    assert found["training"] == {"videos": 2, "clips": 37, "items": 74}
    assert found["labelled_boxes"] == 74
    assert found["classes"]["cue"]["is_evaluated"] is False
    inner, rows, classes = 8, 8, 5
    # Two layers of four maps, two reductions and the classifier, all with biases.
    maps = 2 * (rows * inner + inner) + 2 * 4 * (inner * inner + inner)
    assert found["parameters"]["parts"]["operator"] == maps
    assert found["parameters"]["parts"]["classifier"] == (rows + inner) * classes + classes
    assert found["learning_rates"][0] == [0, 0.01]


def test_more_workers_than_one_need_ray(labelled_store, tmp_path):
    with pytest.raises(ValueError, match="2 workers need the engine ray"):
        train(RECIPE, labelled_store, tmp_path / "run", num_workers=2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_of_ray_learn_from_the_store(labelled_store, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(resolved_yaml(RECIPE))
    where = ("--store", labelled_store.uri, "--run", tmp_path / "run")
    # In a process of its own, as Ray leaves warnings behind.
    done = command("train", path, *where, "--engine", "ray", "--workers", "2", timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["step"] == 8
    assert evaluate(RECIPE, tmp_path / "run", labelled_store)["metrics"] == found["metrics"]
