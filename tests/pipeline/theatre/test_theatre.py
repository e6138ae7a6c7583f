import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from reelbank.pipeline.theatre.ceilings import OBSERVERS, read_ceilings
from reelbank.pipeline.theatre.performance import Performance
from reelbank.pipeline.theatre.play import PlayConfig, write_play
from reelbank.pipeline.theatre.roles import ACTIONS, GENRES, RELATIONSHIPS
from reelbank.pipeline.theatre.sets import SETS
from reelbank.pipeline.theatre.sizes import SIZES, size_named
from reelbank.pipeline.theatre.theatre import film_seed, make_theatre, write_film
from reelbank.stores.importers import ava, csv_labels, lvu
from reelbank.stores.importers.label_set import ReadOptions
from reelbank.stores.importers.matching import match

NAMES = ["train_000", "train_001", "validation_000", "test_000"]


@pytest.fixture(scope="module")
def theatre(tmp_path_factory):
    return make_theatre(tmp_path_factory.mktemp("theatre"), "tiny", seed=2, processes=1)


@pytest.fixture(scope="module")
def plays():
    tiny = SIZES["tiny"]
    size = {"width": tiny.width, "height": tiny.height, "rate": tiny.rate}
    return {
        name: write_play(
            PlayConfig(
                seed=film_seed(2, number),
                seconds=tiny.seconds,
                difficulty=tiny.difficulty,
                **size,
            )
        )
        for number, name in enumerate(NAMES)
    }


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ends(theatre):
    return {f"{name}.mp4": 48.0 for name in NAMES}


def test_films_are_h264_of_the_size_and_show_what_was_drawn(theatre, plays):
    for name, play in plays.items():
        stage = Performance(play)
        with av.open(str(theatre.films / f"{name}.mp4")) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            shown = [
                frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)
            ]
        assert len(shown) == play.config.num_frames
        for number in range(0, len(shown), 50):
            assert np.abs(shown[number] - stage.picture(number)).mean() < 8


def decoded(path):
    with av.open(str(path)) as container:
        return np.stack([one.to_ndarray(format="rgb24") for one in container.decode(video=0)])


def test_after_encoding_too_a_clip_of_a_pose_says_nothing_of_its_meaning(tmp_path):
    play = write_play(PlayConfig(seed=4, seconds=50))
    write_film(tmp_path / "one.mp4", play)
    one = decoded(tmp_path / "one.mp4")
    families = {event.family: event for event in play.events if event.shown is not None}
    assert len(families) == 2
    for family, event in families.items():
        swapped = replace(event, meaning=1 - event.meaning, shown=1 - event.shown)
        events = tuple(swapped if other is event else other for other in play.events)
        write_film(tmp_path / f"{family}.mp4", replace(play, events=events))
        other = decoded(tmp_path / f"{family}.mp4")
        assert (one != other).any()
        # Clips of 8 x 8 or 32 x 2 frames at 30 Hz reach 1.07 s to either side of a key time.
        rate = play.config.rate
        clips = slice(int((event.start - 1.07) * rate), int((event.end - 1 + 1.07) * rate) + 1)
        np.testing.assert_array_equal(one[clips], other[clips])


def test_the_ava_importer_reads_the_labels_and_they_equal_the_script(theatre, plays):
    files = sorted((theatre.annotations / "ava").iterdir())
    found = ava.read(files, ReadOptions())
    assert found.version == "2.2"
    classes = found.classes.to_pylist()
    assert [(one["label_id"], one["label"], one["evaluated"]) for one in classes] == [
        (action.number, action.name, action.counts) for action in ACTIONS
    ]
    matched = match(found.lines, ends=ends(theatre), id_format="{stem}")
    assert not matched.unmatched
    assert not matched.outside
    labels = {}
    for line in matched.lines.to_pylist():
        assert line["split"] == line["video_id"].split("_")[0]
        key = (line["video_id"], int(line["time"]), line["instance_id"])
        labels.setdefault(key, (set(), []))[0].add(line["label_id"])
        labels[key][1].append((line["x1"], line["y1"], line["x2"], line["y2"]))
    expected = 0
    for name, play in plays.items():
        stage = Performance(play)
        size = np.array([play.config.width, play.config.height] * 2)
        for second in range(play.config.seconds):
            placed = stage.placed(second * play.config.rate)
            for member, actions in enumerate(play.actions_at(second)):
                numbers, boxes = labels[f"{name}.mp4", second, play.identity(member)]
                assert numbers == actions
                drawn = np.array(placed[member].box) / size
                for box in boxes:
                    assert np.all(np.array(box[:2]) <= drawn[:2] + 1e-9)
                    assert np.all(np.array(box[2:]) >= drawn[2:] - 1e-9)
                    np.testing.assert_allclose(box, drawn, atol=1.1e-3)
                expected += 1
    assert len(labels) == expected


