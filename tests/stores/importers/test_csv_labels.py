"""Labels made by hand."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers import csv_labels
from reelbank.stores.importers.label_set import LINE_SCHEMA, ReadOptions
from tests.stores.importers.builders import written
from tests.stores.importers.contract import Bad, ImporterContract

MAIN = "mine.csv"


class TestCsv(ImporterContract):
    read = csv_labels.read
    files = {  # noqa: RUF012
        MAIN: "\n".join(
            [
                "name,task,label_id,label,time,start_seconds,end_seconds,x1,y1,x2,y2,value",
                'one,mood,0,"calm, quiet",1.5,,,,,,,',
                "one,mood,1,loud,,2,4.5,0.1,0.2,0.5,0.6,",
                "two,rating,,,,,,,,,,-3.5",
                "",
            ]
        )
    }
    main = MAIN
    bad = (
        Bad(MAIN, 2, "one,mood,0", "3 columns, the header has 12"),
        Bad(MAIN, 2, ",mood,0,,1.5,,,,,,,", "name is empty"),
        Bad(MAIN, 2, "one,,0,,1.5,,,,,,,", "task is empty"),
        Bad(MAIN, 2, "one,mood,0,,1.5,2,3,,,,,", "a line has a time, or start_seconds and"),
        Bad(MAIN, 2, "one,mood,0,,,2,,,,,,", "a line has a time, or start_seconds and"),
        Bad(MAIN, 2, "one,mood,0,,,3,2,,,,,", "ends at 2 s, before it starts at 3 s"),
        Bad(MAIN, 2, "one,mood,0,,-1,,,,,,,", "time -1 is negative"),
        Bad(MAIN, 2, "one,mood,0,,inf,,,,,,,", "time 'inf' is not a number"),
        Bad(MAIN, 2, "one,mood,0,,1,,,0.1,0.2,0.3,,", "a box needs x1, y1, x2 and y2"),
        Bad(MAIN, 2, "one,mood,0,,1,,,0.3,0.2,0.1,0.4,", "the box 0.3 0.2 0.1 0.4 is not"),
        Bad(MAIN, 2, f"one,mood,{2**31},,1,,,,,,,", "is not a whole number from 0 to 2147483647"),
        Bad(MAIN, 2, "one,mood,0,,1,,,,,,,much", "value 'much' is not a number"),
        Bad(MAIN, 3, "one,mood,0,loud,1,,,,,,,", "class 0 of mood is 'loud', before it was"),
    )

    def test_a_line_has_a_time_or_a_span_or_is_about_the_whole_video(self, tmp_path):
        lines = self.found(tmp_path).lines.to_pylist()
        shown = ("time", "start_seconds", "end_seconds", "x1", "label", "value")
        assert [tuple(one[name] for name in shown) for one in lines] == [
            (1.5, None, None, None, "calm, quiet", None),
            (None, 2.0, 4.5, 0.1, "loud", None),
            (None, None, None, None, None, -3.5),
        ]

    def test_the_classes_are_those_that_occur(self, tmp_path):
        found = self.found(tmp_path)
        assert found.classes["label"].to_pylist() == ["calm, quiet", "loud"]
        assert (found.name, found.version, found.id_format) == ("mine", "1", None)


def read(folder, files, **options):
    return csv_labels.read(written(folder, files), ReadOptions(**options))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("name,task,colour", "must name columns, each once, among .*; found colour"),
        ("name,task,task", "each once"),
        ("name,label", "must name task, and either name or video_id"),
        ("task,label", "must name task, and either name or video_id"),
        ("name,video_id,task", "must name task, and either name or video_id"),
        ("name,task,x1,y1,x2", "names some of x1, y1, x2, y2; give all"),
        ("name,task,start_seconds", "names some of start_seconds, end_seconds; give all"),
        ("name,task,split", "has a column split; leave --split out"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(tmp_path, header, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, {MAIN: header + "\n"}, split="train")


def test_several_files_need_a_name(tmp_path):
    files = {"a.csv": "name,task\nx,t\n", "b.csv": "name,task,split\ny,t,test\n"}
    with pytest.raises(ValueError, match="give its name with --name"):
        read(tmp_path, files)
    found = read(tmp_path, files, name="both")
    assert found.lines["split"].to_pylist() == [None, "test"]
    other = files | {"b.csv": "video_id,task\ny,t\n"}
    with pytest.raises(ValueError, match="some files have a column name, others video_id"):
        read(tmp_path, other, name="both")


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=9)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LINE = st.fixed_dictionaries(
    {"name": TEXT.filter(bool), "task": TEXT.filter(bool)},
    optional={
        "label": TEXT.filter(bool),
        "split": TEXT.filter(bool),
        "segment_id": TEXT.filter(bool),
        "participant": TEXT.filter(bool),
        "value": NUMBERS,
        "time": NUMBERS.map(abs),
        "instance_id": st.integers(0, 2**63 - 1),
    },
)


@given(lines=st.lists(LINE, min_size=1, max_size=8), ends=st.sampled_from(["\n", "\r\n"]))
def test_all_that_was_written_comes_back(tmp_path_factory, lines, ends):
    columns = sorted({name for line in lines for name in line})
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator=ends, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(lines)
    found = read(tmp_path_factory.mktemp("csv"), {MAIN: out.getvalue()}).lines.to_pylist()
    expected = [
        dict.fromkeys(LINE_SCHEMA.names)
        | {"source_name" if name == "name" else name: value for name, value in line.items()}
        for line in lines
    ]
    assert [line | {"source_line": None} for line in found] == expected
