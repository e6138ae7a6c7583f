from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank.pipeline.theatre.config import FilmConfig
from reelbank.pipeline.theatre.script import write_script
from reelbank.pipeline.theatre.sets import SETS, draw_view

films = st.builds(
    FilmConfig,
    seed=st.integers(0, 2**31),
    seconds=st.floats(0.1, 300),
    rate=st.sampled_from([10, 24, 25, 60]),
)


@settings(deadline=None)
@given(films)
def test_shots_follow_one_another_without_gap_and_last_three_to_twelve_seconds(config):
    scenes = write_script(config).scenes
    assert scenes[0].start_frame == 0
    assert scenes[-1].end_frame == config.num_frames
    for before, after in pairwise(scenes):
        assert before.end_frame == after.start_frame
    if config.seconds > 7:
        seconds = [(scene.end_frame - scene.start_frame) / config.rate for scene in scenes]
        assert min(seconds) >= 3
        assert max(seconds) <= 12


@settings(deadline=None)
@given(films)
def test_every_cut_changes_the_camera_and_every_shot_shows_two_to_five_different_people(config):
    scenes = write_script(config).scenes
    for before, after in pairwise(scenes):
        assert (before.set_index, before.camera) != (after.set_index, after.camera)
    for scene in scenes:
        people = [walk.person for walk in scene.walks]
        assert 2 <= len(people) <= 5
        assert len(set(people)) == len(people)


@settings(deadline=None)
@given(films, st.floats(0, 12))
def test_people_stay_in_view_and_never_jump(config, seconds):
    for scene in write_script(config).scenes:
        for walk in scene.walks:
            place, _ = walk.place(seconds)
            later, _ = walk.place(seconds + 0.04)
            assert 0.05 <= place <= 0.95
            assert abs(later - place) <= walk.speed * 0.04 + 1e-9


@settings(deadline=None)
@given(films)
def test_the_seed_alone_decides_the_script(config):
    assert write_script(config) == write_script(config)


def test_no_two_cameras_show_the_same_picture_and_each_shows_it_again():
    views = {}
    for index, stage in enumerate(SETS):
        for camera in range(len(stage.views)):
            views[index, camera] = draw_view(index, camera, width=320, height=180, seed=1)
            again = draw_view(index, camera, width=320, height=180, seed=1)
            np.testing.assert_array_equal(views[index, camera], again)
    pictures = list(views.values())
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(one.astype(int) - other).mean() > 8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seconds", 0.0),
        ("seconds", float("nan")),
        ("rate", 0),
        ("height", 60),
        ("height", 361),
        ("width", 100),
        ("width", 641),
    ],
)
def test_an_impossible_film_is_refused_with_the_field_and_the_value(field, value):
    settings = {"seed": 0, "seconds": 1.0, field: value}
    with pytest.raises(ValueError, match=f"{field}={value}"):
        FilmConfig(**settings)
