from dataclasses import replace

import numpy as np
import pytest

from reelbank.pipeline.theatre.performance import Performance
from reelbank.pipeline.theatre.play import PlayConfig, write_play
from reelbank.pipeline.theatre.puppets import COATS
from reelbank.pipeline.theatre.roles import COLOURS
from reelbank.pipeline.theatre.sprites import paste


def drawn_alone(stage, member, number):
    """Pixels that one puppet and what it holds cover, whatever is drawn over it."""
    shot = stage.shot(number)
    acting = stage._timeline.at(member, number)
    covered = None
    for grey in (0, 255):
        config = stage._play.config
        picture = np.full((config.height, config.width, 3), grey, np.uint8)
        before = picture.copy()
        for piece in stage._pieces(member, acting, shot):
            paste(picture, piece.sprite, x=piece.x, ground=piece.ground)
        changed = (picture != before).any(axis=2)
        covered = changed if covered is None else covered | changed
    return np.argwhere(covered)[:, ::-1]


@pytest.mark.parametrize("size", [(96, 64), (160, 96), (320, 180)])
def test_boxes_enclose_every_drawn_pixel_of_a_puppet_and_no_wider(size):
    play = write_play(PlayConfig(seed=3, seconds=120, width=size[0], height=size[1]))
    stage = Performance(play)
    for number in range(0, play.config.num_frames, 37):
        people = [one for one in stage.placed(number) if one.category == "person"]
        assert [one.member for one in people] == [0, 1, 2, 3]
        for one in people:
            pixels = drawn_alone(stage, one.member, number)
            x1, y1, x2, y2 = one.box
            assert tuple(pixels.min(axis=0)) == (x1, y1)
            assert tuple(pixels.max(axis=0) + 1) == (x2, y2)


def test_each_puppet_shows_its_coat_at_the_middle_of_its_box():
    play = write_play(PlayConfig(seed=8, seconds=60))
    stage = Performance(play)
    coats = np.array([COATS[name] for name in COLOURS], float)
    coats /= np.linalg.norm(coats, axis=1, keepdims=True)
    right = total = 0
    for number in range(0, play.config.num_frames, 16):
        picture = stage.picture(number).astype(float)
        for one in stage.placed(number)[:4]:
            x1, y1, x2, y2 = one.box
            third, half = (x2 - x1) // 3, (y2 - y1) // 2
            patch = picture[y1 + half : y2, x1 + third : x2 - third].reshape(-1, 3)
            strong = patch[np.ptp(patch, axis=1) > 90]
            votes = (strong / np.linalg.norm(strong, axis=1, keepdims=True)) @ coats.T
            right += np.bincount(votes.argmax(axis=1), minlength=4).argmax() == one.member
            total += 1
    assert right / total > 0.95


def test_things_have_boxes_where_they_are_drawn():
    play = write_play(PlayConfig(seed=3, seconds=200))
    stage = Performance(play)
    names = set()
    for second in range(200):
        for one in stage.placed(second * 8):
            x1, y1, x2, y2 = one.box
            assert 0 <= x1 < x2 <= 160
            assert 0 <= y1 < y2 <= 96
            names.add(one.category)
    assert {"person", "parcel", "phone", "radio", "ball", "lamp"} <= names


def test_the_four_movements_and_both_poses_look_different():
    play = write_play(PlayConfig(seed=1, seconds=20))
    still = [replace(moves[0], kind=0, start=0, end=20) for moves in play.movements]
    clips = {}
    for kind in range(4):
        moves = tuple((replace(one, kind=kind),) for one in still)
        stage = Performance(replace(play, events=(), movements=moves))
        first = stage.shot(0).end_frame
        clips[kind] = np.stack([stage.picture(number) for number in range(min(16, first))])
    assert (clips[0] == clips[0][0]).all()
    for kind in (1, 2, 3):
        moving = (clips[kind] != clips[kind][0]).any(axis=(0, 3)).mean()
        assert moving > 0.03, kind
        for other in range(kind):
            assert (clips[kind] != clips[other]).any(axis=3).mean() > 0.02
