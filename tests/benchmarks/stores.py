"""How fast windows come out of a bank, beside other formats in the same process.

Run `python -m tests.benchmarks.stores [--videos 10000] [--other-videos 1000] [--index-memory]
[--output FILE.json]`. A window is 60 rows of 2304 float16, copied unless said otherwise, at random
places of random films of 120 rows, everything warm. Readers take turns; medians count.

1. a memory-mapped .npy file and a bank with a group for each film, over --videos films;
2. these, other formats, and a bank under zstd, over --other-videos films (disk, not speed, is why);
3. a bank on an S3 server on loopback: single windows and one gather, the cache cold;
4. with --index-memory: anonymous memory and time of opening banks of 1 and of 100 million rows in
   10,000 parts (2 GB of disk).

Times are of this machine now; only ratios within one run mean anything.
"""

import argparse
import gc
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

from reelbank import open_store
from reelbank.stores.store import Store, Unit
from tests.benchmarks.store_rivals import READER, RIVALS, WINDOW, Rows, npy, npy_plain

BATCH = 64
TURNS = 5
SECONDS = 0.6
"""Of each reader in each turn."""
VIDEOS_PER_COMMIT = 100
REFERENCE = ".npy memory map"
TIMED = Callable[[Sequence[tuple[int, int]]], object]
"""Reads the windows (number of the film, first row)."""


def main() -> None:
    """Measure, print, write the JSON and the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--other-videos", type=int, default=1_000)
    parser.add_argument("--s3-windows", type=int, default=BATCH)
    parser.add_argument("--index-memory", action="store_true")
    parser.add_argument("--folder", type=Path, default=None, help="where the data lie meanwhile")
    parser.add_argument("--output", type=Path, default=Path("benchmarks-out/stores.json"))
    options = parser.parse_args()
    found: dict[str, Any] = {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "many": measure_maps(options.folder, options.videos),
        "formats": measure_formats(options.folder, options.other_videos),
        "s3": measure_s3(options.folder, options.s3_windows),
    }
    if options.index_memory:
        found["index_memory"] = measure_index_memory(options.folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1))
    draw(found, options.output.with_suffix(".png"))
    show(found, Console())


@contextmanager
def _folder(where: Path | None) -> Iterator[Path]:
    """A folder for the data, the cache within it; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="reelbank-benchmark-", dir=where) as name:
        with mock.patch.dict(os.environ, REELBANK_CACHE_DIR=f"{name}/cache"):
            yield Path(name)
        gc.collect()


def measure_maps(where: Path | None, num_films: int) -> dict[str, Any]:
    """Windows a second of the memory map and of a bank as large."""
    rows = Rows(num_films, 120, 2304)
    with _folder(where) as folder:
        readers = _maps(folder, rows) | _bank_readers("bank", make_bank(folder / "bank", rows))
        return {"films": num_films, "rates": _in_turns(readers, rows)}


def measure_formats(where: Path | None, num_films: int) -> dict[str, Any]:
    """Windows a second of all formats."""
    rows = Rows(num_films, 120, 2304)
    with _folder(where) as folder:
        readers = _maps(folder, rows) | _bank_readers("bank", make_bank(folder / "bank", rows))
        for name, make in RIVALS.items():
            readers[name] = _one_by_one(_checked(make(folder, rows), rows))
        store = make_bank(folder / "zstd", rows, compression="zstd")
        cold = _cold(store, rows)
        warm = _bank_readers("bank, zstd in the cache", store)
        readers |= {name: read for name, read in warm.items() if "gather" not in name}
        rates = _in_turns(readers, rows) | {"bank, zstd, cache cold": cold}
        return {"films": num_films, "rates": rates}


def _maps(folder: Path, rows: Rows) -> dict[str, TIMED]:
    by_numpy = _checked(npy(folder, rows), rows)
    mapped = np.load(folder / "rows.npy", mmap_mode="r")

    def stacked(keys: Sequence[tuple[int, int]]) -> None:
        for some in _split(keys):
            found = np.empty((len(some), WINDOW, rows.dim), np.float16)
            for place, (number, first) in enumerate(some):
                start = number * rows.rows_per_film + first
                found[place] = mapped[start : start + WINDOW]

    return {
        REFERENCE: _one_by_one(by_numpy),
        f"{REFERENCE}, as a plain array": _one_by_one(npy_plain(folder, rows)),
        f"{REFERENCE}, {BATCH} at once": stacked,
    }


