"""The small store is made once for all tests of this folder."""

import pytest

from tests.jobs.training.clips.stores import stage


@pytest.fixture(scope="session")
def blocks(tmp_path_factory):
    return stage(tmp_path_factory.mktemp("blocks"))
