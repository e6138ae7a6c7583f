"""Row i of every bank and table has seen the frames that its time says."""

import random
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reelbank.pipeline.plan import Plan
from reelbank.stores.care.verify import verify
from reelbank.stores.store import Store, open_store
from tests.jobs.canary import NUM_FRAMES, RECIPE, install, things
from tests.jobs.extraction import extract, lines
from tests.shared_data import ROOT
from tests.videos import numbered_frame, write_video

WIDTH, HEIGHT = 320, 240
STRIDE = 4


@dataclass(frozen=True)
class Film:
    """A video of numbered frames with the stamps that were given to them."""

    path: Path
    stamps: tuple[Fraction, ...]
    """Seconds from the first frame, exact, rising."""
    native_rate: Fraction

    def number_at(self, seconds: Fraction) -> int:
        """The last frame whose stamp is not later; the first one before there is any."""
        return max(bisect_right(self.stamps, seconds) - 1, 0)

    def key_times(self, step: Fraction) -> list[Fraction]:
        """Multiples of the step up to the last frame's stamp."""
        return [step * k for k in range(int(self.stamps[-1] / step) + 1)]

    def clip_at(self, key: Fraction, rate: Fraction, stride: int) -> list[int]:
        """Numbers of the frames of the clip around a key time, on a grid of `rate`."""
        half = Fraction(NUM_FRAMES * stride, 2)
        return [self.number_at(key + (i * stride - half) / rate) for i in range(NUM_FRAMES)]


def constant(folder: Path) -> Film:
    stamps = tuple(Fraction(i, 25) for i in range(200))
    path = write_video(folder / "constant.mp4", map(_frame, range(200)), rate=25)
    return Film(path, stamps, Fraction(25))


def ntsc_with_b_frames(folder: Path) -> Film:
    rate = Fraction(30000, 1001)
    stamps = tuple(i / rate for i in range(240))
    path = write_video(folder / "ntsc.mp4", map(_frame, range(240)), rate=rate, bframes=3, gop=48)
    return Film(path, stamps, rate)


def variable(folder: Path) -> Film:
    """Gaps of 10 ms to 0.9 s in Matroska's milliseconds."""
    gaps = random.Random(7).choices([10, 20, 40, 80, 120, 900], [4, 4, 8, 4, 2, 0.3], k=179)
    stamps = [Fraction(0)]
    for gap in gaps:
        stamps.append(stamps[-1] + Fraction(gap, 1000))
    path = write_video(
        folder / "variable.mkv", map(_frame, range(180)), times=[float(s) for s in stamps]
    )
    return Film(path, tuple(stamps), 179 / (stamps[-1] - stamps[0]))


def late(folder: Path) -> Film:
    """Stamps begin at 5.3 s."""
    stamps = tuple(Fraction(i, 25) for i in range(200))
    path = write_video(folder / "late.ts", map(_frame, range(200)), rate=25, start=5.3)
    return Film(path, stamps, Fraction(25))


def rotated(folder: Path) -> Film:
    """Coded lying; stands upright when turned counter-clockwise by 90 degrees."""
    stamps = tuple(Fraction(i, 24) for i in range(168))
    upright = (numbered_frame(i, HEIGHT, WIDTH) for i in range(168))
    lying = (np.ascontiguousarray(np.rot90(rgb, -1)) for rgb in upright)
    path = write_video(folder / "rotated.mp4", lying, rate=24, rotation=90)
    return Film(path, stamps, Fraction(24))


def _frame(index: int) -> NDArray[np.uint8]:
    return numbered_frame(index, WIDTH, HEIGHT)


MAKERS = [constant, ntsc_with_b_frames, variable, late, rotated]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Film:
    made: Film = request.param(tmp_path_factory.mktemp("film"))
    return made


@pytest.fixture(autouse=True)
def _canary() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        yield


def in_random_order(seed: int, found: Plan) -> Plan:
    parts = list(found.parts)
    random.Random(seed).shuffle(parts)
    return replace(found, parts=tuple(parts))