def _split(keys: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    yield from (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _one_by_one(read: READER) -> TIMED:
    def all_of(keys: Sequence[tuple[int, int]]) -> None:
        for number, first in keys:
            read(number, first)

    return all_of


def _bank_readers(name: str, store: Store) -> dict[str, TIMED]:
    bank = store.bank("clip")
    names = bank.videos()
    half = WINDOW // 2

    def copies(keys: Sequence[tuple[int, int]]) -> None:
        for number, first in keys:
            np.array(bank.window(names[number], first + half, float(WINDOW)).rows)

    def views(keys: Sequence[tuple[int, int]]) -> None:
        for number, first in keys:
            bank.window(names[number], first + half, float(WINDOW))

    def gather(keys: Sequence[tuple[int, int]]) -> None:
        for some in _split(keys):
            bank.gather([(names[number], first + half) for number, first in some], float(WINDOW))

    return {name: copies, f"{name}, as a view": views, f"{name}, gather of {BATCH}": gather}


def _checked(read: READER, rows: Rows) -> READER:
    """The reader, once it has given the numbers that were written."""
    for number, first in ((0, 0), (rows.num_films - 1, 60), (rows.num_films // 2, 33)):
        np.testing.assert_array_equal(read(number, first), rows.expected(number, first))
    return read


def _keys(rows: Rows, count: int, seed: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    films = rng.integers(0, rows.num_films, count)
    firsts = rng.integers(0, rows.rows_per_film - WINDOW + 1, count)
    return list(zip(films.tolist(), firsts.tolist(), strict=True))


def _in_turns(readers: Mapping[str, TIMED], rows: Rows) -> dict[str, float]:
    """Median windows a second; the readers take turns, so that a slow moment falls on all alike."""
    every = [(number, first) for number in range(rows.num_films) for first in (0, 60)]
    counts: dict[str, int] = {}
    for name, read in readers.items():
        read(every)  # All pages are in memory and mapped after this.
        probe = _keys(rows, 4 * BATCH, seed=0)
        seconds = _seconds(read, probe)
        counts[name] = max(BATCH, int(len(probe) * SECONDS / seconds) // BATCH * BATCH)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(TURNS):
        for name, read in readers.items():
            keys = _keys(rows, counts[name], seed=turn + 1)
            rates[name].append(len(keys) / _seconds(read, keys))
    return {name: statistics.median(found) for name, found in rates.items()}


def _seconds(read: TIMED, keys: Sequence[tuple[int, int]]) -> float:
    start = time.perf_counter()
    read(keys)
    return time.perf_counter() - start


def make_bank(folder: Path | str, rows: Rows, compression: str = "none") -> Store:
    """A store with a group for each film, one row at each second."""
    store = open_store(folder, create=True)
    films = enumerate(rows.films())
    # The same files, without waiting for the disk with each.
    with mock.patch("os.fsync"):
        while some := list(itertools.islice(films, VIDEOS_PER_COMMIT)):
            _commit(store, some, compression)
    bank = store.bank("clip")
    for number in (0, rows.num_films - 1):
        found = bank.window(f"{number:06d}.mp4", 40.0, float(WINDOW)).rows
        np.testing.assert_array_equal(found, rows.expected(number, 10))
    return store


def _commit(store: Store, films: Sequence[tuple[int, np.ndarray]], compression: str) -> None:
    attempt, units, groups = store.new_attempt(), [], []
    for number, film in films:
        unit = _unit(number, len(film))
        group = store.write_bank(
            "clip",
            key=f"{number:06d}",
            attempt=attempt,
            rows=film,
            times=np.arange(len(film), dtype=np.float64),
            first=np.arange(len(film) + 1),
            units=[unit],
            compression=compression,
        )
        groups.append(group)
        units.append(replace(unit, group=group.path))
    store.commit("bank:clip", units, groups, run="benchmark", attempt=attempt)


def _unit(number: int, num_rows: int) -> Unit:
    return Unit(
        video_id=f"{number:06d}.mp4",
        digest="generated",
        stage="bank:clip",
        start_seconds=0.0,
        end_seconds=float("inf"),
        key=f"film {number}",
        num_rows=num_rows,
        num_times=num_rows,
        details={"bank": {"kind": "clip", "key_step_seconds": 1.0}},
    )


def _cold(store: Store, rows: Rows) -> float:
    """Windows a second where nothing of them is in the cache yet: one of each film."""
    bank, names = store.bank("clip"), store.bank("clip").videos()
    names = names[: min(len(names), 300)]
    start = time.perf_counter()
    for name in names:
        np.array(bank.window(name, 60.0, float(WINDOW)).rows)
    return len(names) / (time.perf_counter() - start)


def measure_s3(where: Path | None, num_windows: int) -> dict[str, Any] | None:
    """Seconds of single windows and of one gather of a film of an hour, the cache cold."""
    try:
        from tests.s3.server import s3_server
    except ImportError:
        return None
    rows = Rows(1, 3600, 2304)
    rng = np.random.default_rng(0)
    times = rng.integers(30, 3570, num_windows).astype(float).tolist()
    with _folder(where) as folder, s3_server() as server:
        store = make_bank(server.new_uri(), rows)
        single = 0.0
        for number, t in enumerate(times):
            single += _cold_seconds(store, folder / f"single-{number}", [t])
        joined = _cold_seconds(store, folder / "gather", times)
        with mock.patch.dict(os.environ, REELBANK_CACHE_DIR=str(folder / "gather")):
            bank = store.bank("clip")
            bank.gather([("000000.mp4", t) for t in times], float(WINDOW))
            start = time.perf_counter()
            for _ in range(20):
                for t in times:
                    np.array(bank.window("000000.mp4", t, float(WINDOW)).rows)
            warm = 20 * num_windows / (time.perf_counter() - start)
    return {
        "windows": num_windows,
        "single_seconds": single,
        "gather_seconds": joined,
        "gather_over_single": joined / single,
        "warm_rate": warm,
    }


def _cold_seconds(store: Store, cache: Path, times: Sequence[float]) -> float:
    """Of a gather by a bank that was just opened, its cache empty; the opening does not count."""
    with mock.patch.dict(os.environ, REELBANK_CACHE_DIR=str(cache)):
        bank = store.bank("clip")
        keys = [("000000.mp4", t) for t in times]
        start = time.perf_counter()
        bank.gather(keys, float(WINDOW))
        return time.perf_counter() - start


def measure_index_memory(where: Path | None, num_parts: int = 10_000) -> list[dict[str, Any]]:
    """Anonymous memory and time of opening a bank of 1 and of 100 million rows, all its parts."""
    found = []
    for num_rows in (1_000_000, 100_000_000):
        with _folder(where) as folder:
            make_bank(folder / "bank", Rows(num_parts, num_rows // num_parts, 1))
            command = [sys.executable, "-m", "tests.benchmarks.stores_memory", str(folder / "bank")]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append({"rows": num_rows, "parts": num_parts} | json.loads(printed))
    return found


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Windows a second as bars, the fastest on top; logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = [found["many"], found["formats"]]
    heights = [len(panel["rates"]) for panel in panels]
    figure, axes = pyplot.subplots(
        2,
        1,
        figsize=(10, 1.8 + 0.36 * sum(heights)),
        height_ratios=heights,
        sharex=True,
        layout="constrained",
    )
    for axis, panel in zip(axes, panels, strict=True):
        rates = dict(sorted(panel["rates"].items(), key=lambda item: item[1]))
        reference = panel["rates"][REFERENCE]
        colours = ["#1f6f8b" if name.startswith("bank") else "#b0b7bf" for name in rates]
        axis.barh(list(rates), list(rates.values()), color=colours, height=0.72)
        for place, rate in enumerate(rates.values()):
            label = f" {rate:,.0f}   ({rate / reference:.2g} ×)"
            paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axis.text(rate * 1.03, place, label, va="center", fontsize=9, bbox=paper)
        axis.axvline(reference, color="#444444", linewidth=0.8, linestyle=":", zorder=0)
        axis.set_xscale("log")
        axis.set_title(f"{panel['films']:,} films of 120 rows", loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
    fastest = max(rate for panel in panels for rate in panel["rates"].values())
    axes[0].set_xlim(right=fastest * 12)
    axes[-1].set_xlabel("windows of 60 × 2304 float16 a second, warm (× the .npy memory map)")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    for panel in (found["many"], found["formats"]):
        table = Table("reader", "windows/s", "/ memory map", title=f"{panel['films']} films")
        reference = panel["rates"][REFERENCE]
        for name, rate in sorted(panel["rates"].items(), key=lambda item: -item[1]):
            table.add_row(name, f"{rate:,.0f}", f"{rate / reference:.3f}")
        console.print(table)
    if found["s3"] is not None:
        s3 = found["s3"]
        console.print(
            f"S3, cold: {s3['windows']} windows one by one {s3['single_seconds']:.2f} s, one "
            f"gather {s3['gather_seconds']:.2f} s; ratio {s3['gather_over_single']:.3f}; warm "
            f"{s3['warm_rate']:,.0f} windows/s"
        )
    for line in found.get("index_memory", ()):
        console.print(
            f"{line['rows']:,} rows in {line['parts']:,} parts: open {line['open_seconds']:.2f} s, "
            f"all parts {line['touch_seconds']:.1f} s; anonymous memory {line['base_mb']:.0f} MB "
            f"before, {line['open_mb']:.0f} MB open, {line['touched_mb']:.0f} MB with every part "
            f"mapped"
        )


if __name__ == "__main__":
    main()
