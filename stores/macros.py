"""Functions that queries may use beside DuckDB's own, each with what the help says of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Macro:
    """A function of SQL."""

    name: str
    parameters: tuple[str, ...]
    """Names, none of them a column of a table that the body reads."""
    body: str
    """One SQL expression of the parameters."""
    about: str
    """One line for people."""

    @property
    def signature(self) -> str:
        """As it is called."""
        return f"{self.name}({', '.join(self.parameters)})"

    @property
    def statement(self) -> str:
        """SQL that makes it."""
        return f"CREATE MACRO {self.signature} AS ({self.body})"


_AREAS = "((ax2::DOUBLE - ax1) * (ay2::DOUBLE - ay1) + (bx2::DOUBLE - bx1) * (by2::DOUBLE - by1))"
_SHARED = "(overlap_seconds(ax1, ax2, bx1, bx2) * overlap_seconds(ay1, ay2, by1, by2))"

MACROS = (
    Macro(
        "overlap_seconds",
        ("start1", "end1", "start2", "end2"),
        # least and greatest pass over NULL; a span with an unknown end has an unknown overlap.
        "CASE WHEN start1 + end1 + start2 + end2 IS NOT NULL THEN greatest(0::DOUBLE, "
        "least(end1::DOUBLE, end2::DOUBLE) - greatest(start1::DOUBLE, start2::DOUBLE)) END",
        "seconds that two spans share; 0 where they do not meet",
    ),
    Macro(
        "iou",
        ("ax1", "ay1", "ax2", "ay2", "bx1", "by1", "bx2", "by2"),
        # One expression: a SELECT of its own would be joined to each pair. Two empty boxes: 0.
        f"coalesce({_SHARED} / nullif({_AREAS} - {_SHARED}, 0), {_SHARED})",
        "intersection over union of two boxes x1 y1 x2 y2",
    ),
    Macro(
        "shot_at",
        ("video", "t"),
        "SELECT min(shots.shot_id) FROM shots WHERE shots.video_id = video "
        "AND shots.start_seconds <= t AND t < shots.end_seconds",
        "shot_id of the shot on screen at second t; NULL where there is none",
    ),
    Macro(
        "track_at",
        ("video", "t", "of_rank"),
        "SELECT min(links.track_id) FROM links WHERE links.video_id = video "
        "AND links.rank = of_rank AND links.time BETWEEN t - 1e-6 AND t + 1e-6",
        "track_id of the detection of that rank at key time t; NULL where no track holds it",
    ),
)
"""In an order in which each may use those before it."""
