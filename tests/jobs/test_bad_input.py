"""Bad input gets a clear sentence, and nothing is lost: every case through the real command."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from reelbank.stores.store import Store, open_store
from tests.jobs.broken_films import NUM_FRAMES, RATE, audio, cut, damaged, good, index_first
from tests.jobs.commands import Answer, reelbank, refused
from tests.jobs.extraction import command
from tests.videos import np, write_video

INLINE = ("--engine", "inline", "--set", "resources.threads=1")
SHOTS = (*INLINE, "--recipe", "shots")
QUICK = (*SHOTS, "--json")
ODD_NAMES = (
    "two words.mp4",
    "line\nbreak.mp4",
    'it\'s "quoted".mp4',
    "фильм 映画 🎬.mp4",
    "[brackets]*?.mp4",
    "-dash.mp4",
)
NOBODY = 65534


@dataclass(frozen=True)
class Bad:
    """One folder with every fault in it, extracted once with the default recipe."""

    folder: Path
    answer: Answer
    store: Store

    @property
    def status(self) -> dict[str, str]:
        found: dict[str, str] = self.answer.json["status"]
        return found

    def video(self, video_id: str) -> dict[str, Any]:
        sql = "SELECT * FROM videos WHERE video_id = ?"
        [line] = self.store.sql(sql, [video_id]).to_pylist()
        return dict(line)

    def failures(self, video_id: str) -> list[dict[str, Any]]:
        sql = "SELECT * FROM failures WHERE video_id = ? ORDER BY start_seconds"
        return list(self.store.sql(sql, [video_id]).to_pylist())


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Bad:
    root = tmp_path_factory.mktemp("bad")
    films = root / "films"
    good(films / "whole.mp4")
    (films / "text.mp4").write_text("This is a letter, and no film.\n" * 40)
    (films / "zero.mp4").touch()
    audio(films / "sound.mp4")
    audio(films / "cover.mp4", cover=True)
    cut(good(films / "cut_silently.mkv"), 0.6)
    cut(index_first(films / "cut_loudly.mp4"), 0.6)
    cut(good(films / "index_lost.mp4"), 0.6)
    damaged(films / "damaged.mp4", first=20, last=24)
    good(films / "one_frame.mp4", 1)
    pixel = [np.full((1, 1, 3), level, np.uint8) for level in (0, 255) * 20]
    write_video(films / "pixel.mp4", pixel, rate=RATE, pix_fmt="yuv444p")
    for folder in ("a", "b"):
        good(films / folder / "same_name.mp4", 30 if folder == "a" else 20)
    shutil.copy(films / "whole.mp4", films / "same_bytes.mp4")
    for name in ODD_NAMES:
        good(films / "odd" / name, 10)
    (films / "odd" / "loop").symlink_to(films)
    (films / "itself.mp4").symlink_to("itself.mp4")
    (films / "a_folder.mp4").mkdir()
    os.mkfifo(films / "pipe.mp4")
    answer = reelbank("extract", films, "--store", root / "store", *INLINE, "--json")
    return Bad(films, answer, open_store(root / "store"))


def test_the_exit_status_tells_that_some_videos_are_not_whole(bad):
    assert bad.answer.status == 3
    assert "Traceback" not in bad.answer.err


def test_whole_videos_finish_whatever_lies_beside_them(bad):
    odd = {f"odd/{name}" for name in ODD_NAMES}
    whole = {"whole.mp4", "same_bytes.mp4", "a/same_name.mp4", "b/same_name.mp4"}
    whole |= {"one_frame.mp4", "pixel.mp4"} | odd
    assert {name for name, status in bad.status.items() if status == "ok"} == whole
    counts = bad.answer.json["videos"]
    assert counts["in"] == len(bad.status)
    assert counts["ok"] == len(whole)
    assert counts["ok"] + counts["partial"] + counts["failed"] == counts["in"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text.mp4", "not a video"),
        ("zero.mp4", "0 bytes"),
        ("sound.mp4", "no video stream"),
        ("cover.mp4", "cover picture"),
        ("index_lost.mp4", "not a video that FFmpeg can open"),
    ],
)
def test_a_file_without_pictures_is_a_failed_line_with_a_sentence_and_a_failure(bad, name, words):
    line = bad.video(name)
    assert line["status"] == "failed"
    assert words in line["error"]
    assert name in line["error"]
    [failure] = bad.failures(name)
    assert failure["stage"] == "probe"
    assert failure["error"] == line["error"]
    assert bad.answer.json["errors"][name] == line["error"]


@pytest.mark.parametrize("name", ["pipe.mp4", "itself.mp4"])
def test_what_cannot_be_read_is_reported_but_not_committed_and_tried_again(bad, name):
    assert bad.status[name] == "failed"
    assert bad.store.sql("SELECT * FROM videos WHERE video_id = ?", [name]).num_rows == 0


def test_a_folder_with_the_name_of_a_video_is_a_folder(bad):
    assert not any(name.startswith("a_folder.mp4") for name in bad.status)


def test_a_film_cut_off_without_a_decoder_error_is_partial(bad):
    line = bad.video("cut_silently.mkv")
    assert line["status"] == "partial"
    assert 0 < line["decoded_frames"] < NUM_FRAMES
    assert "cut off" in line["error"]
    [failure] = bad.failures("cut_silently.mkv")
    assert failure["start_seconds"] == pytest.approx(line["covered_seconds"])


def test_a_film_cut_off_with_a_decoder_error_is_partial(bad):
    line = bad.video("cut_loudly.mp4")
    assert line["status"] == "partial"
    assert 0 < line["decoded_frames"] < NUM_FRAMES
    assert line["declared_frames"] == NUM_FRAMES
    assert bad.failures("cut_loudly.mp4")


def test_damage_in_the_middle_costs_the_damaged_span_alone(bad):
    line = bad.video("damaged.mp4")
    assert line["status"] == "partial"
    failures = bad.failures("damaged.mp4")
    assert failures
    for failure in failures:
        assert failure["stage"] == "decode"
        assert failure["error"]
        # Packets 20 to 24 were destroyed, and no other frame depends on more than its ten.
        assert 20 / RATE - 1e-6 <= failure["start_seconds"] < failure["end_seconds"]
        assert failure["end_seconds"] <= 30 / RATE + 1e-6
    times = bad.store.table("scores", "damaged.mp4")["time"].to_pylist()
    assert {round(time * RATE) for time in times} >= {*range(20), *range(30, NUM_FRAMES)}
    assert line["covered_seconds"] == pytest.approx(NUM_FRAMES / RATE)
    assert bad.store.bank("clip").times("damaged.mp4").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("name", "num_frames"), [("one_frame.mp4", 1), ("pixel.mp4", 40)])
def test_the_smallest_videos_have_every_row(bad, name, num_frames):
    assert bad.video(name)["decoded_frames"] == num_frames
    assert bad.store.table("scores", name).num_rows == num_frames
    assert bad.store.table("shots", name).num_rows >= 1
    expected = [float(second) for second in range(-(-num_frames // RATE))]
    assert bad.store.bank("clip").times(name).tolist() == expected


def test_one_name_in_two_folders_below_one_input_is_two_videos(bad):
    assert bad.video("a/same_name.mp4")["decoded_frames"] == 30
    assert bad.video("b/same_name.mp4")["decoded_frames"] == 20


def test_two_files_with_the_same_bytes_are_two_videos_with_the_same_rows(bad):
    one, other = bad.video("whole.mp4"), bad.video("same_bytes.mp4")
    assert one["digest"] == other["digest"]
    rows = [bad.store.bank("clip").rows(name) for name in ("whole.mp4", "same_bytes.mp4")]
    assert len(rows[0]) > 0
    assert np.array_equal(*rows)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_video_with_an_odd_name_is_found_again_by_that_name(bad, name):
    video_id = f"odd/{name}"
    assert bad.video(video_id)["source"] == str(bad.folder / "odd" / name)
    assert bad.store.table("scores", video_id).num_rows == 10
    answer = reelbank(
        "query",
        "--store",
        bad.store.uri,
        "--format",
        "json",
        "SELECT video_id FROM videos WHERE num_packets = 10 ORDER BY ALL",
    )
    found = [json.loads(line)["video_id"] for line in answer.out.splitlines()]
    assert video_id in found


def test_the_store_is_sound_afterwards(bad):
    assert reelbank("verify", "--store", bad.store.uri).status == 0


def test_a_second_run_computes_nothing_and_says_the_same(bad):
    again = reelbank("extract", bad.folder, "--store", bad.store.uri, *INLINE, "--json")
    assert again.status == 3
    assert again.json["status"] == bad.status
    assert again.json["errors"] == bad.answer.json["errors"]
    assert again.json["frames_decoded"] == 0


# Refused before any work.


def test_a_missing_path_is_refused(tmp_path):
    said = refused("extract", tmp_path / "gone.mp4", "--store", tmp_path / "s", *SHOTS)
    assert "gone.mp4: no such file or folder" in said
    assert not (tmp_path / "s").exists()


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    said = refused("extract", tmp_path / "empty", "--store", tmp_path / "s", *SHOTS)
    assert "empty: no video found" in said
    assert ".mp4" in said
    assert not (tmp_path / "s").exists()


def test_one_name_as_two_inputs_with_different_content_is_refused(tmp_path):
    good(tmp_path / "a" / "film.mp4", 10)
    good(tmp_path / "b" / "film.mp4", 20)
    said = refused("extract", tmp_path / "a", tmp_path / "b", "--store", tmp_path / "s", *SHOTS)
    assert "'film.mp4'" in said
    assert str(tmp_path / "a" / "film.mp4") in said
    assert str(tmp_path / "b" / "film.mp4") in said
    assert "rename" in said
    assert open_store(tmp_path / "s").commits() == []


def test_one_name_as_two_inputs_with_the_same_content_is_one_video(tmp_path):
    good(tmp_path / "a" / "film.mp4", 10)
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "film.mp4", tmp_path / "b" / "film.mp4")
    answer = reelbank("extract", tmp_path / "a", tmp_path / "b", "--store", tmp_path / "s", *QUICK)
    assert answer.status == 0
    assert answer.json["status"] == {"film.mp4": "ok"}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's right to read and write everything, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture(scope="module")
def everything_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Python itself may lie where nobody but root can read it."""
    folder = tmp_path_factory.mktemp("imported")
    film = good(folder / "film.mp4", 5)
    assert reelbank("extract", film, "--store", folder / "s", *QUICK).status == 0


