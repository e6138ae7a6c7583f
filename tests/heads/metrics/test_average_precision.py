"""Average precision of a ranking, its ties and its error bars."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.heads.metrics import bootstrap as bootstrap_module
from reelbank.heads.metrics.average_precision import (
    ALL_POINTS,
    ELEVEN_POINTS,
    STEPS,
    Definition,
    average_precision,
)
from reelbank.heads.metrics.bootstrap import bootstrap
from reelbank.heads.metrics.ranking import Ranking
from tests.heads.metrics import by_hand

DEFINITIONS = [ALL_POINTS, ELEVEN_POINTS, STEPS]
NUM_CLASSES = 3


def ranking(claims, positives) -> Ranking:
    """From claims (score, is correct, class, video) and positives[video][class]."""
    score, correct, kind, video = zip(*claims, strict=True) if claims else ((), (), (), ())
    return Ranking(
        torch.tensor(score, dtype=torch.float64),
        torch.tensor(correct, dtype=torch.bool),
        torch.tensor(kind, dtype=torch.int64),
        torch.tensor(video, dtype=torch.int64),
        torch.tensor(positives, dtype=torch.int64),
    )


@st.composite
def cases(draw, num_videos=3):
    """Claims, and positives that are at least the correct claims."""
    claims = draw(
        st.lists(
            st.tuples(
                st.sampled_from([-math.inf, 0.0, 0.5, 1.0, 2.0]),
                st.booleans(),
                st.integers(0, NUM_CLASSES - 1),
                st.integers(0, num_videos - 1),
            ),
            max_size=25,
        )
    )
    missed = draw(
        st.lists(
            st.lists(st.integers(0, 2), min_size=NUM_CLASSES, max_size=NUM_CLASSES),
            min_size=num_videos,
            max_size=num_videos,
        )
    )
    for _, correct, kind, video in claims:
        missed[video][kind] += correct
    return claims, missed


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.curve)
@given(case=cases())
def test_it_equals_the_definition_in_fractions(definition, case):
    claims, positives = case
    got = average_precision(ranking(claims, positives), definition)
    totals = [sum(row[kind] for row in positives) for kind in range(NUM_CLASSES)]
    values = []
    for kind in range(NUM_CLASSES):
        mine = [(score, correct) for score, correct, its, _ in claims if its == kind]
        value = by_hand.average_precision(mine, totals[kind], definition.curve)
        expected = math.nan if value is None else float(value)
        assert float(got.per_class[kind]) == pytest.approx(expected, abs=1e-12, nan_ok=True)
        values.append(value)
    counted = [value for value in values if value is not None]
    mean = float(sum(counted) / len(counted)) if counted else math.nan
    assert got.mean == pytest.approx(mean, abs=1e-12, nan_ok=True)
    weighted = sum(v * n for v, n in zip(values, totals, strict=True) if v is not None)
    weighted = float(weighted / sum(totals)) if counted else math.nan
    assert got.weighted_mean == pytest.approx(weighted, abs=1e-12, nan_ok=True)


@given(correct=st.lists(st.booleans(), max_size=6), missed=st.integers(0, 2))
def test_taking_ties_in_together_is_the_worst_of_all_their_orders(correct, missed):
    """The three leading claims tie, and so do those after them."""
    scores = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1][: len(correct)]
    total = [[sum(correct) + missed]]
    together = ranking([(s, c, 0, 0) for s, c in zip(scores, correct, strict=True)], total)
    in_rows = Definition("all_points", "row_order")
    orders = [
        average_precision(
            ranking([(s, c, 0, 0) for s, c in zip(scores, [*lead, *rest], strict=True)], total),
            in_rows,
        ).mean
        for lead in permutations(correct[:3])
        for rest in permutations(correct[3:])
    ]
    expected = pytest.approx(min(orders), abs=1e-12, nan_ok=True)
    assert average_precision(together, ALL_POINTS).mean == expected


@pytest.mark.parametrize("definition", [ALL_POINTS, STEPS], ids=lambda d: d.curve)
@given(case=cases())
def test_recall_is_what_the_best_order_reaches_and_no_other_passes(definition, case):
    claims, positives = case
    first = [(float(correct), correct, *rest) for _, correct, *rest in claims]
    recall = ranking(claims, positives).recall
    best = average_precision(ranking(first, positives), definition).per_class
    torch.testing.assert_close(best, recall, equal_nan=True)
    found = average_precision(ranking(claims, positives), definition).per_class
    assert not (found > recall + 1e-12).any()


def test_a_recall_of_three_tenths_reaches_the_third_of_eleven_points():
    claims = [(9.0 - row, row < 3, 0, 0) for row in range(5)]
    got = average_precision(ranking(claims, [[10]]), ELEVEN_POINTS)
    assert got.mean == pytest.approx(4 / 11)


def test_a_class_without_positives_is_left_out_and_one_without_claims_has_zero():
    got = average_precision(ranking([(1.0, True, 0, 0), (1.0, False, 1, 0)], [[1, 0, 2]]), STEPS)
    assert got.per_class.tolist() == pytest.approx([1.0, math.nan, 0.0], nan_ok=True)
    assert got.mean == 0.5
    assert got.weighted_mean == pytest.approx(1 / 3)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.curve)
@given(case=cases(), seed=st.integers(0, 1000))
def test_a_draw_is_the_evaluation_of_the_drawn_videos(definition, case, seed):
    """One draw, made again as data: a video drawn twice is there twice, under two numbers."""
    claims, positives = case
    got = bootstrap(ranking(claims, positives), definition, num_draws=1, seed=seed)
    drawn = torch.randint(3, (1, 3), generator=torch.Generator().manual_seed(seed))[0].tolist()
    again = [
        (score, correct, kind, place)
        for place, video in enumerate(drawn)
        for score, correct, kind, its in claims
        if its == video
    ]
    expected = average_precision(ranking(again, [positives[v] for v in drawn]), definition)
    for end in (got.per_class.low, got.per_class.high):
        assert torch.allclose(end, expected.per_class, rtol=0, atol=1e-12, equal_nan=True)
    assert float(got.mean.low) == pytest.approx(expected.mean, abs=1e-12, nan_ok=True)


def random_ranking() -> Ranking:
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(40, NUM_CLASSES, generator=generator) < 0.3
    noise = torch.randn(40, NUM_CLASSES, generator=generator, dtype=torch.float64)
    return Ranking(
        (labels + noise).reshape(-1),
        labels.reshape(-1),
        torch.arange(NUM_CLASSES).repeat(40),
        torch.arange(40).repeat_interleave(NUM_CLASSES),
        labels.long(),
    )


def test_the_same_seed_gives_the_same_error_bars_and_another_does_not():
    bars = [bootstrap(random_ranking(), ALL_POINTS, seed=seed).per_class.low for seed in (1, 1, 2)]
    assert torch.equal(bars[0], bars[1])
    assert not torch.equal(bars[0], bars[2])


def test_error_bars_hold_the_value_and_grow_with_the_confidence():
    found = average_precision(random_ranking(), ALL_POINTS)
    wide = bootstrap(random_ranking(), ALL_POINTS, confidence=0.99)
    narrow = bootstrap(random_ranking(), ALL_POINTS, confidence=0.5)
    assert float(wide.mean.low) < float(narrow.mean.low) < float(narrow.mean.high)
    assert float(narrow.mean.high) < float(wide.mean.high)
    assert (wide.per_class.low < found.per_class).all()
    assert (found.per_class < wide.per_class.high).all()
    assert (wide.per_class.deviation > 0).all()


def test_the_deviation_of_two_draws_is_their_distance_over_the_root_of_two():
    bars = bootstrap(random_ranking(), ALL_POINTS, num_draws=2, confidence=1 - 1e-12).mean
    assert float(bars.deviation) > 0.001
    assert float(bars.deviation) == pytest.approx(float(bars.high - bars.low) / math.sqrt(2))


def test_videos_that_are_all_alike_leave_no_doubt():
    claims = [
        (score, score > 1, 0, video) for video in range(4) for score in (1.0, 2.0) if score or video
    ]
    bars = bootstrap(ranking(claims, [[2]] * 4), ALL_POINTS, num_draws=20)
    assert float(bars.mean.low) == float(bars.mean.high) == 0.5
    assert float(bars.mean.deviation) == 0.0


def test_few_draws_at_a_time_change_nothing(monkeypatch):
    whole = bootstrap(random_ranking(), ALL_POINTS, num_draws=50)
    monkeypatch.setattr(bootstrap_module, "_MAX_WEIGHTS", 100)
    assert torch.equal(
        bootstrap(random_ranking(), ALL_POINTS, num_draws=50).per_class.high, whole.per_class.high
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ranking([(math.nan, True, 0, 0)], [[1]]), "scores hold 1 NaN of 1"),
        (lambda: ranking([(1.0, True, 0, 0)], [1]), "num_positives must be"),
        (
            lambda: Ranking(*[torch.zeros(n) for n in (2, 1, 2, 2)], torch.zeros(1, 1)),
            r"is_correct must have the shape of scores, \(2,\), got \(1,\)",
        ),
        (lambda: bootstrap(ranking([], [[1]]), ALL_POINTS), "at least two videos"),
        (
            lambda: bootstrap(ranking([], [[1], [1]]), Definition("steps", "row_order")),
            "ties='together'",
        ),
        (lambda: bootstrap(ranking([], [[1], [1]]), STEPS, num_draws=0), "num_draws=0"),
        (lambda: bootstrap(ranking([], [[1], [1]]), STEPS, confidence=95.0), "confidence=95.0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
