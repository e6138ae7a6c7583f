"""How close an extraction comes to what its stages cost, and what bounds it.

Run `python -m tests.benchmarks.extract [--minutes 2] [--long-minutes 20] [--output FILE.json]`.
Three things are measured side by side on a generated 720p H.264 film:

1. the wall time of a whole part against its lower bound: the slowest stage alone (with its decode),
   or the CPU seconds of all stages divided by the cores, whichever is larger;
2. frames decoded for each frame of the film in 1, 2 and 7 parts, and whether the rows are equal;
3. peak memory (PSS over all processes, Ray's included) for a short and for a long film.

Times are of this machine now; only ratios within one run mean anything.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import psutil
from rich.console import Console
from rich.table import Table

from reelbank.jobs.extract import Extraction, ExtractRequest
from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.sources import Source
from reelbank.jobs.worker import Unreadable, look_at
from reelbank.pipeline.decode.reader import PyAVReader
from reelbank.pipeline.models import Models
from reelbank.pipeline.plan import Span
from reelbank.pipeline.settings import ExtractSettings
from reelbank.pipeline.span import extract_span
from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.film import make_film
from reelbank.stores.records import VideoInfo
from reelbank.stores.store import Store, open_store

PART_STAGES = ("scores", "detections", "bank:person", "bank:clip")
STAGES_ALONE = ("scores", "detections", "bank:clip")
"""Stages that do work of their own; the person bank pools the clips of `bank:clip`."""
TABLES = ("scores", "detections", "shots", "tracks", "links")
BANKS = ("person", "clip")
REPEATS = 3
SAMPLE_SECONDS = 0.25


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--long-minutes", type=float, default=20.0, help="0: leave memory out")
    parser.add_argument("--output", type=Path, default=Path("benchmarks-out/extract.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelbank-benchmark-") as folder:
        film = _film(Path(folder), options.minutes)
        found: dict[str, Any] = {
            "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
            "overlap": measure_overlap(film),
            "parts": measure_parts(film, Path(folder), options.minutes),
        }
        if options.long_minutes:
            times = round(options.long_minutes / options.minutes)
            found["memory"] = measure_memory(film, Path(folder), times)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1))
    show(found, Console())


def _film(folder: Path, minutes: float) -> Path:
    path = folder / f"film_{minutes:g}min.mp4"
    make_film(path, FilmConfig(seed=1, seconds=60 * minutes, width=1280, height=720))
    return path


def _repeated(film: Path, times: int) -> Path:
    """The film played `times` times over: the same packets, not encoded again."""
    path = film.with_name(f"{film.stem}_x{times}.mp4")
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        length = max(packet.pts for packet in packets) + packets[-1].duration
        ticks = [(packet.pts, packet.dts) for packet in packets]
        for number in range(times):
            for packet, (pts, dts) in zip(packets, ticks, strict=True):
                packet.stream = copy
                packet.time_base = stream.time_base
                packet.pts, packet.dts = pts + number * length, dts + number * length
                target.mux(packet)
    return path


def measure_overlap(film: Path) -> dict[str, Any]:
    """Wall and CPU seconds of decoding, of each stage alone, and of all stages in one pass."""
    settings = load_recipe().resolved()
    models = Models(settings)
    models.detector()
    models.backbone("main")
    info = _info(film)
    span = Span(info, 0.0, float("inf"))
    warm_up = Span(replace(info, end_seconds=2.0), 0.0, 2.0)
    extract_span(warm_up, PART_STAGES, models=models, settings=settings, stored=None)

    def stages(*names: str) -> Callable[[], object]:
        return lambda: extract_span(span, names, models=models, settings=settings, stored=None)

    runs: dict[str, Callable[[], object]] = {"decode": lambda: _decode(info, settings)}
    runs |= {name: stages(name) for name in STAGES_ALONE} | {"all": stages(*PART_STAGES)}
    # Taken in turns, so that a slow moment of the machine falls on all alike; the best counts.
    costs = {name: {"wall": float("inf"), "cpu": float("inf")} for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            cost = _cost(run)
            costs[name] = {key: min(costs[name][key], cost[key]) for key in cost}
    decode_cpu = costs["decode"]["cpu"]
    own_cpu = {name: max(costs[name]["cpu"] - decode_cpu, 0.0) for name in STAGES_ALONE}
    cpu_bound = (decode_cpu + sum(own_cpu.values())) / (os.cpu_count() or 1)
    slowest = max(STAGES_ALONE, key=lambda name: costs[name]["wall"])
    bound = max(costs[slowest]["wall"], cpu_bound)
    return {
        "film_seconds": info.end_seconds,
        "costs": costs,
        "own_cpu": {"decode": decode_cpu} | own_cpu,
        "slowest_alone": slowest,
        "cpu_bound": cpu_bound,
        "bound": bound,
        "wall": costs["all"]["wall"],
        "wall_over_bound": costs["all"]["wall"] / bound,
        "limit": slowest if bound > cpu_bound else "arithmetic of all stages on all cores",
        "times_real_time": info.end_seconds / costs["all"]["wall"],
    }


def _info(film: Path) -> VideoInfo:
    found = look_at(Source(film.name, str(film)))
    if isinstance(found, Unreadable):
        raise RuntimeError(found.error)
    return found.info


def _decode(info: VideoInfo, settings: ExtractSettings) -> None:
    with PyAVReader(info.source, info, threads=settings.decode.threads) as reader:
        for frame in reader:
            _ = frame.rgb


def _cost(run: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def measure_parts(film: Path, folder: Path, minutes: float) -> list[dict[str, Any]]:
    """Frames decoded over frames of the film, and equality with the uncut run."""
    lines: list[dict[str, Any]] = []
    uncut: Store | None = None
    for count in (1, 2, 7):
        request = ExtractRequest(
            inputs=(str(film),),
            store=str(folder / f"store_{count}"),
            settings=load_recipe("default", [f"part_minutes={minutes / count}"]),
            engine="inline",
        )
        job = Extraction(request, Console(file=open(os.devnull, "w")))  # noqa: SIM115
        summary = job.execute(job.plan())
        store = open_store(request.store)
        uncut = uncut or store
        lines.append(
            {
                "parts": count,
                "frames": summary.frames,
                "decoded": summary.frames_decoded,
                "ratio": summary.frames_decoded / summary.frames,
                "equal": {
                    **{name: _same_table(name, uncut, store, film.name) for name in TABLES},
                    **{name: _same_bank(name, uncut, store, film.name) for name in BANKS},
                },
            }
        )
    return lines


def _same_table(name: str, one: Store, other: Store, video: str) -> bool:
    tables = [store.table(name, video) for store in (one, other)]
    order = [(column, "ascending") for column in tables[0].column_names if column != "appearance"]
    return tables[0].sort_by(order).equals(tables[1].sort_by(order))


def _same_bank(name: str, one: Store, other: Store, video: str) -> bool:
    rows = [store.bank(name).rows(video) for store in (one, other)]
    return rows[0].tobytes() == rows[1].tobytes() and rows[0].shape == rows[1].shape


def measure_memory(film: Path, folder: Path, times: int) -> dict[str, Any]:
    """Peak PSS of a run's whole process tree, for the film and for the film `times` over."""
    short, long = (_peak(one, folder) for one in (film, _repeated(film, times)))
    return {"peak_mb": {"short": short, "long": long}, "times": times, "ratio": long / short}


