"""Charades: many actions in one column."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers import charades
from reelbank.stores.importers.label_set import ReadOptions
from tests.stores.importers.builders import written
from tests.stores.importers.contract import Bad, ImporterContract

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"


def film(name, actions, length="30.00", script="A person runs."):
    row = [name, "HR43", "Home, other", "6", "7", "Yes", script, "bag;cup", "d", actions, length]
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(row)
    return out.getvalue()


MAIN = "Charades_v1_train.csv"
CLASSES = "".join(f"c{number:03d} Doing thing {number}, or so\n" for number in range(157))
GOOD = film("46GP8", "c092 11.90 21.20;c147 0.00 12.60")


class TestCharades(ImporterContract):
    read = charades.read
    files = {  # noqa: RUF012
        MAIN: "\n".join(
            [HEADER, GOOD, film("N11GT", "c156 3 40.5", script='She said "no", twice.'), ""]
        ),
        "Charades_v1_classes.txt": CLASSES,
    }
    main = MAIN
    bad = (
        Bad(MAIN, 2, GOOD + ",1", "12 columns, the header has 11"),
        Bad(MAIN, 2, film("", "c092 1 2"), "name is empty"),
        Bad(MAIN, 2, film("a", "c092 1"), "action 'c092 1' is not a class, a start and an end"),
        Bad(MAIN, 2, film("a", "92 1 2"), "is not a class, a start and an end: c077 12.10 18.00"),
        Bad(MAIN, 2, film("a", "c157 1 2"), "action c157 is not among the classes"),
        Bad(MAIN, 2, film("a", "c001 2.5 2.4"), "ends at 2.4 s, before it starts at 2.5 s"),
        Bad(MAIN, 2, film("a", "c001 -1 2"), "start -1 is negative"),
        Bad(MAIN, 2, film("a", "c001 1 nan"), "end 'nan' is not a number"),
        Bad(MAIN, 3, film("a", "c001 1 2", length="long"), "length 'long' is not a number"),
        Bad("Charades_v1_classes.txt", 2, "c000 Again", "not a class such as"),
        Bad("Charades_v1_classes.txt", 2, "c1 Short", "not a class such as"),
    )

    def test_each_action_is_a_line_with_its_span(self, tmp_path):
        lines = self.found(tmp_path).lines.to_pylist()
        shown = ("source_name", "label_id", "start_seconds", "end_seconds", "source_line")
        assert [tuple(one[name] for name in shown) for one in lines] == [
            ("46GP8", 92, 11.9, 21.2, 2),
            ("46GP8", 147, 0.0, 12.6, 2),
            ("N11GT", 156, 3.0, 40.5, 3),
        ]
        assert lines[0]["label"] == "Doing thing 92, or so"
        assert (lines[0]["participant"], lines[0]["split"]) == ("HR43", "train")

    def test_spans_past_the_length_stay_and_are_counted(self, tmp_path):
        assert self.found(tmp_path).notes == (
            "1 spans end after the length that the file gives; kept",
        )


def read(folder, files, **options):
    return charades.read(written(folder, files), ReadOptions(**options))


def test_a_film_without_actions_is_not_forgotten(tmp_path):
    files = {"Charades_v1_test.csv": f"{HEADER}\n{film('A', '')}\n{film('B', 'c001 1 2')}\n"}
    lines = read(tmp_path, files).lines.to_pylist()
    assert [(one["source_name"], one["task"], one["label_id"]) for one in lines] == [
        ("A", "no_action", None),
        ("B", "action", 1),
    ]


def test_a_script_may_hold_line_breaks_and_lines_are_those_of_the_file(tmp_path):
    rows = [HEADER, film("A", "c001 1 2", script="one\ntwo\nthree"), film("B", "bad")]
    with pytest.raises(ValueError, match=r"train\.csv, line 5: action 'bad'"):
        read(tmp_path, {MAIN: "\n".join(rows)})


def test_the_mapping_of_classes_to_objects_is_no_class_file(tmp_path):
    files = {MAIN: f"{HEADER}\n{GOOD}\n", "Charades_v1_mapping.txt": "c000 o009 v003\n"}
    with pytest.raises(ValueError, match=r"Charades_v1_mapping\.txt is no Charades file"):
        read(tmp_path, files)


def test_two_class_files_or_no_films_are_refused(tmp_path):
    files = {"a.txt": CLASSES, "b.txt": CLASSES, MAIN: f"{HEADER}\n{GOOD}\n"}
    with pytest.raises(ValueError, match="1 files of films and 2 of classes"):
        read(tmp_path, files)
    with pytest.raises(ValueError, match="0 files of films and 1 of classes"):
        read(tmp_path, {"a.txt": CLASSES})


SPANS = st.tuples(
    st.integers(0, 156), st.lists(st.integers(0, 9000), min_size=2, max_size=2).map(sorted)
)


@given(films=st.lists(st.lists(SPANS, max_size=5), min_size=1, max_size=6))
def test_the_columns_spell_the_actions_again(tmp_path_factory, films):
    texts = [
        ";".join(f"c{number:03d} {a / 100:.2f} {b / 100:.2f}" for number, (a, b) in actions)
        for actions in films
    ]
    rows = [film(f"V{number}", text) for number, text in enumerate(texts)]
    found = read(tmp_path_factory.mktemp("charades"), {MAIN: "\n".join([HEADER, *rows])})
    again = [[] for _ in films]
    for one in found.lines.to_pylist():
        if one["task"] == "action":
            spelled = f"c{one['label_id']:03d} {one['start_seconds']:.2f} {one['end_seconds']:.2f}"
            again[one["source_line"] - 2].append(spelled)
    assert [";".join(some) for some in again] == texts