@pytest.fixture
def open_folder(everything_imported: None) -> Iterator[Path]:
    """A folder that everybody may enter (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="reelbank-test-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_an_unreadable_file_costs_that_video_alone_and_is_tried_again(open_folder):
    closed = good(open_folder / "films" / "closed.mp4", 10)
    good(open_folder / "films" / "open.mp4", 12)
    closed.chmod(0)
    arguments = ("extract", open_folder / "films", "--store", open_folder / "s", *QUICK)
    with as_nobody():
        answer = reelbank(*arguments)
    assert answer.status == 3
    assert answer.json["status"] == {"closed.mp4": "failed", "open.mp4": "ok"}
    assert "Permission denied" in answer.json["errors"]["closed.mp4"]
    closed.chmod(0o644)
    with as_nobody():
        answer = reelbank(*arguments)
    assert answer.status == 0
    assert answer.json["status"] == {"closed.mp4": "ok", "open.mp4": "ok"}


def test_an_unwritable_store_is_refused(open_folder):
    film = good(open_folder / "film.mp4", 10)
    (open_folder / "shelf").mkdir(mode=0o555)
    with as_nobody():
        said = refused("extract", film, "--store", open_folder / "shelf" / "s", *SHOTS)
    assert str(open_folder / "shelf") in said
    assert "cannot be created or written" in said
    assert "Permission denied" in said


def test_a_store_that_became_unwritable_is_refused_before_any_work(open_folder):
    film = good(open_folder / "film.mp4", 10)
    with as_nobody():
        assert reelbank("extract", film, "--store", open_folder / "s", *SHOTS).status == 0
    for folder in [open_folder / "s", *(open_folder / "s").iterdir()]:
        if folder.is_dir():
            folder.chmod(0o555)
    with as_nobody():
        said = refused("extract", film, "--store", open_folder / "s", *SHOTS)
    assert "cannot be written" in said


@pytest.mark.parametrize("arguments", [("info",), ("status",), ("verify",), ("query", "select 1")])
def test_a_store_that_is_not_there_is_refused(tmp_path, arguments):
    said = refused(*arguments, "--store", tmp_path / "gone")
    assert f"there is no store at '{tmp_path / 'gone'}'" in said


def test_a_folder_with_other_things_is_not_taken_for_a_store(tmp_path):
    film = good(tmp_path / "films" / "film.mp4", 10)
    said = refused("extract", film, "--store", tmp_path / "films", *SHOTS)
    assert "is not empty and is no store" in said
    assert sorted(path.name for path in (tmp_path / "films").iterdir()) == ["film.mp4"]


def test_a_file_is_not_taken_for_a_store(tmp_path):
    film = good(tmp_path / "film.mp4", 10)
    assert "is a file, not a folder" in refused("extract", film, "--store", film, *SHOTS)


@pytest.mark.parametrize("arguments", [("info",), ("query", "select 1"), ("extract",)])
def test_a_store_of_a_newer_format_is_refused(tmp_path, arguments):
    film = good(tmp_path / "film.mp4", 10)
    open_store(tmp_path / "s", create=True)
    record = json.loads((tmp_path / "s" / "store.json").read_text())
    record["format_version"] += 1
    (tmp_path / "s" / "store.json").write_text(json.dumps(record))
    words = ("extract", film, *SHOTS) if arguments == ("extract",) else arguments
    said = refused(*words, "--store", tmp_path / "s")
    assert f"format {record['format_version']}" in said
    assert "newer reelbank" in said


# Weights.


class Bomb:
    """Makes a folder when a pickle that holds it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def with_code(path: Path, mark: Path) -> Path:
    """A weights file with code in it; reading it without care runs the code."""
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": Bomb(mark)}))
        pickle.loads(path.read_bytes())
    else:
        torch.save({"model": Bomb(mark)}, path)
        torch.load(path, weights_only=False)
    assert mark.is_dir(), "the bomb is a dud"
    mark.rmdir()
    return path


