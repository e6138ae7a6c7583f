"""The whole way on generated films: extraction, labels, training, test, and predictions in SQL."""

import pytest

from reelbank.jobs.evaluate import evaluate
from reelbank.jobs.predict import predict
from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.train import train
from reelbank.jobs.training.settings import TrainSettings
from reelbank.pipeline.theatre.theatre import make_theatre
from reelbank.stores.care.verify import verify
from tests.jobs.extraction import extract, import_theatre

QUICK = (
    "training.num_steps=30",
    "training.batch_size=16",
    "training.schedule={kind: constant}",
    "training.tensorboard=false",
    "long_term.support_seconds=12.0",
    "labels.test=[validation, test]",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theatre")
    theatre = make_theatre(folder / "theatre", "tiny", processes=1)
    made = extract(
        theatre.films,
        folder / "store",
        f"detector.labels={theatre.boxes}",
        "backbones.main.short_side=48",
        "resources.threads=1",
        recipe="theatre/extract",
    )
    import_theatre(theatre, made.store)
    return made.store


def test_a_head_is_trained_tested_and_its_predictions_are_joined(store, tmp_path):
    settings = load_recipe("theatre/lfb_batch", QUICK, TrainSettings)
    found = train(settings, store, tmp_path / "lfb")
    assert len(found["details"]["classes"]) == 8
    assert evaluate(settings, tmp_path / "lfb", store)["metrics"] == found["metrics"]
    said = predict(tmp_path / "lfb", store, name="lfb")
    assert said["videos"] == 4
    assert verify(store).is_sound
    (line,) = store.sql(
        """
        select count(*) as num, count(p.score) as said, max(abs(p.time - l.time)) as apart
        from labels as l left join predicted as p on p.video_id = l.video_id
            and abs(p.time - l.time) < 0.001 and p.label = l.label
            and iou(l.x1, l.y1, l.x2, l.y2, p.x1, p.y1, p.x2, p.y2) >= 0.5
        where l.split in ('validation', 'test')
        """
    ).to_pylist()
    # The detector misses 3 % of the persons.
    assert line["said"] > 0.9 * line["num"]