def part_minutes(film: Film, parts: int) -> str:
    return f"part_minutes={float(film.stamps[-1]) / parts / 60}"


def check_everything(
    store: Store,
    film: Film,
    *,
    step: Fraction = Fraction(1),
    rate: Fraction = Fraction(30),
    stride: int = STRIDE,
) -> None:
    """Every row and every line against the stamps and the rules of the design page alone."""
    video = film.path.name
    keys = film.key_times(step)
    shown = [things(film.number_at(key)) for key in keys]
    check_scores(store, film)
    check_detections(store, video, keys, shown)
    clips = np.array([film.clip_at(key, rate, stride) for key in keys], np.float32)
    clip, grid = store.bank("clip"), store.bank("grid")
    for bank in (clip, grid):
        np.testing.assert_allclose(bank.times(video), np.array(keys, float), rtol=0, atol=1e-9)
        assert bank.counts(video).tolist() == [1] * len(keys)
    np.testing.assert_allclose(clip.rows(video)[:, :NUM_FRAMES], clips, atol=0.01)
    cells = grid.rows(video).reshape(len(keys), 4, -1)
    np.testing.assert_allclose(cells[..., :NUM_FRAMES], np.repeat(clips[:, None], 4, 1), atol=0.01)
    check_person(store, video, clips, shown)
    check_object(store, video, shown)


def check_scores(store: Store, film: Film) -> None:
    scores = lines(store, "scores", film.path.name)
    np.testing.assert_allclose(
        scores["time"].to_numpy(), np.array(film.stamps, float), rtol=0, atol=1e-6
    )
    assert scores["score"].null_count == 1
    assert scores["score"][0].as_py() is None
    stored = store.sql("SELECT decoded_frames, corrupt_frames, status FROM videos").to_pylist()
    assert stored == [{"decoded_frames": len(film.stamps), "corrupt_frames": 0, "status": "ok"}]


def check_detections(store: Store, video: str, keys: Sequence[Fraction], shown: list) -> None:
    table = lines(store, "detections", video)
    counts = [len(found) for found in shown]
    np.testing.assert_allclose(
        table["time"].to_numpy(), np.repeat(np.array(keys, float), counts), rtol=0, atol=1e-9
    )
    assert table["rank"].to_pylist() == [rank for count in counts for rank in range(count)]
    assert table["category"].to_pylist() == [name for found in shown for name in found.categories]
    boxes = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
    np.testing.assert_array_equal(boxes, np.concatenate([found.boxes for found in shown]))
    looks = np.stack([np.frombuffer(look, np.uint8) for look in table["appearance"].to_pylist()])
    np.testing.assert_array_equal(looks, np.concatenate([found.appearance for found in shown]))


def check_person(store: Store, video: str, clips: NDArray[np.float32], shown: list) -> None:
    """A row for each person in the order of the detections, from its clip and its own box."""
    bank = store.bank("person")
    people = [found.boxes[[name == "person" for name in found.categories]] for found in shown]
    counts = [len(boxes) for boxes in people]
    assert bank.counts(video).tolist() == counts
    rows = bank.rows(video)
    np.testing.assert_allclose(rows[:, :NUM_FRAMES], np.repeat(clips, counts, axis=0), atol=0.01)
    x1, y1, x2, y2 = np.concatenate(people).T
    # The largest of seven bins: the middle of the last one.
    np.testing.assert_allclose(rows[:, -2], x1 + (x2 - x1) * 6.5 / 7, atol=0.02)
    np.testing.assert_allclose(rows[:, -1], y1 + (y2 - y1) * 6.5 / 7, atol=0.02)


def check_object(store: Store, video: str, shown: list) -> None:
    bank = store.bank("object")
    assert bank.counts(video).tolist() == [len(found) for found in shown]
    np.testing.assert_array_equal(
        bank.rows(video), np.concatenate([found.features for found in shown])
    )


