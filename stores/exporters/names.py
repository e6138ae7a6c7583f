"""Names of files for videos, whose ids are any text."""

import hashlib
from urllib.parse import quote

MAX_BYTES = 180
"""Longest name; file systems take 255 bytes, and what is put behind a name needs room."""


def safe_name(video_id: str) -> str:
    """The id as the name of one file: percent-encoded, so that two ids never share a name.

    Letters, digits, '_', '-' and '.' stay (a leading '.' does not). A name that would be too long
    is cut, and ends in '~' and the id's SHA-256; '~' is in no other name.
    """
    name = quote(video_id, safe="").replace("~", "%7E")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(video_id.encode()).hexdigest()
    return f"{name[: MAX_BYTES - len(digest) - 1]}~{digest}"
