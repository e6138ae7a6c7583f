"""Frame mAP: the numbers of the official evaluator, and the same written again slowly."""

import csv
import json
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.heads.metrics import matching
from reelbank.heads.metrics.average_precision import ALL_POINTS, Definition, average_precision
from reelbank.heads.metrics.boxes import (
    Detections,
    GroundTruth,
    KeyFrames,
    detections_of_scores,
    key_frame_numbers,
)
from reelbank.heads.metrics.frame import (
    ACTIVITYNET,
    FRAME_PROTOCOLS,
    SLOWFAST,
    FrameProtocol,
    LeftOut,
    frame_average_precision,
    rank_detections,
)
from tests.heads.metrics import by_hand
from tests.shared_data import shared_data

CLASSES = (1, 3, 4)
CROWDED = FrameProtocol(max_per_key_frame=3, only_annotated=True, best_first=True)
PROTOCOLS = [ACTIVITYNET, SLOWFAST, CROWDED]


def key_frames(frames) -> KeyFrames:
    return KeyFrames(
        torch.tensor([video for video, _ in frames], dtype=torch.int64),
        torch.tensor([second for _, second in frames], dtype=torch.float64),
    )


def ground_truth(rows) -> GroundTruth:
    """From rows (frame, box, label)."""
    return GroundTruth(
        key_frames([row[0] for row in rows]),
        torch.tensor([row[1] for row in rows], dtype=torch.float64).reshape(-1, 4),
        torch.tensor([row[2] for row in rows], dtype=torch.int64),
    )


def detections(rows) -> Detections:
    """From rows (frame, box, label, score)."""
    return Detections(
        key_frames([row[0] for row in rows]),
        torch.tensor([row[1] for row in rows], dtype=torch.float64).reshape(-1, 4),
        torch.tensor([row[2] for row in rows], dtype=torch.int64),
        torch.tensor([row[3] for row in rows], dtype=torch.float64),
    )


def evaluate(truth, found, *, classes=CLASSES, protocol=ACTIVITYNET, excluded=()):
    return frame_average_precision(
        ground_truth(truth),
        detections(found),
        class_ids=torch.tensor(classes, dtype=torch.int64),
        protocol=protocol,
        excluded=key_frames(excluded) if excluded else None,
    )


def same(left, right) -> bool:
    return torch.allclose(left, right, rtol=0, atol=1e-12, equal_nan=True)


# Few places and few scores, so that boxes, overlaps and scores coincide often.
FRAMES = st.tuples(st.integers(0, 2), st.sampled_from([902.0, 902.5, 903.0]))
CORNERS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))
BOXES = CORNERS.map(lambda c: (c[0] / 8, c[1] / 8, (c[0] + c[2]) / 8, (c[1] + c[3]) / 8))
LABELS = st.integers(1, 5)
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])
TRUTH = st.lists(st.tuples(FRAMES, BOXES, LABELS), max_size=12)
FOUND = st.lists(st.tuples(FRAMES, BOXES, LABELS, SCORES), max_size=25)
EXCLUDED = st.lists(FRAMES, max_size=2)


def test_the_ava_sample_has_the_numbers_of_the_official_evaluator():
    folder = shared_data() / "reference" / "ava_eval_small"
    expected = json.loads((folder / "expected.json").read_text())
    expected = expected["recomputed_with_ActivityNet_ava_evaluation"]
    videos = {}

    def rows(name):
        with (folder / name).open(newline="") as file:
            for line in csv.reader(file):
                video = videos.setdefault(line[0], len(videos))
                box = tuple(map(float, line[2:6]))
                yield (video, float(line[1])), box, int(line[6]), float(line[7])

    truth = [row[:3] for row in rows("gt.csv")]
    for protocol in FRAME_PROTOCOLS.values():
        found = evaluate(truth, list(rows("pred.csv")), classes=(1, 2, 3), protocol=protocol)
        assert found.mean == pytest.approx(0.09385521885521886, abs=1e-12)
        for action in (1, 2, 3):
            name = f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/action{action}"
            assert float(found.per_class[action - 1]) == pytest.approx(expected[name], abs=1e-12)


