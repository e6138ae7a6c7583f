"""Top-k accuracy, and EPIC-Kitchens' actions with their prior."""

import csv
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reelbank.heads.metrics import accuracy
from reelbank.heads.metrics.accuracy import (
    action_prior,
    epic_accuracy,
    label_places,
    top_accuracy,
)
from tests.heads.metrics import by_hand
from tests.shared_data import shared_data

ROWS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=7, max_size=7), st.integers(0, 6)
    ),
    min_size=1,
    max_size=8,
)


@given(rows=ROWS)
def test_it_equals_counting_one_by_one(rows):
    scores, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = top_accuracy(scores, labels)
    for k, share in ((1, found.top1), (5, found.top5)):
        hits = sum(by_hand.top_k(row, label, k) for row, label in rows)
        assert share == pytest.approx(hits / len(rows))


@given(rows=ROWS, data=st.data())
def test_the_order_of_classes_and_rows_does_not_matter(rows, data):
    order = data.draw(st.permutations(range(7)))
    moved = [([row[old] for old in order], order.index(label)) for row, label in rows]
    moved = data.draw(st.permutations(moved))
    left, right = (
        top_accuracy(*(torch.tensor(column) for column in zip(*some, strict=True)))
        for some in (rows, moved)
    )
    assert (left.top1, left.top5) == pytest.approx((right.top1, right.top5))


def test_a_prediction_that_is_the_same_for_all_classes_is_wrong():
    assert top_accuracy(torch.zeros(3, 6), torch.tensor([0, 1, 2])).top5 == 0.0


def test_five_classes_are_always_among_the_five_highest():
    assert top_accuracy(torch.zeros(2, 5), torch.tensor([0, 4])).top5 == 1.0


def random_segments(num_segments=40, num_verbs=4, num_nouns=6):
    generator = torch.Generator().manual_seed(0)
    verbs = torch.randint(num_verbs, (num_segments,), generator=generator)
    nouns = torch.randint(num_nouns, (num_segments,), generator=generator)
    verb_logits = torch.randn(num_segments, num_verbs, generator=generator)
    noun_logits = torch.randn(num_segments, num_nouns, generator=generator)
    return verb_logits, noun_logits, verbs, nouns


def softmax(logits):
    shares = [math.exp(logit) for logit in logits]
    return [share / sum(shares) for share in shares]


@pytest.mark.parametrize("with_prior", [True, False])
def test_actions_equal_the_released_script_written_again_slowly(with_prior):
    verb_logits, noun_logits, verbs, nouns = random_segments()
    seen = list(zip(verbs.tolist(), nouns.tolist(), strict=True))[:15]
    share = {(v, n): seen.count((v, n)) / 15 for v in range(4) for n in range(6)}
    of_verb = [sum(share[v, n] for n in range(6)) for v in range(4)]
    prior = action_prior(verbs[:15], nouns[:15], num_verbs=4, num_nouns=6) if with_prior else None
    found = epic_accuracy(verb_logits, noun_logits, verbs, nouns, prior=prior).action
    hits = {1: 0, 5: 0}
    for row in range(40):
        verb, noun = softmax(verb_logits[row].tolist()), softmax(noun_logits[row].tolist())
        scores = [
            verb[v] * noun[n] * (share[v, n] / (of_verb[v] + 1e-5) if with_prior else 1)
            for v in range(4)
            for n in range(6)
        ]
        for k in hits:
            hits[k] += by_hand.top_k(scores, int(verbs[row]) * 6 + int(nouns[row]), k)
    assert (found.top1, found.top5) == pytest.approx((hits[1] / 40, hits[5] / 40))


def test_verbs_and_nouns_of_epic_are_their_own_accuracies():
    verb_logits, noun_logits, verbs, nouns = random_segments()
    found = epic_accuracy(verb_logits, noun_logits, verbs, nouns, prior=None)
    assert found.verb == top_accuracy(verb_logits, verbs)
    assert found.noun == top_accuracy(noun_logits, nouns)
    assert found.action.top1 <= min(found.verb.top1, found.noun.top1)


def test_the_prior_of_real_segments_is_the_share_of_each_noun_among_a_verb():
    lines = shared_data() / "reference" / "annotations" / "epic100_validation_excerpt.csv"
    with lines.open(newline="") as file:
        pairs = [(int(r["verb_class"]), int(r["noun_class"])) for r in csv.DictReader(file)]
    verbs, nouns = (torch.tensor(column) for column in zip(*pairs, strict=True))
    prior = action_prior(verbs, nouns, num_verbs=97, num_nouns=300)
    assert prior.shape == (97, 300)
    verb, noun = pairs[0]
    of_verb = sum(v == verb for v, _ in pairs)
    expected = (pairs.count((verb, noun)) / len(pairs)) / (of_verb / len(pairs) + 1e-5)
    assert float(prior[verb, noun]) == pytest.approx(expected)
    unseen = next(v for v in range(97) if all(v != other for other, _ in pairs))
    assert (prior[unseen] == 0).all()


def test_few_segments_at_a_time_change_nothing(monkeypatch):
    whole = epic_accuracy(*random_segments(), prior=None)
    monkeypatch.setattr(accuracy, "_MAX_ACTION_SCORES", 1)
    assert epic_accuracy(*random_segments(), prior=None) == whole


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: label_places(torch.zeros(0, 3), torch.zeros(0).long()), "n > 0"),
        (lambda: label_places(torch.zeros(2, 3), torch.zeros(3).long()), r"labels \(n,\)"),
        (lambda: label_places(torch.zeros(1, 3), torch.tensor([3])), "labels from 3 to 3"),
        (lambda: label_places(torch.zeros(1, 3), torch.tensor([-1])), "labels from -1"),
        (lambda: label_places(torch.full((1, 3), math.nan), torch.tensor([0])), "3 NaN"),
        (
            lambda: epic_accuracy(*random_segments(), prior=torch.zeros(6, 4)),
            r"prior must be \(4, 6\), verbs by nouns, got \(6, 4\)",
        ),
        (
            lambda: epic_accuracy(
                *random_segments()[:1],
                *random_segments(30)[1:2],
                random_segments()[2],
                random_segments(30)[3],
                prior=None,
            ),
            "40 verbs and 30 nouns",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
