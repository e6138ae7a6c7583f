"""What tests of jobs share."""

import pytest

from tests.jobs.labelled_store import make_labelled_store


@pytest.fixture(scope="session")
def labelled_store(tmp_path_factory):
    """A store with labels of each kind; not to be written to."""
    return make_labelled_store(tmp_path_factory.mktemp("labelled") / "store")
