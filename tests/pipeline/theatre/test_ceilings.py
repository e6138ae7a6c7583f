import itertools
from collections import defaultdict

import numpy as np
import pytest

from reelbank.pipeline.theatre.ceilings import (
    OBSERVERS,
    ceilings,
    ordered,
    read_ceilings,
    write_ceilings,
)
from reelbank.pipeline.theatre.difficulty import Difficulty
from reelbank.pipeline.theatre.events import write_events
from reelbank.pipeline.theatre.others import cues_of_another, pooled
from reelbank.pipeline.theatre.precision import average_precision
from reelbank.pipeline.theatre.roles import FAMILIES
from reelbank.pipeline.theatre.sizes import SIZES
from reelbank.pipeline.theatre.staging import CAST_SIZE
from reelbank.pipeline.theatre.windows import outcomes, sights, window_of

SUPPORTS = (2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
SECONDS = 240
FILMS = 600


@pytest.fixture(scope="module")
def known():
    found = ceilings(Difficulty(), supports=SUPPORTS, film_seconds=[600] * 3)
    return {(one.observer, one.support_seconds): one for one in found}


def of(known, observer, family):
    return np.array([known[observer, support].families[family] for support in SUPPORTS])


def precision_of_ranking(scores, truth, rng):
    """Average precision of one ranked list; equal scores in random order."""
    order = np.lexsort((rng.random(len(scores)), -scores))
    hits = truth[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


class Sample:
    """Many seconds of poses of the first puppet, with all that windows show, film by film."""

    def __init__(self, family):
        self.difficulty = Difficulty()
        self.family = family
        self.films = [self.film(seed) for seed in range(FILMS)]

    def film(self, seed):
        every = write_events(self.difficulty, seconds=SECONDS, cast_size=CAST_SIZE, seed=seed)
        events = [one for one in every if one.family == self.family]
        shown = np.zeros((CAST_SIZE, 2, SECONDS), int)
        poses = np.zeros(SECONDS, int)
        for event in events:
            if event.shown is not None:
                for offset in self.difficulty.cue_offsets():
                    shown[event.puppet, event.shown, event.cue + offset] += 1
            if event.puppet == 0:
                poses[event.start : event.end] = 1
        return [event for event in events if event.puppet == 0], shown, poses

    def rows(self, window):
        """Own cue's seconds and thing, counts without order, with whose they are or pooled."""
        for film, (own, shown, poses) in enumerate(self.films):
            for event in own:
                cue = {event.cue + offset for offset in self.difficulty.cue_offsets()}
                for second in range(event.start, event.end):
                    start = max(second + window.start, 0)
                    seen = slice(start, second + window.stop)
                    inside = bool(cue & set(range(start, second + window.stop)))
                    counts = shown[:, :, seen].sum(axis=2)
                    ordered_view = event.shown if inside else None
                    alone = (*counts[0].tolist(), int(poses[seen].sum()))
                    together = (*counts.sum(axis=0).tolist(), int(poses[seen].sum()))
                    yield film, event.meaning, ordered_view, alone, together


@pytest.mark.parametrize("family", FAMILIES)
def test_simulation_agrees_with_enumeration(family):
    sample, rng = Sample(family), np.random.default_rng(0)
    for view, support in (("causal", 60.0), ("batch", 20.0), ("batch", 60.0)):
        window = window_of(view, support)
        seen = sights(sample.difficulty, family, window, [SECONDS])
        shown = outcomes(sample.difficulty, seen)
        rows = list(sample.rows(window))
        films = np.array([row[0] for row in rows])
        truth = np.array([row[1] == 0 for row in rows])
        told = {None: 0.5, 0: 0.95, 1: 0.05}
        by_order = np.array([told[row[2]] for row in rows])
        # A count that enumeration holds to be impossible would be a KeyError.
        by_count = np.array([shown[row[3]][0] / sum(shown[row[3]]) for row in rows])
        for scores, exact in (
            (by_order, average_precision(ordered(sample.difficulty, seen))),
            (by_count, average_precision(shown.values())),
        ):
            error = np.std(
                [
                    precision_of_ranking(scores[kept], truth[kept], rng)
                    for kept in (films % 10 == fold for fold in range(10))
                ]
            ) / np.sqrt(10)
            measured = precision_of_ranking(scores, truth, rng)
            assert measured == pytest.approx(exact, abs=4 * error + 0.002), (view, support)
            assert error < 0.02


def test_pooled_counts_of_a_simulation_agree_with_enumeration():
    sample, rng = Sample("contextual"), np.random.default_rng(0)
    window = window_of("batch", 20.0)
    shown = outcomes(sample.difficulty, sights(sample.difficulty, "contextual", window, [SECONDS]))
    exact = average_precision(pooled(sample.difficulty, shown, window))
    rows = list(sample.rows(window))
    tally = defaultdict(lambda: [0.5, 0.5])
    for _, meaning, _, _, together in rows:
        tally[together][meaning] += 1
    truth = np.array([row[1] == 0 for row in rows])
    scores = np.array([tally[row[4]][0] / sum(tally[row[4]]) for row in rows])
    # Scores learned from the sample itself, and films with ends: near, not exact.
    assert precision_of_ranking(scores, truth, rng) == pytest.approx(exact, abs=0.03)


def test_outcomes_are_distributions_and_know_nothing_of_names():
    for family, view in itertools.product(FAMILIES, ("causal", "batch")):
        seen = sights(Difficulty(), family, window_of(view, 60.0), [300, 600])
        assert sum(seen.values()) == pytest.approx(1)
        shown = outcomes(Difficulty(), seen)
        total = np.sum(list(shown.values()), axis=0)
        np.testing.assert_allclose(total, [0.5, 0.5])
        for (first, second, poses), chances in shown.items():
            assert shown[second, first, poses] == pytest.approx(chances[::-1])
    assert cues_of_another(Difficulty(), 60).sum() == pytest.approx(1)


def test_ceilings_are_ordered_by_what_observers_see(known):
    for support in SUPPORTS:
        for family in ("visible", *FAMILIES, None):
            value = {
                name: known[name, support].mean
                if family is None
                else known[name, support].families[family]
                for name in OBSERVERS
            }
            for view in ("causal", "batch"):
                low = value["short"] - 1e-9
                assert low <= value[f"{view}_pooled"] <= value[f"{view}_unordered"] + 1e-9
                assert value[f"{view}_unordered"] <= value[view] + 1e-9
    full = 30.0
    assert known["short", full].mean < known["causal", full].mean < known["batch", full].mean


def test_causal_equals_batch_on_contextual_actions_once_both_reach_the_horizon(known):
    for support in (30.0, 60.0):
        causal, batch = known["causal", support], known["batch", support]
        assert causal.families["contextual"] == pytest.approx(batch.families["contextual"])
        unordered = known["causal_unordered", support], known["batch_unordered", support]
        values = [one.families["contextual"] for one in unordered]
        assert values[0] == pytest.approx(values[1], abs=0.01)
    assert set(of(known, "causal", "prospective")) == {0.5}


def test_ceilings_grow_with_the_support_up_to_the_horizon_and_are_flat_from_there(known):
    flat_from = {"causal": 15.0, "batch": 30.0}
    for view, family in (
        ("causal", "contextual"),
        ("batch", "contextual"),
        ("batch", "prospective"),
    ):
        values = of(known, view, family)
        assert (np.diff(values) >= -1e-9).all()
        before = np.array(SUPPORTS) < flat_from[view]
        assert np.ptp(values[~before]) < 1e-9
        assert values[before].max() < values[-1]
        # Operators that do not know times lose little by windows that are too long.
        unordered = of(known, f"{view}_unordered", family)
        assert (unordered[~before] > values[~before] - 0.015).all()


def test_a_short_term_observer_stays_20_points_below_a_batch_one_at_every_training_size():
    for name in ("small", "medium", "full"):
        size = SIZES[name]
        found = ceilings(size.difficulty, supports=(60.0,), film_seconds=[size.seconds])
        mean = {one.observer: one.mean for one in found}
        assert mean["batch_unordered"] - mean["short"] >= 0.20
        assert mean["batch_unordered"] - mean["batch_pooled"] >= 0.05


def test_average_precision_of_ties_is_that_of_random_order():
    rng = np.random.default_rng(1)
    levels = {0.9: (30, 5), 0.5: (40, 60), 0.1: (5, 45)}
    scores = np.concatenate([[score] * sum(pair) for score, pair in levels.items()])
    truth = np.concatenate([[True] * a + [False] * b for a, b in levels.values()])
    # Twenty copies of the list: the formula is for long ones.
    scores, truth = np.tile(scores, 20), np.tile(truth, 20)
    drawn = np.mean([precision_of_ranking(scores, truth, rng) for _ in range(50)])
    assert average_precision(levels.values()) == pytest.approx(drawn, abs=0.003)
    assert average_precision([(1, 0), (0, 3)]) == pytest.approx(1)
    assert average_precision([(0.2, 0.8)]) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="nothing is positive"):
        average_precision([(0, 1)])


def test_supports_that_would_show_three_events_are_refused():
    with pytest.raises(ValueError, match="61 s"):
        ceilings(Difficulty(), supports=(30.0, 61.0), film_seconds=[600])


def test_ceilings_survive_their_file(known, tmp_path):
    path = tmp_path / "ceilings.json"
    found = list(known.values())
    write_ceilings(path, found, about={"seed": 3})
    again = {(one.observer, one.support_seconds): one for one in read_ceilings(path)}
    assert again.keys() == known.keys()
    for key, one in again.items():
        assert one.mean == pytest.approx(known[key].mean, abs=1e-6)
        assert one.families == pytest.approx(known[key].families, abs=1e-6)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"ceilings\.json"):
        read_ceilings(path)
