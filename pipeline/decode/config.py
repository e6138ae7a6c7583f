"""Settings of the decoder; imports nothing heavy, so that a driver can check recipes with it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeConfig:
    """How videos are decoded."""

    threads: int = 2
    """Decoder threads for one open video; an explicit count, never "all cores"."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(
                f"decode.threads={self.threads} is not a count of threads; use 1 or more"
            )
