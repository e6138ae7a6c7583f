"""Memory that a step frees is kept for the next one.

glibc hands buffers of megabytes back to the system as soon as they are freed. A step that allocates
the same ones again pays for every page of them: with 256 windows of 30 s on a CPU, 22,000 page
faults, which took more than a quarter of the step. What is kept is what a step has at its peak.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt` (malloc.h)."""
_OLDER_LIMIT, _KEPT_BYTES = 2**25, 2**30
"""glibc before 2.35 refuses a threshold over 32 MiB and keeps the one it had."""


def keep_freed_memory() -> None:
    """For this process and from now on; without effect where the C library is another."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    for size in (_OLDER_LIMIT, _KEPT_BYTES):
        mallopt(_MMAP_THRESHOLD, size)
