"""Memory of one step is there for the next."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from reelbank.jobs.training.memory import keep_freed_memory

def step():
    tensors = [torch.ones(2**20 * size) for size in (4, 12)]  # 16 and 48 MiB, freed at once.

if "keep" in sys.argv:
    keep_freed_memory()
for _ in range(10):  # Until everything has its place.
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_buffers_that_a_step_frees_are_not_fetched_again_from_the_system():
    assert faults("keep") < faults() / 10
