import hashlib

import av
import numpy as np
import pytest
import scenedetect
from scipy.optimize import linear_sum_assignment

from reelbank.pipeline.detect.config import HogConfig
from reelbank.pipeline.detect.hog import HogDetector
from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.figures import LOOKS
from reelbank.pipeline.theatre.film import demo_films, make_film


@pytest.fixture(scope="module", params=[3, 11], ids=lambda seed: f"seed {seed}")
def film(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    config = FilmConfig(seed=request.param, seconds=24.0)
    return path, config, make_film(path, config)


def pictures(path):
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            yield frame.time, frame.to_ndarray(format="rgb24")


def overlaps(one, other):
    """Intersection over union of every pair of boxes."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def test_the_film_holds_the_frames_that_its_labels_count(film):
    path, config, truth = film
    times = [time for time, _ in pictures(path)]
    assert len(times) == truth.num_frames == config.num_frames
    np.testing.assert_allclose(times, np.arange(config.num_frames) / config.rate, atol=1e-9)


def test_pyscenedetect_finds_exactly_the_known_cuts(film):
    path, _, truth = film
    scenes = scenedetect.detect(str(path), scenedetect.AdaptiveDetector(), backend="pyav")
    assert tuple(start.frame_num for start, _ in scenes[1:]) == truth.cuts
    assert truth.cuts


def test_a_box_holds_the_person_whose_identity_it_carries(film):
    path, config, truth = film
    size = np.array([config.width, config.height] * 2)
    for number, (_, picture) in enumerate(pictures(path)):
        if number % 50:
            continue
        # The nearest person comes last and is hidden by nobody.
        last = np.flatnonzero(truth.frames == number)[-1]
        x1, y1, x2, y2 = truth.boxes[last] * size
        chest = picture[round(y1 + 0.3 * (y2 - y1)), round((x1 + x2) / 2)].astype(int)
        shirts = np.abs(np.array([look.shirt for look in LOOKS]) - chest).sum(axis=1)
        assert shirts.argmin() == truth.people[last]


def test_the_offline_people_detector_sees_the_drawn_people_and_little_else(film):
    path, _, truth = film
    # At the film's own size: enlarged, a drawn head and neck begin to look like a far person.
    detector = HogDetector(HogConfig(longest_side=640, min_score=0.5))
    hits = people = alarms = 0
    for number, (_, picture) in enumerate(pictures(path)):
        if number % 25 != 12:
            continue
        found = detector.detect([picture])[0].boxes
        true = truth.boxes[truth.frames == number]
        good = overlaps(true, found) >= 0.5
        matched = good[linear_sum_assignment(good, maximize=True)].sum()
        hits, people, alarms = hits + matched, people + len(true), alarms + len(found) - matched
    assert hits / people >= 0.9
    assert alarms / people <= 0.1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_film(tmp_path):
    def digest(name, seed):
        make_film(tmp_path / name, FilmConfig(seed=seed, seconds=2.0, width=320, height=180))
        return hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()

    assert digest("one.mp4", 5) == digest("two.mp4", 5)
    assert digest("one.mp4", 5) != digest("three.mp4", 6)


def test_labels_are_inside_the_frame_and_parallel(film):
    _, config, truth = film
    assert len(truth.frames) == len(truth.people) == len(truth.boxes)
    assert set(truth.frames) == set(range(config.num_frames))
    assert np.all(np.diff(truth.frames) >= 0)
    assert truth.boxes.min() >= 0
    assert truth.boxes.max() <= 1
    heights = truth.boxes[:, 3] - truth.boxes[:, 1]
    assert heights.min() * config.height >= 130


@pytest.mark.slow
def test_the_demos_films_are_h264_of_three_minutes_in_all(tmp_path):
    paths = demo_films(tmp_path, seed=0)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "station.mp4",
        "market/evening.mp4",
        "gallery.mkv",
    ]
    seconds = 0.0
    for path in paths:
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            seconds += container.duration / av.time_base
    assert abs(seconds - 180) < 1
