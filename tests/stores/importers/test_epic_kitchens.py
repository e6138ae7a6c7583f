"""EPIC-KITCHENS: both editions, seen and unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbank.stores.importers import epic_kitchens
from reelbank.stores.importers.label_set import ReadOptions
from tests.shared_data import shared_data
from tests.stores.importers.builders import written
from tests.stores.importers.contract import Bad, ImporterContract

HEADER_100 = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
VALIDATION = "\n".join(
    [
        HEADER_100,
        "P01_12_0,P01,P01_12,00:00:05.839,00:00:06.79,00:00:10.50,407,630,take cup,take,0,cup,1,"
        "['cup'],[1]",
        "P18_01_13,P18,P18_01,00:00:31.550,01:00:32.52,01:00:36.63,1951,2197,put cup into bin,put,"
        "1,bin,0,\"['bin', 'cup']\",\"[0, 1]\"",
        "",
    ]
)
VERBS = "id,key,instances,category\n0,take,\"['get', 'take']\",retrieve\n1,put,\"['put']\",leave\n"
NOUNS = "id,key,instances,category\n0,bin,\"['bin']\",x\n1,cup,\"['cup', 'mug']\",y\n"
MAIN = "EPIC_100_validation.csv"
VERB_FILE = "EPIC_100_verb_classes.csv"


def segment(**changes):
    given = {
        "narration_id": "P01_12_0",
        "participant_id": "P01",
        "video_id": "P01_12",
        "narration_timestamp": "00:00:05.839",
        "start_timestamp": "00:00:06.79",
        "stop_timestamp": "00:00:10.50",
        "start_frame": "1",
        "stop_frame": "2",
        "narration": "n",
        "verb": "take",
        "verb_class": "0",
        "noun": "cup",
        "noun_class": "1",
        "all_nouns": "[]",
        "all_noun_classes": "[]",
    }
    return ",".join((given | changes).values())


class TestEpicKitchens(ImporterContract):
    read = epic_kitchens.read
    files = {  # noqa: RUF012
        MAIN: VALIDATION,
        VERB_FILE: VERBS,
        "EPIC_100_noun_classes.csv": NOUNS,
        "EPIC_100_unseen_participant_ids_validation.csv": "participant_id\nP18\nP32\n",
        "EPIC_100_tail_verbs.csv": "verb\n1\n",
    }
    main = MAIN
    bad = (
        Bad(MAIN, 2, segment() + ",more", "16 columns, the header has 15"),
        Bad(MAIN, 2, segment(video_id=""), "name is empty"),
        Bad(MAIN, 2, segment(start_timestamp="6.79"), "start_timestamp '6.79' is not a time HH"),
        Bad(MAIN, 2, segment(start_timestamp="00:61:00"), "start_timestamp '00:61:00' is not"),
        Bad(MAIN, 2, segment(stop_timestamp=""), "stop_timestamp '' is not a time"),
        Bad(MAIN, 2, segment(stop_timestamp="00:00:06.78"), "ends at 6.78 s, before it starts"),
        Bad(MAIN, 3, segment(verb_class="97"), "verb_class 97 is not among the verb classes"),
        Bad(MAIN, 3, segment(noun_class="-1"), "noun_class '-1' is not a whole number"),
        Bad(MAIN, 3, segment(noun_class=""), "noun_class is empty"),
        Bad(VERB_FILE, 3, "0,put,\"['put']\",leave", "class 0 is there twice or has no name"),
        Bad(VERB_FILE, 3, "one,put,\"['put']\",leave", "id 'one' is not a whole number"),
        Bad("EPIC_100_tail_verbs.csv", 2, "7", "verb 7 has no name; give the verb classes too"),
    )

    def test_a_segment_is_a_verb_and_a_noun_that_share_its_id(self, tmp_path):
        lines = self.found(tmp_path).lines.to_pylist()
        assert [(one["segment_id"], one["task"], one["label"]) for one in lines] == [
            ("P01_12_0", "verb", "take"),
            ("P01_12_0", "noun", "cup"),
            ("P18_01_13", "verb", "put"),
            ("P18_01_13", "noun", "bin"),
        ]
        assert [one["start_seconds"] for one in lines[1:3]] == [6.79, 3632.52]
        assert [one["participant"] for one in lines[1:3]] == ["P01", "P18"]

    def test_participants_that_were_not_seen_in_training_are_a_split(self, tmp_path):
        splits = self.found(tmp_path).lines["split"].to_pylist()
        assert splits == ["validation_seen"] * 2 + ["validation_unseen"] * 2

    def test_tail_classes_are_classes_of_their_own_task(self, tmp_path):
        found = self.found(tmp_path).classes.to_pylist()
        tail = [one for one in found if one["task"] == "tail_verb"]
        assert tail == [{"task": "tail_verb", "label_id": 1, "label": "put", "evaluated": True}]


def read(folder, files, **options):
    return epic_kitchens.read(written(folder, files), ReadOptions(**options))


HEADER_55 = (
    "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
TRAIN_55 = (
    f"{HEADER_55}\n6374,P03,P03_01,open cup,00:00:01.05,00:00:02.00,63,120,open,2,cup,9,"
    "['cup'],[9]\n"
)
TEST_55 = (
    "uid,participant_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame\n"
    "1924,P01,P01_11,00:00:00.00,00:00:01.89,1,113\n"
)
VERBS_55 = "verb_id,class_key,verbs\n2,open,\"['open', 'open-up']\"\n"


def test_the_older_edition_has_its_own_ids_and_class_files(tmp_path):
    files = {"EPIC_train_action_labels.csv": TRAIN_55, "EPIC_verb_classes.csv": VERBS_55}
    found = read(tmp_path, files)
    assert (found.name, found.version) == ("epic-kitchens", "55")
    assert found.notes == ("no noun classes among the files: labels have numbers, no names",)
    verb, noun = found.lines.to_pylist()
    assert (verb["label"], verb["label_id"], verb["segment_id"]) == ("open", 2, "6374")
    assert (noun["label"], noun["label_id"], noun["split"]) == (None, 9, "train")


def test_test_sets_without_labels_are_segments_of_kitchens_seen_and_unseen(tmp_path):
    files = {"EPIC_test_s1_timestamps.csv": TEST_55, "EPIC_test_s2_timestamps.csv": TEST_55}
    lines = read(tmp_path, files).lines.to_pylist()
    assert [(one["task"], one["split"], one["label_id"]) for one in lines] == [
        ("segment", "test_seen", None),
        ("segment", "test_unseen", None),
    ]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({MAIN: VALIDATION, "EPIC_train.csv": TRAIN_55}, "-55 and -100 cannot be one label set"),
        ({MAIN: VALIDATION, "EPIC_verb_classes.csv": VERBS_55}, "cannot be one label set"),
        ({VERB_FILE: VERBS}, "no file of segments among"),
        ({MAIN: VALIDATION, "EPIC_100_classes.csv": VERBS}, "the same for verbs and nouns; name"),
        ({MAIN: VALIDATION, VERB_FILE: VERBS, "verbs.csv": VERBS}, "the verb classes are there tw"),
        ({MAIN: VALIDATION, "unseen_test.csv": "participant_id\nP1\n"}, "of split 'test' are giv"),
        ({MAIN: VALIDATION, "info.csv": "video_id,duration,fps\n"}, "its header is video_id, dur"),
    ],
)
def test_files_that_do_not_make_one_set_are_refused(tmp_path, files, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, files)


@given(hundredths=st.integers(0, 10**7), digits=st.integers(0, 3))
def test_a_time_is_the_nearest_number_to_its_decimals(tmp_path_factory, hundredths, digits):
    whole, part = divmod(hundredths, 100)
    fraction = f".{part:02d}" + "0" * digits if digits else ""
    stamp = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{fraction}"
    line = segment(start_timestamp="00:00:00", stop_timestamp=stamp)
    found = read(tmp_path_factory.mktemp("epic"), {MAIN: f"{HEADER_100}\n{line}\n"})
    assert found.lines["end_seconds"].to_pylist()[0] == float(f"{whole}{fraction}")


def test_the_real_segments_are_read():
    folder = shared_data() / "reference" / "annotations"
    names = ("validation_excerpt", "verb_classes", "noun_classes")
    found = epic_kitchens.read([folder / f"epic100_{name}.csv" for name in names], ReadOptions())
    assert found.version == "100"
    assert len(found.classes) == 97 + 300
    lines = found.lines.to_pylist()
    assert len(lines) == 2 * 142
    assert {one["split"] for one in lines} == {"validation"}
    assert [one["label"] for one in lines[:4]] == ["take", "cutlery", "open", "drawer"]
    assert (lines[0]["start_seconds"], lines[0]["end_seconds"]) == (6.79, 10.5)
    assert {one["source_name"] for one in lines} == {"P01_12", "P01_13", "P02_15"}