def test_the_detection_sample_has_its_published_average_precisions():
    folder = shared_data() / "reference" / "det_ap"
    expected = json.loads((folder / "expected.json").read_text())

    def rows(name):
        with (folder / name).open(newline="") as file:
            for line in csv.DictReader(file):
                x, y, width, height = (float(line[side]) for side in "xywh")
                # That evaluator counts the last pixel too.
                box = (x, y, x + width + 1, y + height + 1)
                yield (int(line["image"]), 0.0), box, 1, float(line.get("score", 1))

    ranking = rank_detections(
        ground_truth([row[:3] for row in rows("gt.csv")]),
        detections(list(rows("pred.csv"))),
        class_ids=torch.tensor([1]),
        protocol=FrameProtocol(
            iou_threshold=0.3, max_per_key_frame=None, only_annotated=True, best_first=True
        ),
    ).ranking
    # Two detections share the highest score; that evaluator takes them in the order of its file.
    all_points, eleven_points = (
        average_precision(ranking, Definition(curve, "row_order")).mean
        for curve in ("all_points", "eleven_points")
    )
    assert all_points == pytest.approx((1 + 2 / 3 + 4 * 3 / 7 + 7 / 23) / 15, abs=1e-12)
    # Published from precisions and recalls that were rounded to four digits.
    assert all_points == pytest.approx(expected["AP_all_points"], abs=1e-4)
    assert eleven_points == pytest.approx(expected["AP_11_points"], abs=5e-5)
    assert average_precision(ranking, ALL_POINTS).mean < all_points


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["activitynet", "slowfast", "crowded"])
@given(truth=TRUTH, found=FOUND, excluded=EXCLUDED)
def test_it_equals_the_same_written_again_slowly(protocol, truth, found, excluded):
    expected = by_hand.frame_claims(
        truth,
        found,
        CLASSES,
        threshold=0.5,
        limit=protocol.max_per_key_frame,
        only_annotated=protocol.only_annotated,
        best_first=protocol.best_first,
        excluded=excluded,
    )
    got = evaluate(truth, found, protocol=protocol, excluded=excluded)
    values = [by_hand.average_precision(*expected[label]) for label in CLASSES]
    wanted = torch.tensor(
        [math.nan if value is None else float(value) for value in values], dtype=torch.float64
    )
    assert same(got.per_class, wanted)
    assert got.num_positives.tolist() == [expected[label][1] for label in CLASSES]
    counted = [float(value) for value in values if value is not None]
    mean = sum(counted) / len(counted) if counted else math.nan
    assert got.mean == pytest.approx(mean, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("protocol", [ACTIVITYNET, CROWDED], ids=["activitynet", "crowded"])
@given(truth=TRUTH, found=FOUND, data=st.data())
def test_the_order_of_detections_does_not_matter(protocol, truth, found, data):
    shuffled = data.draw(st.permutations(found))
    assert same(
        evaluate(truth, found, protocol=protocol).per_class,
        evaluate(truth, shuffled, protocol=protocol).per_class,
    )


@given(truth=TRUTH, found=FOUND)
def test_only_the_order_of_scores_matters(truth, found):
    steeper = [(*row[:3], math.exp(3 * row[3]) - 40) for row in found]
    assert same(evaluate(truth, found).per_class, evaluate(truth, steeper).per_class)


@given(truth=TRUTH, found=FOUND, pairs=st.integers(1, 5))
def test_comparing_few_pairs_at_a_time_changes_nothing(truth, found, pairs):
    whole = evaluate(truth, found).per_class
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_MAX_PAIRS", pairs)
        assert same(evaluate(truth, found).per_class, whole)


@given(truth=st.lists(st.tuples(FRAMES, BOXES, st.sampled_from(CLASSES)), min_size=1, unique=True))
def test_the_ground_truth_itself_is_perfect_and_told_twice_is_half(truth):
    said = [(*row, 0.7) for row in truth]
    once = evaluate(truth, said, protocol=SLOWFAST)
    assert once.mean == pytest.approx(1.0)
    assert evaluate(truth, said * 2, protocol=SLOWFAST).mean == pytest.approx(0.5)


BOX = (0.1, 0.1, 0.5, 0.9)
FRAME, OTHER = (0, 902.0), (0, 903.0)


def test_frames_without_ground_truth_count_only_where_the_frames_come_from_proposals():
    truth, found = [(FRAME, BOX, 1)], [(OTHER, BOX, 1, 0.9), (FRAME, BOX, 1, 0.5)]
    assert evaluate(truth, found, protocol=ACTIVITYNET).mean == 1.0
    assert evaluate(truth, found, protocol=SLOWFAST).mean == 0.5
    # Annotated, if only with a class that is not evaluated: the false positive counts.
    assert evaluate([*truth, (OTHER, BOX, 2)], found, protocol=ACTIVITYNET).mean == 0.5


def test_a_box_goes_to_the_best_or_to_the_earliest_of_its_detections():
    truth = [(FRAME, BOX, 1), (OTHER, BOX, 1)]
    found = [(FRAME, BOX, 1, 0.1), (FRAME, BOX, 1, 0.9)]
    assert evaluate(truth, found, protocol=ACTIVITYNET).mean == 0.5
    assert evaluate(truth, found, protocol=SLOWFAST).mean == 0.25


def test_an_overlap_of_exactly_the_threshold_matches():
    found = [(FRAME, (0.0, 0.0, 0.5, 0.5), 1, 0.9)]
    assert evaluate([(FRAME, (0.0, 0.0, 0.5, 0.25), 1)], found).mean == 1.0


def test_a_detection_has_no_second_choice():
    near, far = (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.6)
    found = [(FRAME, near, 1, 0.9), (FRAME, near, 1, 0.8)]
    assert evaluate([(FRAME, near, 1), (FRAME, far, 1)], found).mean == 0.5


def test_the_official_evaluator_counts_fifty_detections_of_a_key_frame():
    empty = [(FRAME, (0.6, 0.6, 0.7, 0.7), 3, 0.9 - row / 1000) for row in range(50)]
    truth, found = [(FRAME, BOX, 1), (FRAME, BOX, 3)], [*empty, (FRAME, BOX, 1, 0.1)]
    assert evaluate(truth, found, protocol=ACTIVITYNET).per_class[0] == 0.0
    assert evaluate(truth, found[1:], protocol=ACTIVITYNET).per_class[0] == 1.0
    assert evaluate(truth, found, protocol=SLOWFAST).per_class[0] == 1.0


def test_at_the_limit_equal_scores_are_told_apart_by_class_then_y1_x1_y2_x2():
    one = FrameProtocol(max_per_key_frame=1, only_annotated=False, best_first=True)
    rising = [
        ((0.9, 0.1, 1.0, 0.8), 1),  # higher x1
        ((0.1, 0.2, 0.8, 0.8), 1),  # higher y1
        ((0.2, 0.2, 0.7, 0.7), 1),  # the same y1, higher x1
        ((0.2, 0.2, 0.6, 0.8), 1),  # higher y2
        ((0.2, 0.2, 0.7, 0.8), 1),  # the same y2, higher x2
        ((0.0, 0.0, 0.1, 0.1), 3),  # higher class
    ]
    for lower, higher in pairwise(rising):
        for pair in ((lower, higher), (higher, lower)):
            found = [(FRAME, *row, 0.5) for row in pair]
            truth = [(FRAME, *higher)]
            assert evaluate(truth, found, protocol=one).mean == 1.0


def test_excluded_key_frames_count_neither_as_truth_nor_as_detections():
    truth, found = [(FRAME, BOX, 1), (OTHER, BOX, 1)], [(OTHER, BOX, 1, 0.9), (FRAME, BOX, 1, 0.5)]
    left = evaluate(truth, found[1:], protocol=SLOWFAST, excluded=[OTHER])
    assert left.num_positives.tolist() == [1, 0, 0]
    assert left.mean == 1.0
    assert evaluate(truth, found, protocol=SLOWFAST, excluded=[OTHER]).mean == 1.0


def test_every_detection_that_did_not_count_is_counted():
    truth, excluded, flat = [(FRAME, BOX, 1)], (1, 902.0), (0.3, 0.1, 0.3, 0.5)
    found = [
        (excluded, BOX, 1, 0.9),
        (FRAME, BOX, 2, 0.9),
        (OTHER, BOX, 1, 0.9),
        (FRAME, flat, 1, 0.9),
        *[(FRAME, BOX, 1, score) for score in (0.8, 0.7, 0.6, 0.5)],
    ]
    got = rank_detections(
        ground_truth(truth),
        detections(found),
        class_ids=torch.tensor(CLASSES),
        protocol=CROWDED,
        excluded=key_frames([excluded]),
    )
    assert got.left_out == LeftOut(
        excluded=1, other_class=1, not_annotated=1, over_limit=2, no_area=1
    )
    assert got.ranking.scores.tolist() == [0.8, 0.7]


@given(truth=TRUTH, found=FOUND)
def test_left_out_and_ranked_are_all_there_are(truth, found):
    got = rank_detections(
        ground_truth(truth),
        detections(found),
        class_ids=torch.tensor(CLASSES),
        protocol=CROWDED,
    )
    left = got.left_out
    num_left = left.other_class + left.not_annotated + left.over_limit + left.no_area
    assert num_left + len(got.ranking.scores) == len(found)


def test_scores_of_all_classes_become_a_row_each_the_box_first():
    at = key_frames([FRAME, OTHER])
    boxes, scores = torch.tensor([BOX, BOX]), torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    got = detections_of_scores(at, boxes, scores, class_ids=torch.tensor(CLASSES))
    assert got.labels.tolist() == [1, 3, 4, 1, 3, 4]
    assert got.scores.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert got.at.seconds.tolist() == [902.0] * 3 + [903.0] * 3
    assert got.boxes.shape == (6, 4)


@given(left=st.lists(FRAMES), right=st.lists(FRAMES))
def test_key_frames_have_equal_numbers_exactly_where_they_are_equal(left, right):
    numbers = torch.cat(key_frame_numbers(key_frames(left), key_frames(right))).tolist()
    frames = [*left, *right]
    for frame, number in zip(frames, numbers, strict=True):
        assert [n == number for n in numbers] == [other == frame for other in frames]


def test_key_times_that_differ_by_rounding_are_the_same():
    (numbers,) = key_frame_numbers(key_frames([(0, 0.3), (0, 0.7 - 0.4), (0, 0.30001)]))
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: detections([(FRAME, BOX, 1, math.nan)]), "scores hold 1 NaN of 1"),
        (lambda: ground_truth([(FRAME, (0.5, 0, 0.1, 1), 1)]), "row 0 of the ground truth"),
        (lambda: ground_truth([(FRAME, (0, 0, math.inf, 1), 1)]), "must be finite numbers"),
        (lambda: key_frames([(0, math.nan)]), "seconds must be finite"),
        (lambda: evaluate([(FRAME, BOX, 1)], [], classes=(1, 1)), "none twice, got"),
        (lambda: evaluate([(FRAME, BOX, 1)], [], classes=()), "at least one id"),
        (
            lambda: GroundTruth(key_frames([FRAME]), torch.zeros(2, 4), torch.tensor([1])),
            r"need boxes \(1, 4\)",
        ),
        (
            lambda: detections_of_scores(
                key_frames([FRAME]),
                torch.zeros(1, 4),
                torch.zeros(1, 2),
                class_ids=torch.tensor([1]),
            ),
            r"scores must be \(1, 1\), boxes by classes",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
