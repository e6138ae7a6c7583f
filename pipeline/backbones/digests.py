"""SHA-256 of a file, checked against the one that is expected."""

import hashlib
from pathlib import Path


def file_sha256(path: str | Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: str | Path, expected: str | None) -> str:
    """The file's digest; ValueError where another one was expected."""
    found = file_sha256(path)
    if expected is not None and found != expected.lower():
        raise ValueError(
            f"{path}: SHA-256 is {found}, expected {expected.lower()}; "
            "fetch the file again, or correct the digest in the recipe"
        )
    return found
