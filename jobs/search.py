"""What `reelbank search --like` means."""

import math
import re

from reelbank.stores.search import Like

_LIKE = re.compile(
    r"(?P<video>.+)@(?P<seconds>[^@#]+)(?:#(?P<track>\d{1,18}))?", re.ASCII | re.DOTALL
)
"""The first group takes all it can: a video's name may hold '@' and '#'."""


def parse_like(text: str) -> Like:
    """What VIDEO@T or VIDEO@T#TRACK says; ValueError where it is neither."""
    match = _LIKE.fullmatch(text)
    try:
        seconds = float(match["seconds"]) if match else math.nan
    except ValueError:
        seconds = math.nan
    if match is None or not math.isfinite(seconds):
        raise ValueError(
            f"--like {text!r} must be VIDEO@SECONDS or VIDEO@SECONDS#TRACK, for example film.mp4@90"
        )
    track = match["track"]
    return Like(match["video"], seconds, None if track is None else int(track))