@pytest.mark.parametrize("parts", [1, 5])
def test_every_row_has_seen_the_frames_that_its_time_says(
    film: Film, parts: int, tmp_path: Path
) -> None:
    done = extract(
        film.path,
        tmp_path / "store",
        *RECIPE,
        part_minutes(film, parts),
        arrange=lambda found: in_random_order(parts, found),
    )
    assert len(done.plan.parts) == parts
    check_everything(done.store, film)
    assert verify(done.store).is_sound


@pytest.mark.parametrize(
    ("step", "clip_rate", "stride"),
    [(Fraction(1, 2), "30", 4), (Fraction(3, 10), "24", 7), (Fraction(2), "native", 3)],
    ids=["a half-second step", "a step that divides nothing", "the native grid"],
)
def test_steps_and_grids_are_honoured_in_four_parts(
    film: Film, step: Fraction, clip_rate: str, stride: int, tmp_path: Path
) -> None:
    done = extract(
        film.path,
        tmp_path / "store",
        *RECIPE,
        f"key_step_seconds={float(step)}",
        f"backbones.main.clip_rate={clip_rate}",
        f"backbones.main.stride={stride}",
        "tracks.max_gap_seconds=4",
        part_minutes(film, 4),
        arrange=lambda found: in_random_order(1, found),
    )
    rate = film.native_rate if clip_rate == "native" else Fraction(clip_rate)
    check_everything(done.store, film, step=step, rate=rate, stride=stride)


@pytest.mark.parametrize(
    "maker", [variable, *(pytest.param(one, marks=pytest.mark.slow) for one in (late, rotated))]
)
def test_rows_are_right_after_a_kill(maker: Callable[[Path], Film], tmp_path: Path) -> None:
    """Killed between two of its 27 commits, then finished by another process."""
    film = maker(tmp_path)
    store = tmp_path / "store"
    overrides = [part_minutes(film, 4)]
    program = [sys.executable, "-m", "tests.jobs.canary", str(film.path), str(store), *overrides]
    commits = store / "commits"
    wanted = random.Random(film.path.name).randint(2, 20)
    with subprocess.Popen(program, cwd=ROOT) as child:
        while child.poll() is None and _count(commits) < wanted:
            time.sleep(0.002)
        child.kill()
    committed = {commit.name for commit in open_store(store).commits()}
    assert len(committed) >= wanted
    done = extract(film.path, store, *RECIPE, *overrides)
    assert committed <= {commit.name for commit in done.store.commits()}
    check_everything(done.store, film)
    assert verify(done.store).is_sound


def _count(folder: Path) -> int:
    return len(list(folder.glob("*.json"))) if folder.is_dir() else 0


@pytest.mark.parametrize("parts", [1, 4])
def test_shots_begin_at_the_frames_where_the_colours_change(parts: int, tmp_path: Path) -> None:
    cuts = [37, 90, 151]
    stamps = [Fraction(0)]
    for gap in random.Random(3).choices([20, 40, 60], k=199):
        stamps.append(stamps[-1] + Fraction(gap, 1000))
    path = write_video(
        tmp_path / "colours.mkv",
        (_coloured(index, sum(index >= cut for cut in cuts)) for index in range(200)),
        times=[float(stamp) for stamp in stamps],
    )
    done = extract(
        path,
        tmp_path / "store",
        f"part_minutes={float(stamps[-1]) / parts / 60}",
        recipe="shots",
        arrange=lambda found: in_random_order(2, found),
    )
    assert len(done.plan.parts) == parts
    shots = lines(done.store, "shots", path.name)
    assert shots["start_frame"].to_pylist() == [0, *cuts]
    assert shots["end_frame"].to_pylist() == [*cuts, 200]
    expected = [0.0, *(float(stamps[cut]) for cut in cuts)]
    np.testing.assert_allclose(shots["start_seconds"].to_numpy(), expected, atol=1e-9)


def _coloured(index: int, shot: int) -> NDArray[np.uint8]:
    """A stripe that wanders over a ground of the shot's own colour."""
    rgb = np.empty((120, 160, 3), np.uint8)
    rgb[:] = [(200, 40, 40), (40, 60, 200), (230, 220, 60), (30, 120, 50)][shot]
    rgb[:, index % 150 : index % 150 + 10] = 128
    return rgb
