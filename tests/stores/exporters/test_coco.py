import json
import math

import pytest

from reelbank.stores.exporters.coco import CocoExporter
from reelbank.stores.exporters.exporter import export
from reelbank.stores.store import open_store
from tests.stores.builders import STRANGE_NAMES, commit_lines, detection_lines, filled_store, unit
from tests.stores.exporters.stores import (
    commit_set,
    commit_videos,
    label_line,
    tracked_video,
    whole_store,
)


def exported(store, output, **options):
    videos = options.pop("videos", ())
    export(store, CocoExporter(**options), output, videos=videos)
    return json.loads(output.read_text())


def check_format(found):
    """What the COCO data format asks for: fields, types, and that every number is known."""
    assert set(found) == {"images", "annotations", "categories"}
    images = {image["id"]: image for image in found["images"]}
    categories = {category["id"]: category for category in found["categories"]}
    assert len(images) == len(found["images"])
    assert len(categories) == len(found["categories"])
    assert len({image["file_name"] for image in images.values()}) == len(images)
    numbers = [annotation["id"] for annotation in found["annotations"]]
    # Tools take 0 for 'no match'.
    assert len(set(numbers)) == len(numbers)
    assert all(number > 0 for number in numbers)
    for image in images.values():
        assert isinstance(image["width"], int)
        assert isinstance(image["height"], int)
    for annotation in found["annotations"]:
        image = images[annotation["image_id"]]
        assert annotation["category_id"] in categories
        assert annotation["iscrowd"] == 0
        x, y, width, height = annotation["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + width <= image["width"] + 0.01
        assert y + height <= image["height"] + 0.01
        assert math.isclose(annotation["area"], width * height, abs_tol=0.01)


def test_every_key_time_is_an_image_and_every_detection_a_box(tmp_path):
    found = exported(whole_store(tmp_path / "store"), tmp_path / "out.json")
    check_format(found)
    places = [(image["video_id"], image["time"]) for image in found["images"]]
    # Nothing was detected at 1 s; the banks know of that key time.
    assert places == [(name, time) for name in ("one.mp4", "two's.mp4") for time in (0.0, 1.0, 2.0)]
    assert {(image["width"], image["height"]) for image in found["images"]} == {(640, 360)}
    assert [image["file_name"] for image in found["images"]][:2] == [
        "one.mp4/0.000.jpg",
        "one.mp4/1.000.jpg",
    ]
    assert [(one["id"], one["name"]) for one in found["categories"]] == [(1, "car"), (2, "person")]
    assert len(found["annotations"]) == 10
    first = found["annotations"][0]
    # x1 y1 x2 y2 = .1 .2 .5 .75 of 640 x 360
    assert first["bbox"] == pytest.approx([64.0, 72.0, 256.0, 198.0], abs=1e-3)
    assert first["score"] == 1.0
    assert first["category_id"] == 1


def test_boxes_and_scores_are_those_of_the_store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    lines = tracked_video(store, "a", times=[0.0, 0.5, 1.5], step=0.5, tracks=3)
    commit_videos(store, ["a"], width=1920, height=817)
    found = exported(store, tmp_path / "out.json")
    check_format(found)
    times = {image["id"]: image["time"] for image in found["images"]}
    names = {category["id"]: category["name"] for category in found["categories"]}
    assert len(found["annotations"]) == len(lines)
    for line, annotation in zip(lines, found["annotations"], strict=True):
        x, y, width, height = annotation["bbox"]
        corners = [x / 1920, y / 817, (x + width) / 1920, (y + height) / 817]
        assert corners == pytest.approx([line[name] for name in ("x1", "y1", "x2", "y2")], abs=3e-6)
        assert annotation["score"] == pytest.approx(line["score"], abs=1e-6)
        assert times[annotation["image_id"]] == line["time"]
        assert names[annotation["category_id"]] == line["category"]
        assert annotation.get("track_id") == (line["rank"] if line["rank"] < 3 else None)


def test_numbers_stay_the_same_where_fewer_videos_are_exported(tmp_path):
    store = whole_store(tmp_path / "store")
    every = exported(store, tmp_path / "all.json")
    one = exported(store, tmp_path / "one.json", videos=["two's.mp4"])
    assert one["categories"] == every["categories"]
    assert one["images"] == [one for one in every["images"] if one["video_id"] == "two's.mp4"]


def test_strange_names_make_no_path_outside(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    for name in STRANGE_NAMES:
        lines = detection_lines(name, {0.0: ["person"]})
        commit_lines(store, "detections", [unit(name, "detections")], {"detections": lines})
    commit_videos(store, list(STRANGE_NAMES))
    found = exported(store, tmp_path / "out.json")
    check_format(found)
    assert {image["video_id"] for image in found["images"]} == set(STRANGE_NAMES)
    for image in found["images"]:
        folder, name = image["file_name"].split("/")
        assert not folder.startswith(".")
        assert name == "0.000.jpg"


def test_a_label_set_becomes_ground_truth_on_the_same_images(tmp_path):
    store = whole_store(tmp_path / "store")
    box = {"x1": 0.25, "y1": 0.5, "x2": 0.75, "y2": 1.0}
    lines = [
        label_line("one.mp4", 1, time=2.0, label="sit", label_id=11, split="train", **box),
        label_line("one.mp4", 2, time=2.0, label="talk", label_id=79, instance_id=4, **box),
        label_line("two's.mp4", 3, time=0.0, label="sit", label_id=11, **box),
        label_line("two's.mp4", 4, time=1.0, task="excluded"),
    ]
    commit_set(store, "ava@2.2", lines, {79: "talk", 11: "sit", 5: "fall"})
    commit_set(store, "ava@2.1", lines[:1], {11: "sit"})
    truth = exported(store, tmp_path / "truth.json", labels="ava@2.2")
    check_format(truth)
    assert [(one["id"], one["name"], one["supercategory"]) for one in truth["categories"]] == [
        (5, "fall", "action"),
        (11, "sit", "action"),
        (79, "talk", "action"),
    ]
    assert all("score" not in one for one in truth["annotations"])
    assert [one["bbox"] for one in truth["annotations"]] == [[160.0, 180.0, 320.0, 180.0]] * 3
    assert [one.get("split") for one in truth["annotations"]] == ["train", None, None]
    assert [one.get("instance_id") for one in truth["annotations"]] == [None, 4, None]
    detected = exported(store, tmp_path / "detected.json")
    assert len(truth["images"]) == 2
    assert all(image in detected["images"] for image in truth["images"])


def test_classes_of_two_tasks_with_one_number_stay_apart(tmp_path):
    store = whole_store(tmp_path / "store")
    box = {"time": 0.0, "x1": 0.25, "y1": 0.5, "x2": 0.75, "y2": 1.0}
    lines = [
        label_line("one.mp4", 1, task="verb", label="cut", label_id=0, **box),
        label_line("one.mp4", 1, task="noun", label="onion", label_id=0, **box),
    ]
    commit_set(store, "hands@1", lines, {})
    found = exported(store, tmp_path / "out.json", labels="hands@1")
    check_format(found)
    assert [(one["supercategory"], one["name"]) for one in found["categories"]] == [
        ("noun", "onion"),
        ("verb", "cut"),
    ]


def test_labels_that_cannot_be_images_are_refused(tmp_path):
    store = whole_store(tmp_path / "store")
    lines = [label_line("one.mp4", 1, start_seconds=0.0, end_seconds=1.0, label="cut", label_id=0)]
    commit_set(store, "epic@100", lines, {0: "cut"})
    with pytest.raises(ValueError, match="no boxes with a time"):
        exported(store, tmp_path / "out.json", labels="epic@100")
    with pytest.raises(ValueError, match="unknown label set 'epic'; the closest of 1: 'epic@100'"):
        exported(store, tmp_path / "out.json", labels="epic")


def test_a_video_without_a_size_is_named(tmp_path):
    store = filled_store(open_store(tmp_path / "store", create=True))
    commit_videos(store, ["two's.mp4"])
    with pytest.raises(ValueError, match=r"'one\.mp4' has boxes but no size .* --video"):
        exported(store, tmp_path / "out.json")
    assert exported(store, tmp_path / "out.json", videos=["two's.mp4"])["images"]


def test_the_reference_tool_reads_it(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    store = whole_store(tmp_path / "store")
    exported(store, tmp_path / "out.json")
    api = coco.COCO(str(tmp_path / "out.json"))
    assert len(api.getImgIds()) == 6
    assert len(api.getAnnIds()) == 10