def test_the_importer_of_our_own_format_reads_boxes_and_shots(theatre, plays):
    boxes = csv_labels.read(
        sorted((theatre.annotations / "boxes").iterdir()), ReadOptions(name="boxes")
    )
    lines = boxes.lines.to_pylist()
    assert {line["task"] for line in lines} == {"box"}
    people = [line for line in lines if line["label"] == "person"]
    assert len(people) == 4 * 48 * len(NAMES)
    instances = {}
    for line in lines:
        if line["label"] != "person":
            instances.setdefault((line["source_name"], line["instance_id"]), set()).add(
                line["label"]
            )
    assert all(len(labels) == 1 for labels in instances.values())
    shots = csv_labels.read([theatre.annotations / "shots.csv"], ReadOptions())
    cuts = {name: [] for name in NAMES}
    for line in shots.lines.to_pylist():
        cuts[line["source_name"]].append((line["start_seconds"], line["end_seconds"]))
    for name, play in plays.items():
        expected = [(shot.start_frame / 8, shot.end_frame / 8) for shot in play.shots]
        assert cuts[name] == expected


def test_the_lvu_importer_reads_what_is_said_of_whole_films(theatre, plays):
    files = sorted((theatre.annotations / "lvu").rglob("*.csv"))
    found = lvu.read(files, ReadOptions()).lines.to_pylist()
    assert len(found) == 3 * len(NAMES)
    names = {
        "relationship": RELATIONSHIPS,
        "scene": [stage.name for stage in SETS],
        "genre": list(GENRES),
    }
    for line in found:
        number = getattr(plays[line["source_name"]].labels, line["task"])
        assert (line["label_id"], line["label"]) == (number, names[line["task"]][number])


def test_two_processes_make_the_same_bytes_and_what_is_there_is_kept(theatre, tmp_path):
    whole = digests(theatre.films.parent)
    make_theatre(tmp_path, "tiny", seed=2, processes=2)
    assert digests(tmp_path) == whole
    (tmp_path / "films" / "train_001.mp4").unlink()
    kept = tmp_path / "films" / "train_000.mp4"
    (tmp_path / "films" / "test_000.part.mp4").write_bytes(b"half of a film")
    before = kept.stat().st_mtime_ns
    seen = []
    make_theatre(
        tmp_path, "tiny", seed=2, processes=1, on_film=lambda name, done, of: seen.append(name)
    )
    assert kept.stat().st_mtime_ns == before
    assert seen == NAMES
    after = digests(tmp_path)
    after.pop("films/test_000.part.mp4")
    assert after == whole


def test_a_folder_keeps_to_one_benchmark(theatre):
    with pytest.raises(ValueError, match="another size, seed or version"):
        make_theatre(theatre.films.parent, "tiny", seed=3, processes=1)
    with pytest.raises(ValueError, match=r"'huge' is unknown; known: tiny, small, medium, full"):
        size_named("huge")
    with pytest.raises(ValueError, match="processes=0"):
        make_theatre(theatre.films.parent, "tiny", seed=2, processes=0)


def test_another_seed_makes_other_films():
    assert len({film_seed(seed, number) for seed in range(20) for number in range(60)}) == 1200


def test_the_ceilings_are_stored_with_the_settings_that_they_follow_from(theatre):
    found = read_ceilings(theatre.ceilings)
    tiny = SIZES["tiny"]
    assert {(one.observer, one.support_seconds) for one in found} == {
        (observer, support) for observer in OBSERVERS for support in tiny.supports
    }
    about = json.loads(theatre.ceilings.read_text())
    assert about["size"] == "tiny"
    assert about["seed"] == 2
    assert about["difficulty"]["horizon_seconds"] == 6


def test_no_text_of_a_file_names_this_machine(theatre):
    for path in theatre.annotations.rglob("*.*"):
        assert str(Path(theatre.films).parent) not in path.read_text()
    with (theatre.annotations / "boxes" / "train.csv").open(newline="") as stream:
        assert next(csv.reader(stream))[0] == "name"
