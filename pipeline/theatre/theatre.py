"""The benchmark as a folder: films, their labels in public formats, and the known ceilings."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reelbank.pipeline.theatre.annotations import FilmRows, film_rows, write_annotations
from reelbank.pipeline.theatre.ceilings import ceilings, write_ceilings
from reelbank.pipeline.theatre.performance import Performance
from reelbank.pipeline.theatre.play import Play, PlayConfig, write_play
from reelbank.pipeline.theatre.sizes import TheatreSize, size_named
from reelbank.pipeline.theatre.windows import check_supports
from reelbank.pipeline.theatre.writer import FilmWriter

THEATRE_VERSION = 1
"""Raised when the same seed gives other films or labels than before."""


@dataclass(frozen=True, slots=True)
class Theatre:
    """Where the parts of a benchmark lie."""

    films: Path
    """Folder of the films; they are named by split and number."""
    annotations: Path
    """Folder of the labels; see `annotations`."""
    boxes: Path
    """Folder for the `labels` detector."""
    ceilings: Path
    """JSON file; `ceilings.read_ceilings` reads it."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One film to be made."""

    path: Path
    split: str
    config: PlayConfig


def theatre_at(folder: Path) -> Theatre:
    """Where the parts of the benchmark in `folder` lie, made or not."""
    annotations = folder / "annotations"
    return Theatre(folder / "films", annotations, annotations / "boxes", folder / "ceilings.json")


def make_theatre(
    folder: Path,
    size: str | TheatreSize = "small",
    *,
    seed: int = 0,
    processes: int = 2,
    on_film: Callable[[str, int, int], None] | None = None,
) -> Theatre:
    """Make the benchmark of a size in `folder`; films that are there are not made again.

    Sizes share films: those of one and the same seed, length and difficulty are the same, by their
    number, whatever their split. What was trained on one size is to be tested with another seed.
    `on_film` is called after each film with its name, how many are done and how many there are.
    Raises ValueError where the size is unknown or not possible, or the folder holds another
    benchmark.
    """
    if processes < 1:
        raise ValueError(f"processes={processes} is not possible; use 1 or more")
    found, plan = theatre_at(folder), size_named(size) if isinstance(size, str) else size
    name = size if isinstance(size, str) else "custom"
    about = {"version": THEATRE_VERSION, "size": name, "seed": seed, **asdict(plan)}
    jobs = _jobs(found.films, plan, seed)
    check_supports(plan.difficulty, plan.supports)
    _claim(folder, about)
    found.films.mkdir(exist_ok=True)
    films = []
    for done, rows in enumerate(_made(jobs, processes), start=1):
        films.append(rows)
        if on_film is not None:
            on_film(rows.name, done, len(jobs))
    write_annotations(found.annotations, films)
    if not found.ceilings.exists():
        # Those of the test films: they are what a model is measured on.
        tests = [plan.seconds] * plan.num_films["test"]
        known = ceilings(plan.difficulty, supports=plan.supports, film_seconds=tests)
        draft = found.ceilings.with_suffix(".part")
        write_ceilings(draft, known, about=about)
        os.replace(draft, found.ceilings)
    return found


def film_seed(seed: int, number: int) -> int:
    """Seed of film `number` of a benchmark, far from those of other seeds."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _claim(folder: Path, about: dict[str, object]) -> None:
    """Note in the folder what it holds; ValueError where it holds something else."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "theatre.json"
    wanted = json.dumps(about, indent=1) + "\n"
    if note.exists() and note.read_text() != wanted:
        raise ValueError(
            f"{folder} holds a benchmark of another size, seed or version ({note.name}); "
            "give another folder, or remove it"
        )
    note.write_text(wanted)


def _jobs(films: Path, plan: TheatreSize, seed: int) -> list[_Job]:
    jobs: list[_Job] = []
    for split, count in plan.num_films.items():
        for number in range(count):
            config = PlayConfig(
                seed=film_seed(seed, len(jobs)),
                seconds=plan.seconds,
                width=plan.width,
                height=plan.height,
                rate=plan.rate,
                difficulty=plan.difficulty,
            )
            jobs.append(_Job(films / f"{split}_{number:03d}.mp4", split, config))
    return jobs


def _made(jobs: list[_Job], processes: int) -> Iterator[FilmRows]:
    """Labels of each film, in order, as soon as it is there."""
    if processes == 1:
        yield from map(_make, jobs)
        return
    # Fresh processes: a forked one would inherit threads and locks of the libraries in use.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        yield from pool.map(_make, jobs)


def write_film(path: Path, play: Play) -> None:
    """Draw and encode a play; what a second looks like does not depend on earlier seconds."""
    config = play.config
    with FilmWriter(
        path,
        width=config.width,
        height=config.height,
        rate=config.rate,
        separate_seconds=True,
    ) as writer:
        for picture in Performance(play).pictures():
            writer.write(picture)


def _make(job: _Job) -> FilmRows:
    play = write_play(job.config)
    if not job.path.exists():
        # A film appears under its name when it is whole.
        draft = job.path.with_name(f"{job.path.stem}.part{job.path.suffix}")
        write_film(draft, play)
        os.replace(draft, job.path)
    return film_rows(play, name=job.path.stem, split=job.split)
