"""Which files an INPUT names, and what the videos are called."""

import os
from pathlib import Path

import pytest

from reelbank.jobs.sources import find_sources


def touched(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ids(*inputs: str | Path) -> list[str]:
    return [source.video_id for source in find_sources(list(map(str, inputs)))]


def test_a_lone_file_is_called_by_its_name_whatever_its_suffix(tmp_path):
    touched(tmp_path / "deep" / "film.dat")
    [source] = find_sources([str(tmp_path / "deep" / "film.dat")])
    assert (source.video_id, source.path) == ("film.dat", str(tmp_path / "deep" / "film.dat"))


def test_a_folder_gives_its_videos_by_the_path_below_it_with_suffix(tmp_path):
    touched(tmp_path / "b.mp4", tmp_path / "a" / "c" / "d.MKV", tmp_path / "a.webm")
    touched(tmp_path / "notes.txt", tmp_path / "cover.jpg", tmp_path / "no_suffix")
    assert ids(tmp_path) == ["a.webm", "a/c/d.MKV", "b.mp4"]


def test_a_trailing_slash_and_a_relative_path_change_no_name(tmp_path, monkeypatch):
    touched(tmp_path / "films" / "a" / "x.mp4")
    monkeypatch.chdir(tmp_path)
    for text in ("films", "films/", "./films", "../" + tmp_path.name + "/films"):
        [source] = find_sources([text])
        assert source.video_id == "a/x.mp4"
        assert os.path.samefile(source.path, tmp_path / "films" / "a" / "x.mp4")


def test_a_link_loop_ends_and_no_video_is_found_twice(tmp_path):
    touched(tmp_path / "a" / "x.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "here").symlink_to(".")
    assert ids(tmp_path) == ["a/x.mp4"]


def test_a_linked_folder_is_searched(tmp_path):
    touched(tmp_path / "elsewhere" / "x.mp4")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "link").symlink_to(tmp_path / "elsewhere")
    assert ids(tmp_path / "films") == ["link/x.mp4"]


def test_one_file_that_is_named_twice_is_one_video(tmp_path):
    touched(tmp_path / "x.mp4")
    assert ids(tmp_path / "x.mp4", tmp_path, tmp_path / "x.mp4") == ["x.mp4"]


def test_a_list_gives_the_videos_of_its_lines_relative_to_its_folder(tmp_path):
    touched(tmp_path / "films" / "x.mp4", tmp_path / "y z.mp4")
    text = f"# my films\nfilms/x.mp4\n\n  y z.mp4  \n{tmp_path / 'films' / 'x.mp4'}\n"
    (tmp_path / "list.txt").write_text(text)
    assert ids(tmp_path / "list.txt") == ["films/x.mp4", "y z.mp4"]


def test_a_line_outside_the_folder_of_the_list_is_called_by_its_name(tmp_path):
    touched(tmp_path / "films" / "x.mp4", tmp_path / "lists" / "list.txt")
    (tmp_path / "lists" / "list.txt").write_text("../films/x.mp4\n")
    assert ids(tmp_path / "lists" / "list.txt") == ["x.mp4"]


def test_a_list_with_a_wrong_line_names_list_line_and_path(tmp_path):
    touched(tmp_path / "x.mp4")
    (tmp_path / "list.txt").write_text("x.mp4\ngone.mp4\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 2: no such file: 'gone\.mp4'"):
        ids(tmp_path / "list.txt")


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"list\.txt: a list of paths must be UTF-8"):
        ids(tmp_path / "list.txt")


@pytest.mark.parametrize("text", ["", "# nothing but words\n\n"])
def test_a_list_without_paths_is_refused(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=r"list\.txt: no video found"):
        ids(tmp_path / "list.txt")


def test_a_name_that_is_no_text_is_refused_and_named(tmp_path):
    name = os.fsdecode(b"film\xff.mp4")
    touched(tmp_path / name)
    with pytest.raises(ValueError, match="not valid Unicode; rename"):
        ids(tmp_path)


def test_the_order_does_not_depend_on_the_order_of_inputs(tmp_path):
    touched(tmp_path / "1" / "b.mp4", tmp_path / "2" / "a.mp4")
    assert ids(tmp_path / "1", tmp_path / "2") == ids(tmp_path / "2", tmp_path / "1")
