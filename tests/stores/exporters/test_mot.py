import configparser
import csv

import motmetrics
import numpy as np
import pytest

from reelbank.stores.exporters.exporter import export
from reelbank.stores.exporters.mot import MotExporter
from reelbank.stores.store import open_store
from tests.stores.builders import STRANGE_NAMES, commit_lines, detection_lines, unit
from tests.stores.exporters.stores import commit_videos, tracked_video, whole_store

# motmetrics' own ways with pandas.
pytestmark = pytest.mark.filterwarnings("ignore:Operation with tuple is deprecated")


def index_of(folder):
    with (folder / "index.csv").open(newline="") as stream:
        return {line["video_id"]: line for line in csv.DictReader(stream)}


def info_of(folder, name):
    parser = configparser.ConfigParser()
    parser.read(folder / "sequences" / name / "seqinfo.ini")
    return dict(parser["Sequence"])


@pytest.mark.parametrize("step", [1.0, 0.5, 1 / 3])
def test_motmetrics_reads_the_tracks_back(step, tmp_path):
    store = open_store(tmp_path / "store", create=True)
    # Frame 3 is missing: nothing of it could be decoded.
    times = [number * step for number in (0, 1, 3, 4)]
    lines = tracked_video(store, "a/b.mp4", times=times, step=step, tracks=3)
    commit_videos(store, ["a/b.mp4"], width=1280, height=720)
    counts = export(store, MotExporter(), tmp_path / "out")
    assert counts == {"sequences": 1, "tracks": 3, "boxes": 12}
    name = index_of(tmp_path / "out")["a/b.mp4"]["name"]
    found = motmetrics.io.loadtxt(tmp_path / "out" / "data" / f"{name}.txt", fmt="mot15-2D")
    tracked = [line for line in lines if line["rank"] < 3]
    assert len(found) == len(tracked)
    for line in tracked:
        row = found.loc[(round(line["time"] / step) + 1, line["rank"] + 1)]
        # motmetrics takes the 1 off that the format counts from.
        corners = [
            row["X"] / 1280,
            row["Y"] / 720,
            (row["X"] + row["Width"]) / 1280,
            (row["Y"] + row["Height"]) / 720,
        ]
        expected = [line[side] for side in ("x1", "y1", "x2", "y2")]
        assert corners == pytest.approx(expected, abs=3e-6)
        assert row["Confidence"] == pytest.approx(line["score"], abs=1e-6)
    info = info_of(tmp_path / "out", name)
    assert info["name"] == name
    assert float(info["framerate"]) == pytest.approx(1 / step, rel=1e-5)
    assert [info[key] for key in ("seqlength", "imwidth", "imheight")] == ["5", "1280", "720"]


def test_scored_against_the_store_the_tracks_are_perfect(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    lines = tracked_video(store, "a", times=[0.0, 1.0, 2.0], step=1.0, tracks=4)
    commit_videos(store, ["a"], width=500, height=400)
    export(store, MotExporter(), tmp_path / "out")
    found = motmetrics.io.loadtxt(tmp_path / "out" / "data" / "a.txt", fmt="mot15-2D")
    accumulator = motmetrics.MOTAccumulator()
    for number in range(3):
        truth = [line for line in lines if line["time"] == number and line["rank"] < 4]
        expected = np.array([[line["x1"] * 500, line["y1"] * 400] for line in truth])
        frame = found.loc[number + 1]
        corners = frame[["X", "Y"]].to_numpy()
        distances = np.abs(expected[:, None] - corners[None]).max(axis=2)
        ids = [line["rank"] for line in truth]
        near = np.where(distances < 0.01, distances, np.nan)
        accumulator.update(ids, list(frame.index), near, frameid=number)
    summary = motmetrics.metrics.create().compute(
        accumulator, metrics=["mota", "idf1", "num_frames"], name="a"
    )
    assert summary.loc["a"].tolist() == [1.0, 1.0, 3.0]


def test_each_line_has_ten_fields_and_the_lines_rise(tmp_path):
    export(whole_store(tmp_path / "store"), MotExporter(), tmp_path / "out")
    lines = (tmp_path / "out" / "data" / "one.mp4.txt").read_text().splitlines()
    # Track 7 holds rank 1 at 0 s and rank 0 at 2 s: of 640 x 360 the box .1 .2 .5 .75.
    assert lines == [
        "1,8,65.000,73.000,256.000,198.000,0.937500,-1,-1,-1",
        "3,8,65.000,73.000,256.000,198.000,1.000000,-1,-1,-1",
    ]
    tracks = (tmp_path / "out" / "tracks.csv").read_text().splitlines()
    assert tracks[:2] == ["name,id,track_id,category", "one.mp4,8,7,person"]


def test_names_lead_back_to_strange_videos_and_never_out_of_the_folder(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    # The last ones are called as files of the format itself.
    names = [*STRANGE_NAMES, "a", "a.txt", "index.csv", "data", "a%2Fb", "a/b"]
    for number, name in enumerate(names):
        tracked_video(store, name, times=[0.0], step=1.0, tracks=1 + number % 3, seed=number)
    commit_videos(store, names)
    export(store, MotExporter(), tmp_path / "out")
    index = index_of(tmp_path / "out")
    assert set(index) == set(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]
    for number, name in enumerate(names):
        called = index[name]["name"]
        text = (tmp_path / "out" / "data" / f"{called}.txt").read_text()
        assert len(text.splitlines()) == 1 + number % 3
        assert info_of(tmp_path / "out", called)["name"] == called


def test_a_video_without_tracks_has_an_empty_text(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    lines = detection_lines("a", {0.0: ["person"], 1.0: ["person"]})
    commit_lines(store, "detections", [unit("a", "detections")], {"detections": lines})
    commit_videos(store, ["a"])
    assert export(store, MotExporter(), tmp_path / "out")["boxes"] == 0
    assert (tmp_path / "out" / "data" / "a.txt").read_text() == ""
    assert info_of(tmp_path / "out", "a")["seqlength"] == "2"


def test_key_times_off_the_step_are_an_error(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    tracked_video(store, "a", times=[0.0, 1.0, 1.7], step=1.0, tracks=1)
    commit_videos(store, ["a"])
    with pytest.raises(ValueError, match=r"'a' has a key time 1\.7 s that is no multiple"):
        export(store, MotExporter(), tmp_path / "out")


def test_a_long_film_keeps_its_frame_numbers(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    times = (np.arange(9_000, 9_004) * 0.1).tolist()
    tracked_video(store, "a", times=times, step=0.1, tracks=1)
    commit_videos(store, ["a"])
    export(store, MotExporter(), tmp_path / "out")
    lines = (tmp_path / "out" / "data" / "a.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["9001", "9002", "9003", "9004"]
