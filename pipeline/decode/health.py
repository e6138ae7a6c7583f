"""Say whether a video was had whole, from what its header claims and what decoding gave.

Header counts are not asked: they are wrong in both directions in healthy files (edit lists, frames
skipped in AVI). Asked are: lost spans, pictures flagged corrupt, the length that the header claims
for the pictures, and, where frames are counted, how many packets gave one.
"""

from reelbank.stores.records import VideoInfo

TOLERANCE_SECONDS = 0.5
"""Headers of healthy files overstate the length of the pictures by less than this ..."""

TOLERANCE_FRAMES = 3
"""... or, at low rates, by less than so many mean frame gaps."""

FIELDS_SHARE = 0.55
"""Interlaced raw streams may give one picture for two packets (fields), which is no loss."""

WHOLE_SHARE = 0.95
"""Raw streams hold a few packets without a picture of their own."""


def judge(
    info: VideoInfo, *, decoded: int, corrupt: int, lost_spans: int, covered_seconds: float
) -> tuple[str, str | None]:
    """Judge a video that was decoded from start to end: 'ok', or 'partial' with one sentence why.

    `decoded` and `corrupt` count frames, `covered_seconds` is the time at which the last leaves.
    """
    if lost_spans:
        return "partial", f"{lost_spans} span(s) of the video could not be decoded"
    if corrupt:
        return "partial", f"{corrupt} of {decoded} frames are flagged corrupt by the decoder"
    tolerance = max(TOLERANCE_SECONDS, TOLERANCE_FRAMES / info.rate)
    if info.declared_seconds is not None and info.declared_seconds - covered_seconds > tolerance:
        return "partial", (
            f"the header claims {info.declared_seconds:.3f} s of pictures, "
            f"but they end at {covered_seconds:.3f} s: the file is cut off"
        )
    share = decoded / info.num_packets if info.num_packets else 1.0
    if info.clock == "counted" and FIELDS_SHARE < share < WHOLE_SHARE:
        return "partial", f"only {decoded} of {info.num_packets} packets gave a picture"
    return "ok", None
