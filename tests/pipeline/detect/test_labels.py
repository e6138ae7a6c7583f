from dataclasses import replace

import numpy as np
import pytest

from reelbank.pipeline.detect.boxes import iou
from reelbank.pipeline.detect.build import build_detector
from reelbank.pipeline.detect.config import LabelsConfig
from reelbank.pipeline.detect.label_files import labels_digest
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.detect.weights import weights_digest
from tests.contracts.detector import DetectorContract, assert_same, assert_sound, street

HEADER = "name,split,task,time,x1,y1,x2,y2,label,instance_id"
NUM_SECONDS = 400


def write_labels(folder, seconds=NUM_SECONDS):
    lines = [HEADER]
    for second in range(seconds):
        for place in range(4):
            x = 0.02 + 0.25 * place
            label = "person" if place < 3 else "ball"
            lines.append(f"film,test,box,{second},{x:.3f},0.3,{x + 0.2:.3f},0.9,{label},{place}")
    folder.mkdir(exist_ok=True)
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    (folder / "train.csv").write_text(f"{HEADER}\nother,train,box,0,0.1,0.1,0.2,0.2,person,1\n")
    return LabelsConfig(labels=str(folder))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_labels(tmp_path_factory.mktemp("labels"))


def everything(config, **changes):
    detector = build_detector(replace(config, **changes))
    moments = [Moment("films/film.mp4", float(second)) for second in range(NUM_SECONDS)]
    frame = street(0, height=48, width=64)
    return detector.detect([frame] * NUM_SECONDS, moments)


class AtZero:
    """A labels detector that takes every frame for the first of the film."""

    def __init__(self, config):
        self.inner = build_detector(config)
        self.feature_dim, self.untrained = self.inner.feature_dim, self.inner.untrained

    def detect(self, frames):
        return self.inner.detect(frames, [Moment("film.mp4", 0.0)] * len(frames))


class TestLabels(DetectorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, tmp_path_factory):
        return write_labels(tmp_path_factory.mktemp("contract"), seconds=2)

    @pytest.fixture(scope="class")
    @classmethod
    def detector(cls, config):
        return AtZero(config)

    def test_a_second_detector_of_the_same_settings_agrees(self, config, frames, found):
        (again,) = AtZero(config).detect(frames[:1])
        assert_same(again, found[0])


def test_without_faults_the_known_boxes_come_back(config):
    found = everything(config, jitter=0.0, miss_rate=0.0, false_per_frame=0.0)
    for one in found:
        assert sorted(one.categories) == ["ball", "person", "person", "person"]
        lefts = np.sort(one.boxes[:, 0])
        np.testing.assert_allclose(lefts, [0.02, 0.27, 0.52, 0.77], atol=1e-6)


def test_faults_occur_as_often_as_set_and_no_further(config):
    exact = everything(config, jitter=0.0, miss_rate=0.0, false_per_frame=0.0)
    found = everything(config, jitter=0.1, miss_rate=0.2, false_per_frame=0.5)
    true = np.array([iou(a.boxes, b.boxes).max(axis=1) for a, b in zip(exact, exact, strict=True)])
    assert true.min() == pytest.approx(1)
    detector = build_detector(config)
    num_found = num_false = 0
    for one, known in zip(found, exact, strict=True):
        overlaps = iou(known.boxes, one.boxes).max(axis=1, initial=0.0)
        # A false box may lie on a missed one by chance; true ones overlap by more than 0.6.
        num_found += (overlaps > 0.6).sum()
        num_false += len(one) - (overlaps > 0.6).sum()
        assert_sound(one, detector)
    assert num_found / (4 * NUM_SECONDS) == pytest.approx(0.8, abs=0.04)
    assert num_false / NUM_SECONDS == pytest.approx(0.5, abs=0.12)
    scores = np.concatenate([one.scores for one in everything(config, false_per_frame=0.0)])
    assert scores.min() >= 0.86
    assert scores.max() > 0.99


def test_a_moment_gives_the_same_in_any_batch_and_another_seed_other_faults(config):
    found = everything(config)
    detector = build_detector(config)
    frame = street(0, height=48, width=64)
    for second in (3, 250):
        (alone,) = detector.detect([frame], [Moment("film", float(second))])
        assert_same(alone, found[second])
    others = everything(config, seed=1)
    assert any(not np.array_equal(a.boxes, b.boxes) for a, b in zip(found, others, strict=True))


def test_more_misses_leave_the_other_boxes_as_they_were(config):
    few = everything(config, miss_rate=0.1, false_per_frame=0.0)
    many = everything(config, miss_rate=0.4, false_per_frame=0.0)
    for one, less in zip(few, many, strict=True):
        kept = {tuple(box) for box in one.boxes.tolist()}
        assert {tuple(box) for box in less.boxes.tolist()} <= kept


def test_a_time_without_labels_has_no_true_box_and_an_unknown_video_is_an_error(config):
    detector = build_detector(replace(config, false_per_frame=0.0))
    frame = street(0, height=48, width=64)
    (between,) = detector.detect([frame], [Moment("film.mp4", 3.5)])
    assert len(between) == 0
    with pytest.raises(ValueError, match=r"nothing of 'a/strange\.mp4'"):
        detector.detect([frame], [Moment("a/strange.mp4", 0.0)])
    with pytest.raises(ValueError, match="unknown time"):
        detector.detect([frame])


def test_the_digest_follows_the_files_and_not_the_place(config, tmp_path):
    write_labels(tmp_path / "elsewhere")
    same = replace(config, labels=str(tmp_path / "elsewhere"))
    assert weights_digest(same) == weights_digest(config) == labels_digest(config.labels)
    (tmp_path / "elsewhere" / "test.csv").write_text(f"{HEADER}\n")
    assert weights_digest(same) != weights_digest(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,time,x1,y1,x2,y2\n", "lacks label"),
        (f"{HEADER}\nfilm,test,box,zero,0.1,0.1,0.2,0.2,person,1\n", "line 2: time"),
        (f"{HEADER}\nfilm,test,box,inf,0.1,0.1,0.2,0.2,person,1\n", "line 2: time"),
        (f"{HEADER}\nfilm,test,box,0,0.3,0.1,0.2,0.2,person,1\n", "line 2: a box"),
        (f"{HEADER}\nfilm,test,box,0,nan,0.1,0.2,0.2,person,1\n", "line 2: a box"),
        (f"{HEADER}\nfilm,test,box,0\n", "line 2: time"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"bad\.csv.*{message}"):
        build_detector(LabelsConfig(labels=str(tmp_path)))


def test_a_folder_without_files_and_text_that_is_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no CSV file"):
        weights_digest(LabelsConfig(labels=str(tmp_path)))
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        build_detector(LabelsConfig(labels=str(tmp_path)))


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ""},
        {"jitter": 0.2},
        {"miss_rate": 1.2},
        {"false_per_frame": -1.0},
        {"true_scores": (0.9, 0.8)},
        {"max_per_frame": 0},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        LabelsConfig(**({"labels": "folder"} | change))