def weights(kind: str, path: Path, sha256: str | None = None) -> tuple[str, ...]:
    """Settings that name a weights file."""
    digest = "" if sha256 is None else f", sha256: '{sha256}'"
    value = (
        f"backbones.main={{weights: '{path}'{digest}}}"
        if kind == "backbone"
        else f"detector={{kind: torchvision, weights: '{path}'{digest}}}"
    )
    return (*INLINE, "--set", value)


KINDS = pytest.mark.parametrize("kind", ["backbone", "detector"])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good(tmp_path_factory.mktemp("film") / "film.mp4", 10)


@KINDS
def test_absent_weights_are_refused_before_any_work(tmp_path, film, kind):
    said = refused(
        "extract", film, "--store", tmp_path / "s", *weights(kind, tmp_path / "gone.pth")
    )
    assert str(tmp_path / "gone.pth") in said
    assert "is not there" in said or "is neither a weights file" in said
    assert "correct the path" in said
    assert not (tmp_path / "s").exists()


@KINDS
def test_weights_with_another_digest_are_refused_before_any_work(tmp_path, film, kind):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(2)}, path)
    settings = weights(kind, path, sha256="0" * 64)
    said = refused("extract", film, "--store", tmp_path / "s", *settings)
    assert str(path) in said
    assert f"expected {'0' * 64}" in said
    assert not (tmp_path / "s").exists()


