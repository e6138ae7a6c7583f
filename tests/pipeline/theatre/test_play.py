from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.events import timings, write_events
from reelbank.pipeline.theatre.performance import Performance
from reelbank.pipeline.theatre.play import PlayConfig, write_play
from reelbank.pipeline.theatre.roles import (
    ACTIONS,
    COLOURS,
    CUES,
    FAMILIES,
    MEANINGS,
    MOVEMENTS,
    NUMBERS,
)
from reelbank.pipeline.theatre.staging import CAST_SIZE, write_labels, write_shots
from reelbank.pipeline.theatre.timeline import frames_of


@pytest.fixture(scope="module")
def play():
    return write_play(PlayConfig(seed=4, seconds=300))


@pytest.fixture(scope="module")
def plays():
    return [write_play(PlayConfig(seed=seed, seconds=600)) for seed in range(12)]


def other_meaning(play, event):
    """The same play, but for what one event means and which thing its cue shows."""
    swapped = replace(event, meaning=1 - event.meaning, shown=1 - event.shown)
    events = tuple(swapped if one is event else one for one in play.events)
    return replace(play, events=events)


def test_the_same_seed_gives_the_same_play_and_another_seed_another(play):
    assert write_play(play.config) == play
    assert write_play(replace(play.config, seed=5)).events != play.events


def test_pictures_do_not_depend_on_which_were_drawn_before(play):
    one, other = Performance(play), Performance(play)
    for number in (0, 700, 350):
        one.picture(number)
    np.testing.assert_array_equal(one.picture(123), other.picture(123))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_event_keeps_to_the_horizon_and_no_clip_shows_cue_and_pose(plays, family):
    difficulty = Difficulty()
    sign = 1 if family == "contextual" else -1
    seen = [event for play in plays for event in play.events if event.family == family]
    assert len(seen) > 300
    for event in seen:
        for second in (event.start, event.end - 1):
            assert 0 < sign * (second - event.cue) <= difficulty.horizon_seconds
        cue = [event.cue + offset for offset in difficulty.cue_offsets()]
        nearest = min(
            abs(second - shown) for second in (event.start, event.end - 1) for shown in cue
        )
        assert nearest >= difficulty.gap_seconds
        assert min(cue[0], event.start) >= 0
        assert max(cue[-1], event.end - 1) < 600


def test_poses_of_a_puppet_and_family_never_touch(plays):
    for play in plays:
        for family in FAMILIES:
            for puppet in range(CAST_SIZE):
                own = sorted(
                    (event.start, event.end)
                    for event in play.events
                    if (event.family, event.puppet) == (family, puppet)
                )
                assert all(end < start for (_, end), (start, _) in pairwise(own))


def test_timings_are_a_distribution_and_all_occur():
    for family in FAMILIES:
        known = timings(Difficulty(), family)
        assert sum(share for _, share in known) == pytest.approx(1)
        events = write_events(Difficulty(), seconds=60_000, cast_size=1, seed=0)
        found = Counter(
            (event.start - event.cue, event.end - event.cue)
            for event in events
            if event.family == family
        )
        total = sum(found.values())
        for timing, share in known:
            error = np.sqrt(share / total)
            assert found[timing.start, timing.end] / total == pytest.approx(share, abs=5 * error)


def test_base_rates_lie_between_5_and_40_percent_and_cue_rates_are_as_set(plays):
    counts = Counter()
    for play in plays:
        for second in range(0, 600, 3):
            for actions in play.actions_at(second):
                counts.update(actions)
    rows = len(plays) * 200 * CAST_SIZE
    for action in ACTIONS:
        if action.counts:
            assert 0.05 < counts[action.number] / rows < 0.40, action.name
        else:
            assert 0 < counts[action.number] / rows < 0.05, action.name
    events = [event for play in plays for event in play.events]
    shown = [event for event in events if event.shown is not None]
    honest = [event for event in shown if event.shown == event.meaning]
    assert len(shown) / len(events) == pytest.approx(0.9, abs=0.03)
    assert len(honest) / len(shown) == pytest.approx(0.95, abs=0.03)
    assert np.mean([event.meaning for event in events]) == pytest.approx(0.5, abs=0.05)


