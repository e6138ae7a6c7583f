"""What every importer promises; a test class for each inherits this one."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from reelbank.stores.importers.label_set import CLASS_SCHEMA, LINE_SCHEMA, LabelSet, ReadOptions
from reelbank.stores.importers.lines import MAX_FAULTS
from tests.stores.importers.builders import written


class Bad(NamedTuple):
    """A line put in place of a good one, and words of the reason it is refused with."""

    file: str
    line: int
    text: str
    words: str


class ImporterContract:
    read: ClassVar[Callable[[Sequence[Path], ReadOptions], LabelSet]]
    files: ClassVar[Mapping[str, str]]
    """A whole, good set: names and texts."""
    main: ClassVar[str]
    """The file whose lines become labels; its last line is a good one."""
    bad: ClassVar[Sequence[Bad]]

    def found(self, folder, files=None, **options):
        return type(self).read(written(folder, files or self.files), ReadOptions(**options))

    def with_line(self, file, line, text):
        lines = self.files[file].split("\n")
        lines[line - 1] = text
        return dict(self.files) | {file: "\n".join(lines)}

    def test_lines_and_classes_have_their_schemas(self, tmp_path):
        found = self.found(tmp_path)
        assert found.lines.schema == LINE_SCHEMA
        assert found.classes.schema == CLASS_SCHEMA
        assert len(found.lines)

    def test_each_label_points_at_its_line_of_the_file(self, tmp_path):
        rows = [text.split("\n") for text in self.files.values()]
        for line in self.found(tmp_path).lines.to_pylist():
            number = line["source_line"] - 1
            assert any(line["source_name"] in file[number] for file in rows if number < len(file))

    def test_numbers_of_labels_are_in_the_label_map(self, tmp_path):
        found = self.found(tmp_path)
        named = {(one["task"], one["label_id"]): one["label"] for one in found.classes.to_pylist()}
        for line in found.lines.to_pylist():
            if line["label"] is not None and line["label_id"] is not None:
                assert named[line["task"], line["label_id"]] == line["label"]

    def test_a_mark_at_the_start_and_windows_line_ends_change_nothing(self, tmp_path):
        windows = {
            name: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
            for name, text in self.files.items()
        }
        assert self.found(tmp_path / "w", windows) == self.found(tmp_path / "u")

    def test_a_last_line_without_its_end_and_blank_lines_change_nothing(self, tmp_path):
        bare = {name: text.rstrip("\n") for name, text in self.files.items()}
        blank = {name: text + "\n\n" for name, text in self.files.items()}
        whole = self.found(tmp_path / "whole")
        assert self.found(tmp_path / "bare", bare) == whole
        assert self.found(tmp_path / "blank", blank) == whole

    def test_each_kind_of_bad_line_is_named_with_file_line_and_reason(self, tmp_path):
        for number, (file, line, text, words) in enumerate(self.bad):
            with pytest.raises(ValueError) as error:  # noqa: PT011  (its words are looked at below)
                self.found(tmp_path / str(number), self.with_line(file, line, text))
            start = f"{Path(file).name}, line {line}: "
            assert start in str(error.value), (text, str(error.value))
            assert words in str(error.value).split(start)[1], (text, str(error.value))

    def test_all_bad_lines_are_named_at_once_up_to_twenty(self, tmp_path):
        good = self.files[self.main].rstrip("\n")
        first = good.count("\n") + 2
        few = dict(self.files) | {self.main: good + "\n\x00bad\nworse"}
        with pytest.raises(ValueError, match=rf"line {first}: .*; .*, line {first + 1}: "):
            self.found(tmp_path / "few", few)
        many = dict(self.files) | {self.main: good + "\nbad" * (MAX_FAULTS + 5)}
        with pytest.raises(ValueError, match="reading stopped after 20 bad lines") as error:
            self.found(tmp_path / "many", many)
        assert len(re.findall(r", line \d+: ", str(error.value))) == MAX_FAULTS

    def test_name_version_and_split_can_be_given(self, tmp_path):
        found = self.found(tmp_path, name="mine", version="7", split="part")
        assert (found.name, found.version) == ("mine", "7")
        assert set(found.lines["split"].to_pylist()) <= {"part", "part_seen", "part_unseen"}

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty; leave it out"),
            (b"\n\r\n", "is empty; leave it out"),
            (b"some,thing,quite,else\n1,2,3,4\n", "other"),
            (b"\xff\xfe\x00\x01", "not UTF-8"),
            (b'"never closed\n', "not readable as CSV"),
        ],
        ids=["nothing", "blank lines", "another kind", "no text", "an open quote"],
    )
    def test_a_file_of_another_kind_is_refused_by_name(self, tmp_path, content, words):
        files = dict(self.files) | {"other_train.csv": content}
        with pytest.raises(ValueError, match=r"other_train\.csv") as error:
            self.found(tmp_path, files)
        assert words in str(error.value)
