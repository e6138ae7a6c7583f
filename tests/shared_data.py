"""Where the real clips lie: a folder beside the checkout, used when it is there."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_data() -> Path:
    """Folder with the real clips; skips the test, saying so, where it is absent."""
    folder = Path(os.environ.get("REELBANK_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real clips are not there: {folder} (set REELBANK_TEST_DATA)")
    return folder