def test_labels_say_what_the_script_says(play):
    by_second = [play.actions_at(second) for second in range(play.config.seconds)]
    movements = {NUMBERS[name] for name in MOVEMENTS}
    for second, cast in enumerate(by_second):
        for member, actions in enumerate(cast):
            assert len(actions & movements) == 1
            (moving,) = [one for one in play.movements[member] if one.start <= second < one.end]
            assert NUMBERS[MOVEMENTS[moving.kind]] in actions
    for event in play.events:
        number = NUMBERS[MEANINGS[event.family][event.meaning]]
        for second in range(event.start, event.end):
            assert number in by_second[second][event.puppet]
        assert number not in by_second[event.start - 1][event.puppet]
        assert number not in by_second[event.end][event.puppet]
        if event.shown is not None:
            cue = {NUMBERS[f"show {CUES[event.family][event.shown]}"]}
            cue.add(NUMBERS[f"signal to {COLOURS[event.puppet]}"])
            assert play.giver(event) != event.puppet
            assert cue <= by_second[event.cue][play.giver(event)]
            assert cue <= by_second[event.cue + 2][play.giver(event)]


@pytest.mark.parametrize("family", FAMILIES)
def test_swapping_what_a_pose_means_changes_pixels_of_the_cue_alone(play, family):
    event = next(one for one in play.events if one.family == family and one.shown is not None)
    other = other_meaning(play, event)
    left, right = Performance(play), Performance(other)
    cue = frames_of(play.config, event.cue, event.cue + 3)
    around = range(min(event.start, event.cue) * 8 - 16, max(event.end, event.cue + 3) * 8 + 16)
    for number in around:
        same = np.array_equal(left.picture(number), right.picture(number))
        assert same == (not cue.start <= number < cue.stop), number


def test_a_cue_is_seen_in_the_pixels_of_its_giver_and_of_nobody_else(play):
    for family in FAMILIES:
        event = next(one for one in play.events if one.family == family and one.shown is not None)
        number = (event.cue + 1) * play.config.rate
        left, right = Performance(play), Performance(other_meaning(play, event))
        changed = np.argwhere((left.picture(number) != right.picture(number)).any(axis=2))
        boxes = [
            next(
                one.box
                for one in stage.placed(number)
                if one.category == "person" and one.member == play.giver(event)
            )
            for stage in (left, right)
        ]
        low = np.min([box[:2] for box in boxes], axis=0)
        high = np.max([box[2:] for box in boxes], axis=0)
        assert len(changed) >= 30  # pixels, of 160 x 96
        assert (changed[:, ::-1] >= low).all()
        assert (changed[:, ::-1] < high).all()


def test_shots_follow_one_another_and_every_cut_changes_the_picture(plays):
    for play in plays:
        assert play.shots[0].start_frame == 0
        assert play.shots[-1].end_frame == play.config.num_frames
        for one, after in pairwise(play.shots):
            assert one.end_frame == after.start_frame
            assert (one.set_index, one.camera) != (after.set_index, after.camera)


def test_film_labels_are_expressed_by_places_things_and_sets():
    right = Counter()
    for seed in range(60):
        labels = write_labels(seed)
        shots = write_shots(labels, num_frames=4800, rate=8, seed=seed)
        distances = Counter(abs(shot.places[0] - shot.places[3]) for shot in shots)
        right["relationship"] += distances.most_common(1)[0][0] == (1, 3, 2)[labels.relationship]
        right["scene"] += Counter(s.set_index for s in shots).most_common(1)[0][0] == labels.scene
        right["genre"] += Counter(s.prop for s in shots).most_common(1)[0][0] == labels.genre
        assert all(sorted(shot.places) == [0, 1, 2, 3] for shot in shots)
    assert all(count >= 55 for count in right.values()), right


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"horizon_seconds": 5}, "horizon_seconds"),
        ({"act_seconds": 20}, "act_seconds"),
        ({"shown_rate": 1.5}, "shown_rate"),
        ({"max_pose_seconds": 2}, "max_pose_seconds"),
        ({"gap_seconds": -1}, "gap_seconds"),
        ({"cue_seconds": 0}, "cue_seconds"),
    ],
)
def test_an_impossible_difficulty_is_refused_by_name(change, word):
    with pytest.raises(ValueError, match=word):
        Difficulty(**change)


@pytest.mark.parametrize(
    "change", [{"seed": -1}, {"seconds": 0}, {"rate": 2}, {"height": 95}, {"width": 100}]
)
def test_an_impossible_play_is_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        PlayConfig(**({"seed": 0, "seconds": 10} | change))
