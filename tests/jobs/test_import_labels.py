"""Annotation files into a store: matched, committed whole, replaced whole."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from reelbank.jobs.import_labels import IMPORTERS, ImportRequest, import_labels, show_import
from reelbank.stores.importers.label_set import ReadOptions
from reelbank.stores.layout import LABELS
from reelbank.stores.store import open_store
from tests.shared_data import shared_data
from tests.stores.builders import STRANGE_NAMES
from tests.stores.importers.builders import store_of, written

ROWS = [
    "one,0902,0.002,0.118,0.714,0.977,12,1",
    "one,1798,0.002,0.118,0.714,0.977,17,1",
    "two,0903,0.100,0.200,0.300,0.400,80,0",
    "gone,0902,0.100,0.200,0.300,0.400,80,0",
]
TRAIN, VAL = "ava_train_v2.2.csv", "ava_val_v2.2.csv"
ENDS = {"one.mp4": 897.5, "it's/two.mkv": 897.0, "three.mp4": None}


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path, ENDS)


def request(store, files, importer="ava", **changes):
    options = {name: changes.pop(name) for name in ("name", "version", "split") if name in changes}
    return ImportRequest(
        importer=importer,
        files=tuple(files),
        store=store.uri,
        options=ReadOptions(**options),
        **changes,
    )


def ava(store, folder, rows=ROWS, **changes):
    files = written(folder, {TRAIN: "\n".join(rows)})
    return import_labels(request(store, files, **({"time_offset": -902.0} | changes)))


def labels(store, columns="video_id, time, label_id", rest="ORDER BY ALL"):
    return [
        tuple(one.values()) for one in store.sql(f"SELECT {columns} FROM labels {rest}").to_pylist()
    ]


def files_of_labels(store):
    return list(store.files.walk(LABELS))


def printed(report):
    out = io.StringIO()
    show_import(report, Console(file=out, width=40))
    return out.getvalue()


def test_lines_land_in_the_table_by_video_and_time(store, tmp_path):
    report = ava(store, tmp_path)
    assert labels(store) == [
        ("it's/two.mkv", 1.0, 80),
        ("one.mp4", 0.0, 12),
        ("one.mp4", 896.0, 17),
    ]
    assert labels(store, "DISTINCT label_set, version, split") == [("ava", "2.2", "train")]
    assert (report.committed, report.replaced, report.num_videos) == (True, False, 2)


def test_the_report_lists_what_was_left_out_and_is_json(store, tmp_path):
    report = ava(store, tmp_path, [*ROWS, "one,1800,0.1,0.2,0.3,0.4,1,1", ROWS[0]])
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["unmatched_names"] == {"gone": 1}
    assert found["videos_without_labels"] == ["three.mp4"]
    assert found["lines_outside"] == {"one.mp4": 1}
    assert found["lines_repeated"] == 1
    assert found["lines"] == {"action": 4}
    text = printed(report)
    assert "ava@2.2: brought in" in text
    assert "names without a video in the store: 1 (1 lines left out): 'gone'" in text
    assert "videos without a label: 1: 'three.mp4'" in text
    assert "lines before or after their videos, left out: 1, of 'one.mp4'" in text


def test_the_commit_says_where_the_lines_come_from(store, tmp_path):
    ava(store, tmp_path)
    (unit, _) = store.live().units(stage="labels:ava@2.2")
    assert unit.details["importer"] == "ava"
    assert unit.details["id_format"] == "{stem}"
    assert unit.details["time_offset"] == -902.0
    (file,) = unit.details["files"]
    assert file["name"] == TRAIN
    assert len(file["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(dict(unit.details))


def test_all_the_files_of_a_set_come_in_at_once_and_splits_stay_apart(store, tmp_path):
    files = written(
        tmp_path,
        {
            TRAIN: "\n".join(ROWS[:2]),
            VAL: ROWS[2],
            "ava_val_excluded_timestamps_v2.2.csv": "two,0904\n",
        },
    )
    report = import_labels(request(store, files, time_offset=-902.0))
    assert report.splits == {"train": 2, "validation": 2}
    assert labels(store, "split, task, source_line, time") == [
        ("train", "action", 1, 0.0),
        ("train", "action", 2, 896.0),
        ("validation", "action", 1, 1.0),
        ("validation", "excluded", 1, 2.0),
    ]
    again = import_labels(request(store, files[::-1], time_offset=-902.0))
    assert not again.committed, "the same files in another order are the same set"


def test_a_bad_line_leaves_the_store_as_it_was(store, tmp_path):
    ava(store, tmp_path)
    before, held = store.fingerprint(), sorted(store.files.list_names("commits"))
    with pytest.raises(ValueError, match=r"nothing was imported: ava_train_v2\.2\.csv, line 2"):
        ava(store, tmp_path, [ROWS[0], "nonsense", ROWS[1]])
    assert store.fingerprint() == before
    assert sorted(store.files.list_names("commits")) == held
    assert len(files_of_labels(store)) == 2


def test_importing_again_replaces_the_set_and_only_that(store, tmp_path):
    ava(store, tmp_path)
    ava(store, tmp_path, version="2.1")
    assert printed(ava(store, tmp_path)).startswith("ava@2.2: the store holds the same already")
    report = ava(store, tmp_path, ROWS[:1])
    assert (report.committed, report.replaced) == (True, True)
    assert labels(store, rest="WHERE version = '2.2' ORDER BY ALL") == [("one.mp4", 0.0, 12)]
    assert len(labels(store, rest="WHERE version = '2.1'")) == 3


def test_a_wrong_offset_is_met_with_the_remedy_and_nothing_comes_in(store, tmp_path):
    with pytest.raises(ValueError, match=r"all 3 lines lie outside .* --time-offset \(-902 for"):
        ava(store, tmp_path, time_offset=0.0)
    assert labels(store) == []


def test_a_pattern_that_fits_nothing_shows_names_of_both_sides(store, tmp_path):
    with pytest.raises(ValueError, match=r"none of the 3 names .* by --id-format '\{name\}'"):
        ava(store, tmp_path, id_format="{name}")


def test_whole_ids_in_a_file_need_no_pattern(tmp_path):
    store = store_of(tmp_path, dict.fromkeys(STRANGE_NAMES, 5.0))
    rows = [f'"{name.replace(chr(34), chr(34) * 2)}",mood,calm,1' for name in STRANGE_NAMES]
    text = "\n".join(["video_id,task,label,time", *rows])
    files = written(tmp_path, {"mine.csv": text})
    report = import_labels(request(store, files, importer="csv"))
    assert report.label_set == "mine@1"
    assert sorted(name for (name,) in labels(store, "video_id")) == sorted(STRANGE_NAMES)
    with pytest.raises(ValueError, match="leave --id-format out"):
        import_labels(request(store, files, importer="csv", id_format="{stem}"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"importer": "coco"}, "unknown format 'coco'; known: ava, charades, csv, epic-kitchens, "),
        ({"name": "../up"}, r"label set '\.\./up@2\.2' must be name@version"),
        ({"version": "a b"}, "must be name@version"),
        ({"id_format": "{stem.x}"}, "must be text with one or more of the fields"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(store, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        ava(store, tmp_path, **changes)
    assert labels(store) == []


def test_files_must_be_there_and_each_once(store, tmp_path):
    (file,) = written(tmp_path, {TRAIN: ROWS[0]})
    for files, words in (
        ([], "no annotation files are given"),
        ([tmp_path / "absent.csv"], r"absent\.csv is not a file"),
        ([tmp_path], "is not a file"),
        ([file, Path(tmp_path, ".", TRAIN)], "a file is given twice"),
    ):
        with pytest.raises(ValueError, match=words):
            import_labels(request(store, files))


def test_a_store_without_videos_says_so(tmp_path):
    with pytest.raises(ValueError, match="the store has no videos to match names with"):
        ava(open_store(tmp_path / "empty", create=True), tmp_path)


REAL = {
    "ava": (["ava_sample.csv", "ava_excluded_timestamps_sample.csv"], 10),
    "epic-kitchens": (["epic100_validation_excerpt.csv", "epic100_verb_classes.csv"], 284),
    "lvu": (["lvu/scene_test_excerpt.csv", "lvu/like_ratio_test_excerpt.csv"], 50),
}


@pytest.mark.parametrize("importer", REAL)
def test_real_excerpts_come_in_whole(tmp_path, importer):
    names, num_lines = REAL[importer]
    files = [shared_data() / "reference" / "annotations" / name for name in names]
    options = ReadOptions(version="2.2") if importer == "ava" else ReadOptions()
    spelled = set(IMPORTERS[importer](files, options).lines["source_name"].to_pylist())
    store = store_of(tmp_path, {f"films/{name}.mp4": None for name in spelled})
    report = import_labels(request(store, files, importer=importer, version=options.version))
    assert sum(report.num_lines.values()) == num_lines
    assert report.num_videos == len(spelled)
    assert not report.matched.unmatched
    assert len(labels(store)) == num_lines
