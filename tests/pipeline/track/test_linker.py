"""Links by hand and by the rules that hold for any input."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbank.pipeline.track.config import TrackConfig
from reelbank.pipeline.track.linker import link
from reelbank.stores.records import Detections, Shot, Track

CONFIG = TrackConfig()
ONE_SHOT = [Shot(0.0, 1000.0, 0, 1000)]
RED, BLUE = np.eye(48, dtype=np.uint8)[:2] * 255


def seen(*boxes, scores=None, categories=None, colours=None) -> Detections:
    count = len(boxes)
    return Detections(
        boxes=np.array(boxes, dtype=np.float32).reshape(count, 4),
        scores=np.array([0.9] * count if scores is None else scores, dtype=np.float32),
        categories=("person",) * count if categories is None else categories,
        appearance=None if colours is None else np.array(colours, np.uint8).reshape(count, 48),
    )


def box(x: float, y: float = 0.3, width: float = 0.1, height: float = 0.3):
    return (x, y, x + width, y + height)


def members(tracks: list[Track]) -> list[list[tuple[float, int]]]:
    return [list(zip(t.times.tolist(), t.ranks.tolist(), strict=True)) for t in tracks]


def link_seconds(detections, shots=ONE_SHOT, config=CONFIG, step=1.0) -> list[Track]:
    return link(np.arange(len(detections)) * step, detections, shots, config)


def _reordered(one: Detections, order: np.ndarray) -> Detections:
    return replace(
        one,
        boxes=one.boxes[order],
        categories=tuple(one.categories[index] for index in order),
        appearance=None if one.appearance is None else one.appearance[order],
    )


@st.composite
def films(draw, with_colour: bool = True):
    """Key times at 1 to 25 Hz with random detections, shots and settings."""
    count = draw(st.integers(1, 10))
    step = draw(st.sampled_from([0.04, 0.5, 1.0]))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    has_colour = with_colour and draw(st.booleans())
    detections = []
    for _ in range(count):
        n = int(random.integers(0, 5))
        corner = random.uniform(0.2, 0.5, (n, 2))
        boxes = np.hstack([corner, corner + random.uniform(0.1, 0.4, (n, 2))])
        detections.append(
            seen(
                *boxes,
                scores=-np.sort(-random.uniform(0, 1, n)),
                categories=tuple(random.choice(["person", "dog"], n).tolist()),
                colours=random.integers(0, 255, (n, 48)) if has_colour else None,
            )
        )
    inner = sorted(draw(st.sets(st.integers(1, 9), max_size=3)))
    edges = [0.0, *(edge * step for edge in inner), 10 * step]
    shots = [Shot(a, b, 0, 1) for a, b in pairwise(edges)]
    config = TrackConfig(
        min_iou=draw(st.sampled_from([0.0, 0.2, 0.5])),
        max_gap_seconds=draw(st.sampled_from([0.5, 1.0, 3.0])),
        min_score=draw(st.sampled_from([0.0, 0.4])),
    )
    return np.arange(count) * step, detections, shots, config


def test_no_key_times_and_no_detections_give_no_tracks():
    assert link_seconds([], shots=[]) == []
    assert link_seconds([seen(), seen()]) == []


def test_a_still_box_is_one_track():
    tracks = link_seconds([seen(box(0.2))] * 4)
    assert members(tracks) == [[(0.0, 0), (1.0, 0), (2.0, 0), (3.0, 0)]]
    assert (tracks[0].category, tracks[0].shot_id) == ("person", 0)


def test_two_boxes_keep_their_tracks_when_their_ranks_swap():
    left, right = box(0.1), box(0.6)
    tracks = link_seconds([seen(left, right), seen(right, left), seen(left, right)])
    assert [track.ranks.tolist() for track in tracks] == [[0, 1, 0], [1, 0, 1]]


def test_a_cut_ends_every_track_and_the_key_time_at_the_cut_is_in_the_new_shot():
    shots = [Shot(0.0, 2.0, 0, 50), Shot(2.0, 3.5, 50, 88)]
    tracks = link_seconds([seen(box(0.2))] * 5, shots)
    assert [track.times.tolist() for track in tracks] == [[0.0, 1.0], [2.0, 3.0, 4.0]]
    assert [track.shot_id for track in tracks] == [0, 1]


def test_categories_never_mix():
    detections = [seen(box(0.2), categories=(name,)) for name in ("person", "dog", "person")]
    tracks = link_seconds(detections)
    assert [track.category for track in tracks] == ["person", "dog"]
    assert [track.times.tolist() for track in tracks] == [[0.0, 2.0], [1.0]]


def test_a_better_sum_beats_the_best_single_pair():
    # The second box overlaps the first's old place best, but the first has nowhere else to go.
    before = seen(box(0.20), box(0.30, width=0.12))
    after = seen(box(0.26), box(0.34))
    tracks = link_seconds([before, after])
    assert [track.ranks.tolist() for track in tracks] == [[0, 0], [1, 1]]


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_gap_is_bridged_up_to_the_allowance(missing):
    config = TrackConfig(max_gap_seconds=3.0)
    detections = [seen(box(0.2))] * 3 + [seen()] * missing + [seen(box(0.2))] * 3
    assert len(link_seconds(detections, config=config)) == (1 if missing < 3 else 2)


def test_nothing_links_across_more_than_the_allowance_though_no_key_time_lies_between():
    times = np.array([0.0, 1.0, 60.0, 61.0])
    tracks = link(times, [seen(box(0.2))] * 4, ONE_SHOT, CONFIG)
    assert [track.times.tolist() for track in tracks] == [[0.0, 1.0], [60.0, 61.0]]


def test_a_fast_walker_is_expected_where_it_was_going():
    # Each step is longer than the box is wide, so only the motion links; the start is slow.
    steps = [0.0, 0.06, 0.14, 0.25, 0.38, 0.52, 0.68]
    assert len(link_seconds([seen(box(x)) for x in steps])) == 1
    assert len(link_seconds([seen(box(x)) for x in steps[::2]])) > 1


def test_colour_resolves_a_crossing_that_overlap_gets_wrong():
    # Two people change places between two looks: by overlap alone each seems to have stayed.
    left, right = box(0.40), box(0.45)
    detections = [seen(left, right, colours=[RED, BLUE]), seen(left, right, colours=[BLUE, RED])]
    by_colour = link_seconds(detections)
    by_overlap = link_seconds(detections, config=TrackConfig(appearance_weight=0.0))
    without = link_seconds([replace(one, appearance=None) for one in detections])
    assert [track.ranks.tolist() for track in by_colour] == [[0, 1], [1, 0]]
    assert [track.ranks.tolist() for track in by_overlap] == [[0, 0], [1, 1]]
    assert members(without) == members(by_overlap)


def walk(*places: float, colour=RED, width: float = 0.1) -> list[Detections]:
    """One person at a place after another."""
    return [seen(box(x, width=width), colours=[colour]) for x in places]


def test_a_walker_who_leaves_its_old_box_behind_is_known_by_its_colours():
    # 1.5 widths a second, and back again: no two boxes meet, and motion is wrong at the turn.
    places = [0.1, 0.25, 0.40, 0.55, 0.40, 0.25]
    assert len(link_seconds(walk(*places))) == 1
    assert len(link_seconds([replace(one, appearance=None) for one in walk(*places)])) > 1


def test_without_overlap_neither_other_colours_nor_another_size_nor_a_leap_link():
    start, near = walk(0.1), box(0.25)
    assert len(link_seconds([*start, seen(near, colours=[RED])])) == 1
    assert len(link_seconds([*start, seen(near, colours=[BLUE])])) == 2
    assert len(link_seconds([*start, seen(box(0.25, height=0.15), colours=[RED])])) == 2
    assert len(link_seconds([*start, seen(near, colours=[RED])], step=0.5)) == 2


def test_without_overlap_the_way_that_a_walker_was_going_decides():
    # Widths: 0, 1.2, 2.4; then one in the same clothes is 1.1 behind, and one 1.9 ahead.
    before, behind, ahead = walk(0.1, 0.22, 0.34), box(0.23), box(0.53)
    tracks = link_seconds([*before, seen(behind, ahead, colours=[RED, RED])])
    assert [track.ranks.tolist() for track in tracks] == [[0, 0, 0, 1], [0]]
    # However it was going, 2.3 widths are no walk.
    assert len(link_seconds([*before, *walk(0.57)])) == 2


def test_a_row_of_people_dressed_alike_does_not_move_up_when_one_leaves():
    row = [box(0.1 + 0.1 * place) for place in range(4)]
    detections = [seen(*row[:3], colours=[RED] * 3), seen(*row[1:], colours=[RED] * 3)]
    tracks = link_seconds(detections)
    assert [track.ranks.tolist() for track in tracks] == [[0], [1, 0], [2, 1], [2]]


@settings(max_examples=60, deadline=None)
@given(
    step=st.sampled_from([0.5, 1.0]),
    speeds=st.tuples(st.floats(0.5, 1.8), st.floats(0.5, 1.8)),
    ahead=st.floats(2.0, 5.0),
)
def test_people_in_different_clothes_cross_without_changing_tracks(step, speeds, ahead):
    width = 0.04
    detections = []
    for time in np.arange(0.0, 6.0, step).tolist():
        right = 0.2 + width * speeds[0] * time
        left = 0.2 + width * (ahead - speeds[1] * time)
        both = seen(box(right, width=width), box(left, width=width), colours=[RED, BLUE])
        detections.append(both if len(detections) % 2 else _reordered(both, np.array([1, 0])))
    tracks = link_seconds(detections, step=step)
    for track in tracks:
        numbers = np.rint(track.times / step).astype(int)
        assert (
            len({(number + rank) % 2 for number, rank in zip(numbers, track.ranks, strict=True)})
            == 1
        )
    assert len(tracks) == 2


@settings(max_examples=60, deadline=None)
@given(
    step=st.sampled_from([0.04, 0.25, 0.5, 1.0, 2.0]),
    farther=st.floats(1.0, 3.0),
    shape=st.tuples(st.floats(0.01, 0.03), st.floats(0.01, 0.05)),
    angle=st.floats(0.0, 6.3),
)
def test_people_dressed_alike_do_not_link_from_farther_than_a_walk(step, farther, shape, angle):
    width, height = shape
    # A side away at the least, so that the boxes do not overlap either.
    away = max(CONFIG.max_speed * step, 1.5) * (farther + 1e-3)
    there = box(0.5 + away * width * np.cos(angle), 0.5 + away * height * np.sin(angle), *shape)
    first, second = seen(box(0.5, 0.5, *shape), colours=[RED]), seen(there, colours=[RED])
    assert len(link_seconds([first, second], step=step)) == 2


@settings(max_examples=50, deadline=None)
@given(film=films(), speed=st.floats(0.01, 100.0))
def test_where_no_colours_are_alike_or_known_speed_does_not_matter(film, speed):
    times, detections, shots, config = film
    alike = replace(config, min_colour=1.0)
    fast = replace(alike, max_speed=speed)
    assert members(link(times, detections, shots, fast)) == members(
        link(times, detections, shots, alike)
    )


def test_a_box_of_another_size_is_another_person_a_moment_later_but_not_a_second_later():
    first, second = seen((0.2, 0.2, 0.4, 0.8)), seen((0.2, 0.2, 0.35, 0.6))
    assert len(link_seconds([first, second], step=0.04)) == 2
    assert len(link_seconds([first, second], step=1.0)) == 1


def test_faint_detections_are_dropped_or_only_continue():
    detections = [seen(box(0.2), scores=[score]) for score in (0.3, 0.9, 0.3, 0.1)]
    config = TrackConfig(min_score=0.2, min_start_score=0.5)
    assert members(link_seconds(detections, config=config)) == [[(1.0, 0), (2.0, 0)]]


def test_short_tracks_are_dropped_on_request():
    detections = [seen(box(0.2), box(0.7)), seen(box(0.2))]
    assert len(link_seconds(detections, config=TrackConfig(min_detections=2))) == 1


def test_detections_for_other_key_times_are_refused():
    with pytest.raises(ValueError, match="3 key times and 2 detections"):
        link(np.arange(3.0), [seen(), seen()], ONE_SHOT, CONFIG)
    with pytest.raises(ValueError, match="no shots"):
        link_seconds([seen()], shots=[])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"min_iou": 1.5}, "min_iou=1.5"),
        ({"appearance_weight": -0.1}, "appearance_weight=-0.1"),
        ({"min_iou": 0.7, "min_iou_close": 0.6}, "min_iou_close=0.6"),
        ({"min_colour": 1.5}, "min_colour=1.5"),
        ({"max_speed": 0.0}, "max_speed=0.0"),
        ({"max_speed": float("inf")}, "max_speed=inf"),
        ({"max_gap_seconds": 0.0}, "max_gap_seconds=0.0"),
        ({"max_gap_seconds": float("nan")}, "max_gap_seconds=nan"),
        ({"min_detections": 0}, "min_detections=0"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(wrong, named):
    with pytest.raises(ValueError, match=named):
        TrackConfig(**wrong)


@settings(max_examples=150, deadline=None)
@given(film=films())
def test_what_holds_for_every_film(film):
    times, detections, shots, config = film
    tracks = link(times, detections, shots, config)
    taken = [member for track in members(tracks) for member in track]
    assert len(taken) == len(set(taken))
    enough = sum(int((one.scores >= config.min_score).sum()) for one in detections)
    assert len(taken) == enough
    number = {time: index for index, time in enumerate(times.tolist())}
    for track in tracks:
        assert np.all(np.diff(track.times) > 0)
        shot = shots[track.shot_id]
        assert np.all((track.times >= shot.start_seconds) & (track.times < shot.end_seconds))
        assert np.all(np.diff(track.times) <= config.max_gap_seconds + 1e-6)
        numbers = [number[time] for time in track.times.tolist()]
        for index, rank in zip(numbers, track.ranks.tolist(), strict=True):
            assert detections[index].categories[rank] == track.category
    firsts = [(track.times[0], track.ranks[0]) for track in tracks]
    assert firsts == sorted(firsts)


@settings(max_examples=50, deadline=None)
@given(film=films())
def test_the_same_input_gives_the_same_tracks(film):
    assert members(link(*film)) == members(link(*film))


@settings(max_examples=50, deadline=None)
@given(film=films(), seed=st.integers(0, 1000))
def test_the_order_of_equally_good_detections_does_not_matter(film, seed):
    times, detections, shots, config = film
    config = replace(config, min_score=0.0)
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(one)) for one in detections]
    equal = [replace(one, scores=np.ones(len(one), np.float32)) for one in detections]
    shuffled = [_reordered(one, order) for one, order in zip(equal, orders, strict=True)]
    number = {time: index for index, time in enumerate(times.tolist())}
    plain = members(link(times, equal, shots, config))
    back = [
        [(time, int(orders[number[time]][rank])) for time, rank in track]
        for track in members(link(times, shuffled, shots, config))
    ]
    assert sorted(plain) == sorted(back)


@settings(max_examples=60, deadline=None)
@given(
    step=st.sampled_from([0.04, 0.2, 1.0]),
    speed=st.floats(-0.02, 0.02),
    missing=st.sets(st.integers(1, 18), max_size=12),
)
def test_one_smooth_walker_is_split_exactly_at_gaps_longer_than_allowed(step, speed, missing):
    config = TrackConfig(max_gap_seconds=3 * step)
    # Constant velocity once two boxes are known; both ends are seen.
    detections = [
        seen() if i in missing else seen(box(0.5 + speed * i, width=0.2)) for i in range(20)
    ]
    shown = np.array([i for i in range(20) if i not in missing])
    expected = 1 + int(np.sum(np.diff(shown) > 3))
    assert len(link_seconds(detections, config=config, step=step)) == expected


@settings(max_examples=50, deadline=None)
@given(film=films())
def test_key_times_without_detections_may_be_left_out(film):
    times, detections, shots, config = film
    kept = [index for index, one in enumerate(detections) if len(one)]
    fewer = link(times[kept], [detections[index] for index in kept], shots, config)
    assert members(fewer) == members(link(times, detections, shots, config))
