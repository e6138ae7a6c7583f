"""AVA: versions, label maps, excluded times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers import ava
from reelbank.stores.importers.label_set import ReadOptions
from tests.shared_data import shared_data
from tests.stores.importers.builders import written
from tests.stores.importers.contract import Bad, ImporterContract

NAMES = {number: f"class {number}" for number in range(1, 81)}
EVALUATED = sorted(ava.ALL_CLASSES - ava.NOT_EVALUATED)
MAP_OF_60 = "".join(f'item {{\n  name: "{NAMES[n]}"\n  id: {n}\n}}\n' for n in EVALUATED)
MAP_OF_80 = "".join(
    f'label {{\n  name: "{name}"\n  label_id: {n}\n  label_type: PERSON_MOVEMENT\n}}\n'
    for n, name in NAMES.items()
)
ACTIONS = "\n".join(
    [
        "1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,12,1",
        "1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,17,1",
        "-5KQ66BBWC4,1798,0.000,0.000,1.000,1.000,2,0",
        "",
    ]
)
TRAIN = "ava_train_v2.2.csv"


class TestAva(ImporterContract):
    read = ava.read
    files = {  # noqa: RUF012
        TRAIN: ACTIONS,
        "ava_train_excluded_timestamps_v2.2.csv": "1j20qq1JyX4,0903\n",
        "ava_action_list_v2.2.pbtxt": MAP_OF_80,
    }
    main = TRAIN
    bad = (
        Bad(TRAIN, 2, "1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,17", "7 columns"),
        Bad(TRAIN, 2, "1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,17,1,1", "9 columns"),
        Bad(TRAIN, 1, ",0902,0.002,0.118,0.714,0.977,12,1", "name is empty"),
        Bad(TRAIN, 1, "a,late,0.002,0.118,0.714,0.977,12,1", "time 'late' is not a number"),
        Bad(TRAIN, 1, "a,-902,0.002,0.118,0.714,0.977,12,1", "time -902 is negative"),
        Bad(TRAIN, 1, "a,nan,0.002,0.118,0.714,0.977,12,1", "time 'nan' is not a number"),
        Bad(TRAIN, 1, "a,1e999,0.002,0.118,0.714,0.977,12,1", "is not a number"),
        Bad(TRAIN, 1, "a,0902,,,,,12,1", "x1 is empty"),
        Bad(TRAIN, 1, "a,0902,0.5,0.118,0.5,0.977,12,1", "the box 0.5 0.118 0.5 0.977 is not"),
        Bad(TRAIN, 1, "a,0902,0.002,0.9,0.714,0.8,12,1", "x1 < x2 <= 1 and 0 <= y1 < y2"),
        Bad(TRAIN, 1, "a,0902,-0.1,0.1,0.7,0.8,12,1", "the box"),
        Bad(TRAIN, 1, "a,0902,0.1,0.1,0.7,1.001,12,1", "the box"),
        Bad(TRAIN, 1, "a,0902,0.1,nan,0.7,0.9,12,1", "y1 'nan' is not a number"),
        Bad(TRAIN, 1, "a,0902,0.1,0_1,0.7,0.9,12,1", "y1 '0_1' is not a number"),
        Bad(TRAIN, 1, "a,0902,0.1,\u0660,0.7,0.9,12,1", "y1 '\u0660' is not a number"),
        Bad(TRAIN, 3, "a,0902,0.1,0.1,0.7,0.9,81,1", "action 81 is not in the label map"),
        Bad(TRAIN, 3, "a,0902,0.1,0.1,0.7,0.9,0,1", "action 0 is not in the label map"),
        Bad(TRAIN, 3, "a,0902,0.1,0.1,0.7,0.9,1.5,1", "action '1.5' is not a whole number"),
        Bad(TRAIN, 3, "a,0902,0.1,0.1,0.7,0.9,,1", "action is empty"),
        Bad(TRAIN, 3, "a,0902,0.1,0.1,0.7,0.9,1,0.655", "person '0.655' is not a whole number"),
        Bad(TRAIN, 3, f"a,0902,0.1,0.1,0.7,0.9,1,{2**63}", "is not a whole number from 0 to"),
        Bad("ava_train_excluded_timestamps_v2.2.csv", 1, "a,b", "time 'b' is not a number"),
        Bad("ava_action_list_v2.2.pbtxt", 6, "label {name: 'a' id: 1} label {", "class 1 is there"),
        Bad("ava_action_list_v2.2.pbtxt", 6, "thing {", "expected item {...} or label {...}"),
        Bad("ava_action_list_v2.2.pbtxt", 6, "label ?", "'?' is not expected in a label map"),
    )

    def test_a_line_is_a_box_at_a_time_of_the_whole_film(self, tmp_path):
        first = self.found(tmp_path).lines.to_pylist()[0]
        assert {name: value for name, value in first.items() if value is not None} == {
            "split": "train",
            "task": "action",
            "time": 902.0,
            "x1": 0.002,
            "y1": 0.118,
            "x2": 0.714,
            "y2": 0.977,
            "label": "class 12",
            "label_id": 12,
            "instance_id": 1,
            "source_name": "1j20qq1JyX4",
            "source_line": 1,
        }

    def test_an_excluded_time_has_neither_box_nor_class(self, tmp_path):
        last = self.found(tmp_path).lines.to_pylist()[-1]
        assert {name: value for name, value in last.items() if value is not None} == {
            "split": "train",
            "task": "excluded",
            "time": 903.0,
            "source_name": "1j20qq1JyX4",
            "source_line": 1,
        }


def read(folder, files, **options):
    return ava.read(written(folder, files), ReadOptions(**options))


def evaluated(found):
    return [one["label_id"] for one in found.classes.to_pylist() if one["evaluated"]]


def test_both_label_maps_alone_and_together_say_which_sixty_classes_count(tmp_path):
    of_60, of_80 = {"sixty.pbtxt": MAP_OF_60}, {"eighty.pbtxt": MAP_OF_80}
    for number, maps in enumerate((of_60, of_80, of_60 | of_80, of_80 | of_60)):
        found = read(tmp_path / str(number), {TRAIN: ACTIONS} | maps)
        assert evaluated(found) == EVALUATED
        assert len(found.classes) == (60 if maps == of_60 else 80)
        # Class 2 is one of the 20 that do not count: it is there, with a name where one is given.
        assert found.lines["label_id"].to_pylist() == [12, 17, 2]
        assert found.lines["label"].to_pylist()[2] == (None if maps == of_60 else "class 2")


def test_a_label_map_of_ones_own_is_taken_at_its_word(tmp_path):
    own = 'item { name: "wave" id: 12 } item { name: "bow" id: 17 }'
    with pytest.raises(ValueError, match="line 3: action 2 is not in the label map"):
        read(tmp_path, {TRAIN: ACTIONS, "own.pbtxt": own})
    found = read(tmp_path, {TRAIN: ACTIONS, "own.pbtxt": own + ' item { name: "sit" id: 2 }'})
    assert evaluated(found) == [2, 12, 17]


def test_without_a_label_map_labels_have_numbers_and_a_note_says_so(tmp_path):
    found = read(tmp_path, {TRAIN: ACTIONS})
    assert found.lines["label"].null_count == 3
    assert len(found.classes) == 0
    assert "no label map" in found.notes[0]


def test_label_maps_that_disagree_are_refused(tmp_path):
    other = MAP_OF_60.replace('"class 12"', '"stand"')
    with pytest.raises(ValueError, match=r"class 12 is 'stand', and 'class 12' in another"):
        read(tmp_path, {TRAIN: ACTIONS, "a.pbtxt": MAP_OF_80, "b.pbtxt": other})


def test_splits_and_the_version_come_from_the_names_of_the_files(tmp_path):
    found = read(tmp_path, {TRAIN: ACTIONS, "ava_val_v2.2.csv": ACTIONS})
    assert (found.name, found.version) == ("ava", "2.2")
    assert found.lines["split"].to_pylist() == ["train"] * 3 + ["validation"] * 3


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ava_train.csv": ACTIONS}, "names? no version; give one with --version"),
        ({TRAIN: ACTIONS, "ava_val_v2.1.csv": ACTIONS}, "versions 2.1, 2.2; give one"),
        ({"train_val_v2.2.csv": ACTIONS}, "train and validation; say which with --split"),
        ({TRAIN: ACTIONS, "ava_train_b_v2.2.csv": ACTIONS}, "are both actions of split 'train'"),
        ({"ava_train_excluded_v2.2.csv": "a,0902\n"}, "no file of actions among"),
        ({"ava_file_names_v2.2.txt": "a.mkv\n"}, "its first line has 1 columns; known: actions"),
    ],
    ids=["no version", "two versions", "two splits", "a split twice", "no actions", "another list"],
)
def test_files_that_do_not_make_one_set_are_refused(tmp_path, files, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, files)


def test_version_one_is_separated_by_tabs_and_knows_no_persons(tmp_path):
    text = ACTIONS.replace(",1\n", "\n").replace(",0\n", "\n").replace(",", "\t")
    found = read(tmp_path, {"ava_test_v1.0.csv": text})
    assert found.version == "1.0"
    assert found.lines["instance_id"].null_count == 3
    assert found.lines["x2"].to_pylist() == [0.714, 0.714, 1.0]


LINES = st.lists(
    st.tuples(
        st.text("abcXYZ019-_", min_size=1, max_size=11),
        st.integers(0, 9999),
        st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted),
        st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted),
        st.integers(1, 80),
        st.integers(0, 500),
    ),
    min_size=1,
    max_size=20,
)


@given(lines=LINES)
def test_the_columns_spell_the_files_own_bytes_again(tmp_path_factory, lines):
    text = "".join(
        f"{name},{time:04d},{x[0] / 1000:.3f},{y[0] / 1000:.3f},{x[1] / 1000:.3f},"
        f"{y[1] / 1000:.3f},{action},{person}\n"
        for name, time, x, y, action, person in lines
    )
    found = read(tmp_path_factory.mktemp("ava"), {TRAIN: text}).lines.to_pylist()
    assert [one["source_line"] for one in found] == list(range(1, len(lines) + 1))
    again = "".join(
        f"{one['source_name']},{int(one['time']):04d},{one['x1']:.3f},{one['y1']:.3f},"
        f"{one['x2']:.3f},{one['y2']:.3f},{one['label_id']},{one['instance_id']}\n"
        for one in found
    )
    assert again == text


def annotations(name):
    return shared_data() / "reference" / "annotations" / name


def test_the_real_rows_are_read(tmp_path):
    files = [
        annotations("ava_sample.csv"),
        annotations("ava_excluded_timestamps_sample.csv"),
        annotations("ava_action_list_v2.1_for_activitynet_2018.pbtxt"),
    ]
    found = ava.read(files, ReadOptions(version="2.2"))
    assert evaluated(found) == EVALUATED
    lines = found.lines.to_pylist()
    assert [one["task"] for one in lines] == ["action"] * 8 + ["excluded"] * 2
    assert [one["label"] for one in lines[:3]] == [
        "stand",
        "carry/hold (an object)",
        "talk to (e.g., self, a person, a group)",
    ]
    assert lines[3]["time"] == 903.0
    assert [lines[3][name] for name in ("x1", "y1", "x2", "y2")] == [0.034, 0.189, 0.669, 0.980]


def test_the_real_rows_of_version_one_are_read():
    found = ava.read([annotations("ava_test_v1.0_excerpt.csv")], ReadOptions())
    assert (found.version, len(found.lines)) == ("1.0", 400)
    assert set(found.lines["split"].to_pylist()) == {"test"}
    assert set(found.lines["source_name"].to_pylist()) == {"053oq2xB3oU"}


def test_predictions_are_no_labels():
    folder = shared_data() / "reference" / "ava_eval_small"
    found = ava.read([folder / "gt.csv", folder / "action_list.txt"], ReadOptions(version="1"))
    assert found.lines["label_id"].to_pylist()[:5] == [3, 1, 1, 2, 3]
    with pytest.raises(ValueError, match=r"pred\.csv, line 1: person '0\.655' is not a whole"):
        ava.read([folder / "pred.csv"], ReadOptions(version="1"))
