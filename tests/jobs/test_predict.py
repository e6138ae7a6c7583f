import shutil

import numpy as np
import pytest

from reelbank.jobs.predict import predict
from reelbank.jobs.train import train
from reelbank.jobs.training.predictor import load_predictor
from reelbank.jobs.training.prepare import prepare
from reelbank.jobs.training.settings import BankShortTerm, CharadesLabels, LongTermSettings
from reelbank.stores.care.collect import collect
from reelbank.stores.care.compact import compact
from reelbank.stores.care.verify import verify
from reelbank.stores.store import open_store
from tests.jobs.labelled_store import ACTIONS, FILMS, SECONDS, recipe, training
from tests.stores.builders import commit_bank, unit


@pytest.fixture(scope="module")
def run(labelled_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "lfb"
    train(recipe(), labelled_store, folder)
    return folder


@pytest.fixture
def store(labelled_store, tmp_path):
    """A copy that may be written to."""
    shutil.copytree(labelled_store.uri, tmp_path / "store")
    return open_store(tmp_path / "store")


def test_every_detection_has_a_line_for_each_class_with_its_box(store, run):
    found = predict(run, store, name="lfb")
    lines = store.sql("select * from predicted order by video_id, time, rank, label").to_pylist()
    assert found == {
        "model": "lfb",
        "videos": len(FILMS),
        "videos_reused": 0,
        "lines": len(lines),
        "classes": len(ACTIONS),
    }
    wanted = {
        (film, line["time"], line["rank"], label)
        for film in FILMS
        for line in store.detections(film).to_pylist()
        if line["category"] == "person" and line["score"] >= 0.85
        for label in ACTIONS.values()
    }
    assert {(one["video_id"], one["time"], one["rank"], one["label"]) for one in lines} == wanted
    assert len(lines) == len(wanted)
    for line in lines[:50]:
        boxes = store.detections(line["video_id"]).to_pylist()
        (box,) = (b for b in boxes if (b["time"], b["rank"]) == (line["time"], line["rank"]))
        assert [line[name] for name in ("x1", "y2")] == [box[name] for name in ("x1", "y2")]
        assert line["detection_score"] == box["score"]


def test_scores_are_those_that_the_run_was_measured_by(store, run):
    predict(run, store, name="lfb")
    predictor = load_predictor(next((run / "checkpoints").iterdir()), store, device="cpu")
    samples = prepare(recipe(), store).test.samples
    scores = predictor.score(samples).numpy()
    said = {
        (one["video_id"], one["time"], one["label"], round(one["detection_score"], 4)): one["score"]
        for one in store.sql("select * from predicted").to_pylist()
    }
    scored = {
        (film, line["time"], line["rank"]): line["score"]
        for film in FILMS
        for line in store.detections(film).to_pylist()
    }
    ranks = {0: 0, 1: 2, 2: 3}
    """Of the persons, by their place."""
    for item, clip in enumerate(samples.clip.tolist()):
        film, time = samples.keys[clip]
        score = scored[film, time, ranks[int(samples.place[item])]]
        for column, label in enumerate(ACTIONS.values()):
            value = said[film, time, label, round(score, 4)]
            assert value == pytest.approx(float(scores[item, column]), abs=1e-6)


def test_predictions_join_with_labels_in_sql(store, run):
    predict(run, store, name="lfb")
    found = store.sql(
        """
        select l.label, count(*) as num, avg(p.score) as score
        from labels as l join predicted as p
            on p.video_id = l.video_id and abs(p.time - l.time) < 0.001 and p.label = l.label
            and iou(l.x1, l.y1, l.x2, l.y2, p.x1, p.y1, p.x2, p.y2) >= 0.5
        where l.label_set = 'ava' group by 1
        """
    ).to_pylist()
    labelled = store.sql(
        "select label, count(*) as num from labels where label_set = 'ava' and label is not null "
        "group by 1"
    ).to_pylist()
    assert {one["label"]: one["num"] for one in found} == {
        one["label"]: one["num"] for one in labelled
    }


def test_what_is_there_is_not_scored_again_and_a_changed_film_is(store, run):
    first = predict(run, store, name="lfb")
    assert predict(run, store, name="lfb") | {"lines": 0} == first | {
        "videos_reused": len(FILMS),
        "lines": 0,
    }
    film = "train/one.mp4"
    details = {"bank": {"kind": "person", "category": "person", "key_step_seconds": 1.0}}
    rows = {float(time): np.ones((3, 8), np.float16) for time in range(SECONDS)}
    again = unit(film, "bank:person", key="again", details=details)
    commit_bank(store, "person", [(again, rows)])
    assert predict(run, store, name="lfb")["videos_reused"] == len(FILMS) - 1
    count = store.sql("select count(*) as num from predictions")["num"][0].as_py()
    assert count == first["lines"]


def test_checkpoints_have_names_of_their_own(store, run):
    assert predict(run, store)["model"] == "lfb-6"
    predict(run, store, name="other")
    models = store.sql("select model, count(*) as num from predictions group by 1").to_pylist()
    assert {one["model"] for one in models} == {"lfb-6", "other"}
    assert len({one["num"] for one in models}) == 1
    with pytest.raises(ValueError, match="name 'a b' of predictions must start with a letter"):
        predict(run, store, name="a b")


def test_compaction_removal_and_collection_treat_predictions_as_all_else(store, run):
    predict(run, store, name="lfb")
    predict(run, store, name="other")
    before = store.sql("select * from predictions order by all")
    assert verify(store).is_sound
    compact(store)
    assert store.sql("select * from predictions order by all").equals(before)
    store.remove(["val/one.mp4"], run="r")
    left = store.sql("select distinct video_id from predictions")["video_id"].to_pylist()
    assert sorted(left) == sorted(set(FILMS) - {"val/one.mp4"})
    compact(store)
    collect(store, grace_seconds=0.0)
    assert verify(store).is_sound
    assert len(store.table("predictions", "val/two.mp4")) > 0


def test_clips_have_no_rank_and_the_shot_of_their_time(store, tmp_path):
    settings = recipe(
        labels=CharadesLabels(set="charades@1", test=("validation",)),
        short_term=BankShortTerm(bank="clip"),
        long_term=LongTermSettings(bank="clip", support_seconds=4.0),
        training=training(num_steps=2),
    )
    train(settings, store, tmp_path / "run")
    found = predict(tmp_path / "run", store, name="clips")
    assert found["lines"] == len(FILMS) * SECONDS * 3
    lines = store.sql("select distinct rank, x1 from predicted").to_pylist()
    assert lines == [{"rank": None, "x1": None}]


def test_a_store_without_labels_can_be_predicted_and_one_without_the_bank_cannot(
    store, run, tmp_path
):
    bare = open_store(tmp_path / "bare", create=True)
    with pytest.raises(ValueError, match="unknown bank 'person': the store holds none yet"):
        predict(run, bare)
    details = {"bank": {"kind": "person", "category": "person", "key_step_seconds": 0.5}}
    rows = {0.0: np.ones((1, 8), np.float16)}
    commit_bank(bare, "person", [(unit("a.mp4", "bank:person", details=details), rows)])
    sentence = "trained on short_term rows with key_step_seconds 1.0, and the bank has 0.5"
    with pytest.raises(ValueError, match=sentence):
        predict(run, bare)


def test_a_folder_without_a_checkpoint_is_named(store, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint and no run with one"):
        predict(tmp_path / "nothing", store)
