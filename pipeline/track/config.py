"""Settings of the tracker."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackConfig:
    """When two detections of neighbouring key times are the same instance."""

    min_iou: float = 0.2
    """Overlap (0 to 1) that two boxes of one instance have at the least, a second or more apart,
    if they are to link by overlap."""
    min_iou_close: float = 0.6
    """The same for two boxes no time apart; in between it falls with time (see `linker`). Boxes
    that link by nearness would overlap as much in one place, so their sizes agree."""
    appearance_weight: float = 0.5
    """Share (0 to 1) of colour in the similarity by which pairs are chosen; the rest is place."""
    min_colour: float = 0.75
    """Likeness of colours (0 to 1) from which boxes may link without overlap. On a crowded street
    (MOT17-04) every pair of one person a quarter of a second apart is above 0.75, and 3 % of the
    pairs of two people; 0.8 splits the tracks of generated films."""
    max_speed: float = 2.0
    """Furthest way, in box sides (widths across, heights along) per second, between boxes that
    link without overlap: a brisk walk, 1.4 m/s, is two widths (0.7 m) of a walker's box."""
    max_gap_seconds: float = 2.0
    """Longest time between two detections of one track; below the distance of the key times
    nothing links."""
    min_score: float = 0.0
    """Detections below this score (0 to 1) belong to no track."""
    min_start_score: float = 0.0
    """Detections below this score (0 to 1) continue tracks but start none."""
    min_detections: int = 1
    """Tracks of fewer detections are dropped."""

    def __post_init__(self) -> None:
        for name in (
            "min_iou",
            "min_iou_close",
            "appearance_weight",
            "min_colour",
            "min_score",
            "min_start_score",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} is out of range; use a value between 0 and 1")
        if self.min_iou_close < self.min_iou:
            raise ValueError(
                f"min_iou_close={self.min_iou_close} is below min_iou={self.min_iou}; boxes closer "
                "in time overlap more, so use at least the same value"
            )
        if not 0 < self.max_speed < float("inf"):
            raise ValueError(
                f"max_speed={self.max_speed} is out of range; use a positive number of box sides "
                "per second, 2 for walkers"
            )
        if not 0 < self.max_gap_seconds < float("inf"):
            raise ValueError(
                f"max_gap_seconds={self.max_gap_seconds} is out of range; use a positive number of "
                "seconds, at least the distance of the key times"
            )
        if self.min_detections < 1:
            raise ValueError(
                f"min_detections={self.min_detections} keeps nothing real; use 1 or more"
            )