@KINDS
def test_weights_of_wrong_shapes_stop_the_run_with_one_sentence(tmp_path, film, kind):
    path = tmp_path / "w.pth"
    torch.save({"stray": torch.zeros(2, 3)}, path)
    answer = reelbank("extract", film, "--store", tmp_path / "s", *weights(kind, path), "--json")
    assert answer.status == 2
    assert "Traceback" not in answer.err
    said = answer.err.strip().splitlines()[-1]
    assert str(path) in said
    assert "missing" in said
    assert "1 unexpected: stray" in said
    # Nothing of the recipe's fault is held against the video.
    assert open_store(tmp_path / "s").sql("SELECT * FROM failures").num_rows == 0


@KINDS
@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_code_in_a_weights_file_is_refused_and_does_not_run(tmp_path, film, kind, suffix):
    mark = tmp_path / "boom"
    path = with_code(tmp_path / f"w{suffix}", mark)
    answer = reelbank("extract", film, "--store", tmp_path / "s", *weights(kind, path), "--json")
    assert answer.status == 2
    assert not mark.exists()
    assert "Traceback" not in answer.err
    said = answer.err.strip().splitlines()[-1]
    assert str(path) in said
    assert "mkdir" in said
    assert "never run" in said


def test_a_process_of_its_own_says_the_same_and_shows_no_traceback(tmp_path):
    done = command("extract", tmp_path / "gone.mp4", "--store", tmp_path / "s")
    assert done.returncode == 2
    assert done.stdout == ""
    [said] = done.stderr.strip().splitlines()
    assert said.startswith("reelbank: ")
    assert "gone.mp4: no such file or folder" in said


def test_python_is_not_slowed_by_torch_where_only_words_are_wrong():
    code = "import sys, reelbank.jobs.cli\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