def _peak(film: Path, folder: Path) -> float:
    command = [sys.executable, "-m", "reelbank.jobs.cli", "extract", str(film)]
    command += ["--store", str(folder / f"memory_{film.stem}")]
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _tree_pss(process.pid))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return peak / 1e6


def _tree_pss(root: int) -> float:
    total = 0.0
    try:
        processes = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return total
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what was measured."""
    overlap = found["overlap"]
    table = Table("stage", "wall s", "CPU s", "own CPU s", title="720p H.264, one part")
    for name, cost in overlap["costs"].items():
        own = overlap["own_cpu"].get(name)
        table.add_row(
            name,
            f"{cost['wall']:.1f}",
            f"{cost['cpu']:.1f}",
            "" if own is None else f"{own:.1f}",
        )
    console.print(table)
    console.print(
        f"wall / bound = {overlap['wall']:.1f} / {overlap['bound']:.1f} = "
        f"{overlap['wall_over_bound']:.2f}; limit: {overlap['limit']}; "
        f"{overlap['times_real_time']:.1f} x real time"
    )
    table = Table("parts", "frames", "decoded", "decoded / frames", "equal to uncut")
    for line in found["parts"]:
        different = [name for name, same in line["equal"].items() if not same]
        table.add_row(
            str(line["parts"]),
            str(line["frames"]),
            str(line["decoded"]),
            f"{line['ratio']:.2f}",
            "yes" if not different else f"differs: {', '.join(different)}",
        )
    console.print(table)
    if "memory" in found:
        memory = found["memory"]
        console.print(
            f"peak memory: {memory['peak_mb']['short']:.0f} MB, for a film {memory['times']} times "
            f"as long {memory['peak_mb']['long']:.0f} MB; ratio {memory['ratio']:.3f}"
        )


if __name__ == "__main__":
    main()
