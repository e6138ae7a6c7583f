import json

import pytest
from typer.testing import CliRunner

from reelbank.jobs.cli import app

run = CliRunner()


def test_theatre_tells_where_its_parts_lie_and_makes_nothing_twice(tmp_path):
    arguments = ["theatre", str(tmp_path / "t"), "--size", "tiny", "--processes", "1", "--json"]
    first = run.invoke(app, arguments, catch_exceptions=False)
    films = sorted((tmp_path / "t" / "films").iterdir())
    made = [film.stat().st_mtime_ns for film in films]
    assert first.exit_code == 0
    assert [film.name for film in films] == [
        "test_000.mp4",
        "train_000.mp4",
        "train_001.mp4",
        "validation_000.mp4",
    ]
    assert set(json.loads(first.stdout)) == {"films", "annotations", "boxes", "ceilings"}
    again = run.invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert [film.stat().st_mtime_ns for film in films] == made


def test_a_size_can_be_changed_and_what_is_not_possible_is_told_before_anything_is_made(tmp_path):
    folder = tmp_path / "t"
    tiny = ["theatre", str(folder), "--size", "tiny", "--processes", "1", "--set"]
    for change, sentence in (
        ("second=30", "unknown key 'second'; did you mean 'seconds'"),
        ("width=63", "width=63 must be even"),
        ("num_films={test: 0}", "give 1 or more of each of train, validation, test"),
        ("supports=[90.0]", "could show three events"),
        ("difficulty.horizon_seconds=60", "difficulty: act_seconds=24 is too short"),
    ):
        with pytest.raises(ValueError, match=sentence):
            run.invoke(app, [*tiny, change], catch_exceptions=False)
        assert not folder.exists()
    done = run.invoke(app, [*tiny, "seconds=12", "--set", "num_films={train: 1}"])
    assert done.exit_code == 0
    assert len(list((folder / "films").iterdir())) == 3
    about = json.loads((folder / "theatre.json").read_text())
    assert (about["size"], about["seconds"], about["width"]) == ("custom", 12, 96)
