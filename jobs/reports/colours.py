"""Colours of tracks: the same in time lines and on boxes, readable on light and on dark."""

PALETTE = (
    "#e4572e",
    "#2e86de",
    "#1f9d61",
    "#a457d1",
    "#d1890a",
    "#0f98a6",
    "#d9478f",
    "#7a8b1c",
    "#7166e8",
    "#b5653a",
    "#3f9142",
    "#c4515c",
)
NO_TRACK = "#8a8f98"
"""Of a detection that belongs to no track."""


def track_colour(track_id: int | None) -> str:
    """Colour of a track as #rrggbb; grey for none. Twelve colours, then again from the start."""
    return NO_TRACK if track_id is None else PALETTE[track_id % len(PALETTE)]
