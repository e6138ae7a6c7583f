"""Settings that hold for every test."""

import pytest
from hypothesis import settings

# A shared machine may pause anywhere: an example that took long says nothing about the code.
settings.register_profile("reelbank", deadline=None)
settings.load_profile("reelbank")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Rows of remote banks are not cached among the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELBANK_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
