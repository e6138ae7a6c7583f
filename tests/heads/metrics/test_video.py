"""Multi-label mAP of videos: Charades, and the definition of scikit-learn."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.heads.metrics.average_precision import STEPS
from reelbank.heads.metrics.bootstrap import bootstrap
from reelbank.heads.metrics.video import (
    CHARADES,
    MULTI_LABEL,
    pool_clips,
    rank_videos,
    video_average_precision,
)
from tests.heads.metrics import by_hand

CELLS = st.tuples(st.sampled_from([-math.inf, 0.0, 0.25, 1.0]), st.booleans())
TABLES = st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=10)


def tensors(table):
    scores = torch.tensor([[cell[0] for cell in row] for row in table], dtype=torch.float64)
    labels = torch.tensor([[cell[1] for cell in row] for row in table], dtype=torch.bool)
    return scores.reshape(-1, 3), labels.reshape(-1, 3)


def expect(found, values):
    wanted = [math.nan if value is None else float(value) for value in values]
    assert found.per_class.tolist() == pytest.approx(wanted, abs=1e-12, nan_ok=True)
    counted = [value for value in wanted if not math.isnan(value)]
    mean = sum(counted) / len(counted) if counted else math.nan
    assert found.mean == pytest.approx(mean, abs=1e-12, nan_ok=True)


@given(table=TABLES)
def test_charades_equals_its_script_written_again_slowly(table):
    rows = [[(-math.inf, False)] * 3 if not any(y for _, y in row) else row for row in table]
    values = [
        by_hand.charades_average_precision([r[k][0] for r in rows], [r[k][1] for r in rows])
        for k in range(3)
    ]
    if len(table) == sum(any(y for _, y in row) for row in table):
        expect(video_average_precision(*tensors(table), protocol=CHARADES), values)
    # Videos without a label: the script puts them last, at -inf; a video may be there already.
    finite = [[(max(score, -9.0), y) for score, y in row] for row in table]
    rows = [[(-math.inf, False)] * 3 if not any(y for _, y in row) else row for row in finite]
    values = [
        by_hand.charades_average_precision([r[k][0] for r in rows], [r[k][1] for r in rows])
        for k in range(3)
    ]
    expect(video_average_precision(*tensors(finite), protocol=CHARADES), values)


@given(table=TABLES)
def test_multi_label_equals_the_definition_in_fractions(table):
    values = [
        by_hand.average_precision(
            [row[k] for row in table], sum(row[k][1] for row in table), "steps"
        )
        for k in range(3)
    ]
    expect(video_average_precision(*tensors(table), protocol=MULTI_LABEL), values)


@given(table=TABLES, data=st.data())
def test_the_order_of_videos_matters_to_charades_alone(table, data):
    shuffled = data.draw(st.permutations(table))
    left, right = (video_average_precision(*tensors(rows)) for rows in (table, shuffled))
    assert left.per_class.tolist() == pytest.approx(right.per_class.tolist(), nan_ok=True)


def test_equal_scores_count_in_row_order_for_charades_and_together_otherwise():
    scores, labels = torch.zeros(4, 1), torch.tensor([[True], [False], [False], [True]])
    assert video_average_precision(scores, labels).mean == 0.5
    # The two without a label are left out.
    assert video_average_precision(scores, labels, protocol=CHARADES).mean == 1.0
    other = torch.cat([labels, ~labels], 1)
    found = video_average_precision(torch.zeros(4, 2), other, protocol=CHARADES)
    assert found.per_class.tolist() == pytest.approx([(1 + 2 / 4) / 2, (1 / 2 + 2 / 3) / 2])


def test_the_mean_weighted_by_class_size_is_that_of_the_script():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.9], [0.1, 0.8]])
    labels = torch.tensor([[True, True], [False, True], [True, False]])
    found = video_average_precision(scores, labels, protocol=CHARADES)
    first, second = (1 + 2 / 3) / 2, (1 + 2 / 3) / 2
    assert found.per_class.tolist() == pytest.approx([first, second])
    assert found.weighted_mean == pytest.approx((2 * first + 2 * second) / 4)


def test_clips_are_pooled_by_their_highest_score():
    clips = torch.tensor([[[0.25, 0.5], [0.5, 0.0]], [[-math.inf, 0.0], [-3.0, -1.0]]])
    assert pool_clips(clips).tolist() == [[0.5, 0.5], [-3.0, 0.0]]


def test_error_bars_of_videos_hold_the_value():
    generator = torch.Generator().manual_seed(1)
    labels = torch.rand(60, 2, generator=generator) < 0.4
    scores = labels + torch.randn(60, 2, generator=generator)
    bars = bootstrap(rank_videos(scores, labels), STEPS, num_draws=200, seed=3)
    assert float(bars.mean.low) < video_average_precision(scores, labels).mean
    assert video_average_precision(scores, labels).mean < float(bars.mean.high)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pool_clips(torch.zeros(3, 0, 2)), "at least one clip"),
        (lambda: pool_clips(torch.full((1, 1, 1), math.nan)), "scores hold 1 NaN"),
        (lambda: rank_videos(torch.zeros(2, 3), torch.zeros(3, 2)), "must both be"),
        (lambda: rank_videos(torch.zeros(2, 3), torch.zeros(2, 3)), "labels must be bool"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
