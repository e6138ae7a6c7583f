"""One part: what it reads again from the store, what it refuses, and what it counts."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reelbank.jobs.recipe import load_recipe
from reelbank.jobs.worker import Worker
from reelbank.pipeline import extract as extract_module
from reelbank.pipeline.bank_details import bank_details
from reelbank.pipeline.detect.build import DETECTORS
from reelbank.pipeline.detect.moments import Moment
from reelbank.pipeline.models import Models
from reelbank.pipeline.plan import Part, PartSummary, Span
from reelbank.pipeline.span import extract_span
from reelbank.pipeline.stages import stage_specs
from reelbank.stores.records import Detections, VideoInfo
from reelbank.stores.store import Store, open_store
from tests.jobs import extraction
from tests.jobs.canary import RECIPE, CanaryDetector, install
from tests.jobs.extraction import Extracted
from tests.videos import numbered_frames, write_video

NUM_FRAMES = 60
RATE = 20
ALONE = (
    "detector={kind: hog}",
    "tracks={}",
    "backbones.main={name: canary, short_side: 112}",
    "resources.threads=1",
)
"""Detections and scores, no bank; put on top of the recipe 'shots'."""


@pytest.fixture(autouse=True)
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        yield patch


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    return write_video(path, numbered_frames(NUM_FRAMES, 160, 120), rate=RATE, gop=20)


class Shifted(CanaryDetector):
    """Boxes a little to the right."""

    def __init__(self, by: float) -> None:
        self.by = np.float32(by)

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        return [replace(one, boxes=one.boxes + self.by) for one in super().detect(frames)]


class Forgetful(CanaryDetector):
    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        return [
            Detections(one.boxes[1:], one.scores[1:], one.categories[1:], features=one.features[1:])
            for one in super().detect(frames)
        ]


class Huge(CanaryDetector):
    """Features beyond the range of float16."""

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        return [replace(one, features=one.features + 70_000) for one in super().detect(frames)]


class Broken(CanaryDetector):
    def detect(
        self, frames: Sequence[NDArray[np.uint8]], moments: Sequence[Moment] | None = None
    ) -> list[Detections]:
        raise RuntimeError("the lens is dirty")


def extract(film: Path, store: Path, *overrides: str, recipe: str = "shots") -> Extracted:
    return extraction.extract(film, store, *overrides, recipe=recipe)


def use(patch: pytest.MonkeyPatch, detector: CanaryDetector) -> None:
    patch.setitem(DETECTORS, "hog", lambda config, device: detector)


def failure(done: Extracted) -> str:
    [(video, status)] = done.summary.status.items()
    assert status == "failed"
    return done.summary.errors[video]


def do(part: Part, store: Store, *overrides: str) -> PartSummary:
    """One part, as a worker does it."""
    worker = Worker(store.uri, load_recipe("shots", overrides).resolved(), "run")
    summary = worker.do(part)
    assert isinstance(summary, PartSummary)
    return summary


def info_of(done: Extracted) -> VideoInfo:
    return done.plan.parts[0].spans[0].info


# Detections that are there already.


@pytest.mark.parametrize("detector", [Shifted(0.001), Forgetful()], ids=["moved", "one less"])
def test_rows_of_other_boxes_than_the_stored_ones_are_refused(
    patch: pytest.MonkeyPatch, film: Path, tmp_path: Path, detector: CanaryDetector
) -> None:
    extract(film, tmp_path / "store", *ALONE)
    use(patch, detector)
    added = extract(film, tmp_path / "store", *ALONE, "banks.object.kind=object")
    said = failure(added)
    assert "film.mp4, " in said
    assert " s: the detector now finds" in said
    assert "detections anew" in said
    assert added.committed == set()


def test_last_bits_of_boxes_may_differ(
    patch: pytest.MonkeyPatch, film: Path, tmp_path: Path
) -> None:
    extract(film, tmp_path / "store", *ALONE)
    use(patch, Shifted(0.00003))
    added = extract(film, tmp_path / "store", *ALONE, "banks.object.kind=object")
    assert added.summary.exit_status == 0
    assert added.committed == {("film.mp4", "bank:object")}


@pytest.mark.parametrize("kind", ["person", "object"])
def test_a_bank_does_not_take_absent_detections_for_none(
    film: Path, tmp_path: Path, kind: str
) -> None:
    done = extract(film, tmp_path / "store", *ALONE)
    span = Span(info_of(done), 0.0, float("inf"))
    # Of this recipe there are none, though of another there are.
    changed = (*ALONE, f"banks.new.kind={kind}", "detector.min_score=0.5")
    with pytest.raises(ValueError, match="no detections of this recipe from 0 to inf s"):
        do(Part((span,), ("bank:new",)), done.store, *changed)
    assert do(Part((span,), ("bank:new",)), done.store, *changed[:-1]).committed == ("bank:new",)


# Errors.


def test_the_detectors_own_error_is_reported_not_that_of_a_clip_which_waited(
    patch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(patch, Broken())
    path = write_video(tmp_path / "film.mp4", numbered_frames(300, 160, 120), rate=RATE)
    # The key frames of 0, 5 and 10 s are one batch; after it has failed, only the clip of 10 s is
    # still to come, at 14 s.
    overrides = (
        *RECIPE,
        "key_step_seconds=5",
        "tracks.max_gap_seconds=6",
        "resources.detector_batch=3",
        "backbones.main.batch_size=1",
        "backbones.main.stride=40",
    )
    done = extract(path, tmp_path / "store", *overrides, recipe="default")
    assert failure(done) == "RuntimeError: the lens is dirty"


def test_a_number_too_large_for_the_bank_is_refused_with_the_remedy(
    patch: pytest.MonkeyPatch, film: Path, tmp_path: Path
) -> None:
    use(patch, Huge())
    bank = "banks.object={kind: object, dtype: float16}"
    said = failure(extract(film, tmp_path / "store", *ALONE, bank))
    assert said.startswith("bank 'object': a row holds 700")
    assert "set banks.object.dtype: float32" in said
    wide = extract(film, tmp_path / "store", *ALONE, bank.replace("float16", "float32"))
    assert wide.summary.exit_status == 0
    assert wide.store.bank("object").rows("film.mp4").max() > 70_000


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_file_that_changes_under_way_is_not_committed(
    patch: pytest.MonkeyPatch, film: Path, tmp_path: Path, when: str
) -> None:
    done = extract(film, tmp_path / "store")
    [part] = done.plan.parts
    if when == "before":
        os.utime(film, ns=(10**18, 10**18))
    else:
        span = extract_span

        def then_touch(*arguments, **options):
            output = span(*arguments, **options)
            os.utime(film, ns=(10**18, 10**18))
            return output

        patch.setattr(extract_module, "extract_span", then_touch)
    other = open_store(tmp_path / "other", create=True)
    with pytest.raises(OSError, match="the file changed while") as raised:
        do(part, other)
    assert raised.value.filename == str(film)
    assert other.commits() == []


def test_a_file_that_was_touched_between_runs_is_extracted(film: Path, tmp_path: Path) -> None:
    extract(film, tmp_path / "store", *ALONE)
    os.utime(film, ns=(10**18, 10**18))
    added = extract(film, tmp_path / "store", *ALONE, "banks.clip.kind=clip")
    assert ("film.mp4", "bank:clip") in added.committed


# The schedule.


@pytest.mark.parametrize("parts", [1, 3])
def test_clips_of_one_frame_before_their_key_time_have_a_row_for_each_key_time(
    film: Path, tmp_path: Path, parts: int
) -> None:
    # The clip of 3 s, which does not exist, shows a frame that does.
    done = extract(
        film,
        tmp_path / "store",
        "detector={kind: hog}",
        "banks={person: {kind: person}, clip: {kind: clip}}",
        "backbones.main={num_frames: 1, stride: 30, short_side: 64}",
        "resources.threads=1",
        f"part_minutes={NUM_FRAMES / RATE / parts / 60}",
    )
    assert done.summary.exit_status == 0, done.summary.errors
    for bank in ("person", "clip"):
        assert done.store.bank(bank).times("film.mp4").tolist() == [0.0, 1.0, 2.0]


def test_a_key_time_after_the_last_frame_of_a_part_is_not_lost(film: Path, tmp_path: Path) -> None:
    # 0.99 s lies between the last frame before 1 s and the part that begins there.
    done = extract(
        film,
        tmp_path / "store",
        "banks.clip.kind=clip",
        "backbones.main={num_frames: 1, stride: 30, short_side: 64}",
        "resources.threads=1",
        "shots=null",
        "key_step_seconds=0.33",
        f"part_minutes={1 / 60}",
    )
    times = done.store.bank("clip").times("film.mp4")
    np.testing.assert_allclose(times, np.arange(9) * 0.33)


def test_a_frame_that_is_wanted_many_times_counts_once(film: Path, tmp_path: Path) -> None:
    # The clips of 0 s and 1 s want the first frame on its own arrival and again later.
    done = extract(
        film,
        tmp_path / "store",
        "shots=null",
        "banks.clip.kind=clip",
        "backbones.main={name: canary, short_side: 112, clip_rate: 4}",
        "resources.threads=1",
    )
    # Clips of eight frames at strides of 4 steps of 1/4 s: whole seconds only.
    assert done.summary.frames_used == 4
    assert done.summary.frames == NUM_FRAMES


# Detector banks tell what made them.


def test_an_object_bank_names_the_settings_and_weights_of_its_detector() -> None:
    settings = load_recipe("shots", (*ALONE, "banks.object.kind=object"))
    specs = stage_specs(settings)
    ingredients = {**specs["detections"].ingredients, "weights": "w" * 64, "config_file": "c" * 64}
    specs["detections"] = replace(specs["detections"], ingredients=ingredients)
    details = bank_details("object", settings, specs, Models(settings))
    assert details["weights_digest"] == "w" * 64
    assert details["config_digest"] == "c" * 64
    assert details["detector"] == ingredients["detector"]
    assert details["detector"]["longest_side"] == settings.detector.longest_side
