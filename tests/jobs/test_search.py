"""How `--like` is read."""

import pytest

from reelbank.jobs.search import parse_like
from reelbank.stores.search import Like
from tests.stores.builders import STRANGE_NAMES


@pytest.mark.parametrize("name", [*STRANGE_NAMES, "a@5#b.mp4", "x@1#2", "@", "#", "a@1"])
def test_any_video_name_can_stand_before_time_and_track(name):
    assert parse_like(f"{name}@90") == Like(name, 90.0, None)
    assert parse_like(f"{name}@1.5#12") == Like(name, 1.5, 12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "film.mp4",
        "film.mp4@",
        "@5",
        "film@x",
        "film@5#",
        "film@5#٣",
        "film@5#" + 5000 * "9",
        "film@nan",
    ],
)
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"VIDEO@SECONDS.*film\.mp4@90"):
        parse_like(text)
