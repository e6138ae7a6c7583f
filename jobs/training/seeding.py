"""Random numbers as a function of what they are for: of the step, of the sample.

Nothing random is carried from step to step, so there is no state of a generator to store: a
resumed run draws what the unbroken one would have drawn.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of(*parts: int | str) -> int:
    """63 bits that depend on all parts and their order."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_all(seed: int) -> None:
    """Seed the generators that code of others draws from: torch, numpy and Python."""
    # torch.manual_seed writes down a trace of the stack for each card that is not in use yet.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a dataset of others may draw from it
    random.seed(seed)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Inside, generators may be seeded at will; afterwards they are as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002 - as above


@contextmanager
def repeatable(deterministic: bool) -> Iterator[None]:
    """Inside, torch uses algorithms that repeat exactly or says that there is none."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or deterministic)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
