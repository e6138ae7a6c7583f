"""Print as JSON what opening a bank costs: `python -m tests.benchmarks.stores_memory STORE`.

A process of its own, so that nothing else counts. Anonymous memory is what only this process has
and what the system cannot take back; mapped files are the system's page cache.
"""

import json
import sys
import time
from pathlib import Path

from reelbank import open_store


def main() -> None:
    """Measure before, after opening, and after a window of each film."""
    store = open_store(sys.argv[1])
    base = anonymous_mb()
    start = time.perf_counter()
    bank = store.bank("clip")
    opened, open_mb = time.perf_counter() - start, anonymous_mb()
    start = time.perf_counter()
    for video_id in bank.videos():
        bank.window(video_id, 10.0, 4.0)
    found = {
        "open_seconds": opened,
        "touch_seconds": time.perf_counter() - start,
        "base_mb": base,
        "open_mb": open_mb,
        "touched_mb": anonymous_mb(),
    }
    sys.stdout.write(json.dumps(found))


def anonymous_mb() -> float:
    """Private memory of this process that is no file."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    return kilobytes / 1000


if __name__ == "__main__":
    main()
