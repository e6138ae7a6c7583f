"""Settings that hold for every test."""

import os
import sys

import pytest
from hypothesis import settings

# Small networks, on cores that test processes share: threads of arithmetic would only wait for each
# other, and not repeat to the bit. Programs that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine may pause anywhere: an example that took long says nothing about the code.
settings.register_profile("reelbank", deadline=None)
settings.load_profile("reelbank")


@pytest.fixture(autouse=True)
def one_thread():
    """Also after a test whose code set another number."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Rows of remote banks are not cached among the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELBANK_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
