"""What tests of jobs share."""

import pytest
import torch

from tests.jobs.labelled_store import make_labelled_store


@pytest.fixture(scope="session")
def labelled_store(tmp_path_factory):
    """A store with labels of each kind; not to be written to."""
    return make_labelled_store(tmp_path_factory.mktemp("labelled") / "store")


@pytest.fixture(scope="module")
def one_arithmetic_thread():
    """Small networks: threads would only wait for each other, and not repeat to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
