"""LVU: nine tasks about whole clips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers import lvu
from reelbank.stores.importers.label_set import ReadOptions
from tests.shared_data import shared_data
from tests.stores.importers.builders import written
from tests.stores.importers.contract import Bad, ImporterContract

CLASSES = "class_id class_name youtube_id imdb_id"
VIEWS = "view_count youtube_id imdb_id"
LIKES = "like_count dislike_count youtube_id imdb_id"
MAIN = "relationship/train.csv"


class TestLvu(ImporterContract):
    read = lvu.read
    files = {  # noqa: RUF012
        MAIN: f"{CLASSES}\n0 friend 0IWdfqsImMU tt0088128\n2 husband-wife 23ZWuWe2riY tt0829482\n",
        "view_count/val.csv": f"{VIEWS}\n1021209 TLZClsaDEw0 tt0249462\n",
        "like_ratio/test.csv": f"{LIKES}\n3 1 Gl5GVViqvjo tt2709768\n",
    }
    main = MAIN
    bad = (
        Bad(MAIN, 2, "0 friend tt0088128", "3 columns, the header has 4"),
        Bad(MAIN, 2, "0 friend  tt0088128", "name is empty"),
        Bad(MAIN, 2, "x friend 0IWdfqsImMU tt0088128", "class_id 'x' is not a whole number"),
        Bad(MAIN, 3, "0 boss 23ZWuWe2riY tt0829482", "class 0 is 'boss', before it was 'friend'"),
        Bad("view_count/val.csv", 2, "-5 a b", "view_count '-5' is not a whole number"),
        Bad("view_count/val.csv", 2, "nan a b", "view_count 'nan' is not a whole number"),
        Bad("like_ratio/test.csv", 2, "0 0 a b", "neither likes nor dislikes"),
        Bad("like_ratio/test.csv", 2, "1 1.5 a b", "dislike_count '1.5' is not a whole"),
    )

    def test_each_row_is_a_line_about_the_whole_video(self, tmp_path):
        lines = self.found(tmp_path).lines
        shown = ("task", "split", "label_id", "label", "value", "source_name")
        assert [tuple(one[name] for name in shown) for one in lines.to_pylist()] == [
            ("relationship", "train", 0, "friend", None, "0IWdfqsImMU"),
            ("relationship", "train", 2, "husband-wife", None, "23ZWuWe2riY"),
            ("view_count", "validation", None, None, 1021209.0, "TLZClsaDEw0"),
            ("like_ratio", "test", None, None, 7.5, "Gl5GVViqvjo"),
        ]
        for name in ("time", "start_seconds", "end_seconds", "x1"):
            assert lines[name].null_count == len(lines)


def read(folder, files, **options):
    return lvu.read(written(folder, files), ReadOptions(**options))


def test_an_unknown_name_gives_a_class_without_a_label(tmp_path):
    text = f"{CLASSES}\n0 \\N 0QNpXi4k5eU tt2767266\n1 nm0001220 eTeBFTlR0VI tt1074638\n"
    found = read(tmp_path, {"writer_test.csv": text})
    assert found.lines["label"].to_pylist() == [None, "nm0001220"]
    assert found.lines["label_id"].to_pylist() == [0, 1]
    assert found.classes["label"].to_pylist() == ["\\N", "nm0001220"]


@pytest.mark.parametrize("task", lvu.CLASS_TASKS)
def test_the_folder_or_the_start_of_the_name_says_the_task(tmp_path, task):
    text = f"{CLASSES}\n0 a b c\n"
    for number, name in enumerate((f"lvu_1.0/{task}/val.csv", f"{task}_val.csv")):
        found = read(tmp_path / str(number), {name: text})
        assert found.lines["task"].to_pylist() == [task]
    with pytest.raises(ValueError, match=r"val\.csv does not say which task it is of"):
        read(tmp_path, {"elsewhere/val.csv": text})


@given(likes=st.integers(0, 10**9), dislikes=st.integers(0, 10**9))
def test_the_like_ratio_lies_between_0_and_10(tmp_path_factory, likes, dislikes):
    files = {"like_ratio/val.csv": f"{LIKES}\n{likes} {dislikes + 1} a b\n"}
    (value,) = read(tmp_path_factory.mktemp("lvu"), files).lines["value"].to_pylist()
    assert 0 <= value < 10
    assert value * (likes + dislikes + 1) == pytest.approx(10 * likes)


def test_the_real_rows_of_all_nine_tasks_are_read():
    folder = shared_data() / "reference" / "annotations" / "lvu"
    files = sorted(folder.glob("*_test_excerpt.csv"))
    found = lvu.read(files, ReadOptions())
    assert (found.name, found.version) == ("lvu", "1.0")
    lines = found.lines.to_pylist()
    tasks = sorted({one["task"] for one in lines})
    assert tasks == sorted([*lvu.CLASS_TASKS, "view_count", "like_ratio"])
    assert all(sum(one["task"] == task for one in lines) == 25 for task in tasks)
    assert {one["split"] for one in lines} == {"test"}
    likes = [one["value"] for one in lines if one["task"] == "like_ratio"]
    assert likes[0] == pytest.approx(10 * 100101 / (100101 + 39251))
    genres = {one["label"] for one in lines if one["task"] == "genre"}
    assert genres == {"Comedy", "Action-Crime-Adventure", "Romance", "Thriller-Horror"}
    with pytest.raises(ValueError, match=r"durations_excerpt\.csv is no LVU file"):
        lvu.read([folder / "durations_excerpt.csv"], ReadOptions())
