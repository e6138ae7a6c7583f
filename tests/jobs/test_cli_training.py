import json

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
