"""Which video a frame is from, and when it is shown: for a detector that looks things up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """The place of a frame."""

    video_id: str
    """The video's id in the store."""
    time: float
    """Key time in seconds."""
