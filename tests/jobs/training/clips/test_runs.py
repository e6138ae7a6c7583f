"""What becomes of a finished run on clips: it is tested, predicts, and gives a bank its network."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reelbank.jobs.evaluate import evaluate, restored
from reelbank.jobs.predict import predict
from reelbank.jobs.train import train
from reelbank.jobs.training.checkpoints import checkpoints_of, load_checkpoint
from reelbank.jobs.training.scoring import scores_of
from reelbank.jobs.training.settings import CharadesLabels
from reelbank.pipeline.backbones.models import build_backbone
from tests.jobs.extraction import extract
from tests.jobs.training.clips.stores import (
    CLASSES,
    FILMS,
    SECONDS,
    clips_config,
    commit_labels,
    line,
    recipe,
    without_bank,
)


@pytest.fixture(scope="module")
def run(blocks, tmp_path_factory):
    """A run whose network began with weights of a file that is there no more, and its recipe."""
    folder = tmp_path_factory.mktemp("run")
    file = folder / "begin.safetensors"
    save_file(build_backbone("slowonly_tiny", seed=4).module.state_dict(), file)
    settings = recipe(short_term=clips_config(weights=str(file)))
    metrics = train(settings, blocks, folder / "run")["metrics"]
    file.unlink()
    return folder / "run", settings, metrics


def test_it_is_tested_without_the_weights_that_it_began_with(blocks, run):
    folder, settings, metrics = run
    assert evaluate(settings, folder, blocks)["metrics"] == metrics


def test_its_predictions_are_the_scores_of_the_test(blocks, run):
    folder, settings, _ = run
    predict(folder, blocks, name="clips")
    written = {
        (line["video_id"], line["time"], line["rank"], line["label"]): line["score"]
        for line in blocks.sql("select * from predicted").to_pylist()
    }
    assert {video for video, *_ in written} == set(FILMS)
    tested = restored(settings, folder, blocks)
    samples = tested.test.samples
    scores = scores_of(tested.task.scorer, samples, settings.training)
    for clip, place, found in zip(samples.clip, samples.place, scores.tolist(), strict=True):
        video, time = samples.keys[clip]
        # All that the detector finds are persons: a person's place is its rank.
        expected = [written[video, time, place, label] for label in CLASSES.values()]
        assert found == pytest.approx(expected, abs=1e-5)


def test_its_network_can_make_a_bank(run):
    weights = checkpoints_of(run[0])[-1] / "weights.safetensors"
    network = build_backbone("slowonly_tiny", weights=str(weights))
    trained = load_checkpoint(weights.parent).weights
    assert not network.untrained
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, trained[f"backbone.{name}"])


def test_whole_clips_are_predicted_where_nothing_but_the_films_is_known(blocks, tmp_path):
    films = Path(blocks.sql("select source from videos limit 1").to_pylist()[0]["source"]).parent
    store = extract(films, tmp_path / "store", "detector=null", "tracks=null", "banks={}").store
    spans = [
        line(film, task="action", start_seconds=0.0, end_seconds=8.0, label_id=1, label="red")
        for film in FILMS
    ]
    commit_labels(store, "spans", spans)
    settings = without_bank(
        recipe(labels=CharadesLabels(set="spans@1", test=("validation",), num_clips=2))
    )
    train(settings, store, tmp_path / "run")
    predict(tmp_path / "run", store, name="spans")
    written = store.sql("select distinct video_id, time from predictions").to_pylist()
    assert {line["video_id"] for line in written} == set(FILMS)
    assert sorted(one["time"] for one in written if one["video_id"] == "try_0.mp4") == [
        float(second) for second in range(SECONDS)
    ]
