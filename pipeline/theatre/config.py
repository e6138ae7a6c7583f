"""What a generated film is asked to be; needs neither OpenCV nor PyAV."""

from dataclasses import dataclass

MIN_HEIGHT = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmConfig:
    """A film that any machine renders alike: the same settings give the same frames."""

    seed: int
    """Decides sets, cameras, cuts, people and walks."""
    seconds: float
    """Length of the film, rounded to whole frames."""
    width: int = 640
    """Width of the frame in pixels; even, because H.264 halves its chroma."""
    height: int = 360
    """Height of the frame in pixels; even, for the same reason."""
    rate: int = 25
    """Frames per second."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} is negative; give 0 or more")
        if not self.seconds * self.rate >= 1:
            raise ValueError(
                f"seconds={self.seconds} at rate={self.rate} holds no frame; give one or more"
            )
        if self.rate < 1:
            raise ValueError(f"rate={self.rate} is below 1 frame per second; give 1 or more")
        if self.height < MIN_HEIGHT or self.height % 2:
            raise ValueError(
                f"height={self.height} must be even and at least {MIN_HEIGHT}, "
                "so that a person can be drawn"
            )
        if self.width < self.height or self.width % 2:
            raise ValueError(
                f"width={self.width} must be even and at least height={self.height}, "
                "so that two people can walk"
            )

    @property
    def num_frames(self) -> int:
        """Frames in the film."""
        return round(self.seconds * self.rate)
