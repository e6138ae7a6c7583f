"""The same metrics written again, slowly: plain Python, fractions, one loop for each word."""

import heapq
from fractions import Fraction
from itertools import pairwise


def average_precision(claims, num_positives, curve="all_points"):
    """Claims are (score, is correct); equal scores are taken in together. None: no positives."""
    if num_positives == 0:
        return None
    points = [(Fraction(0), Fraction(0))]  # (recall, precision) at each threshold
    for threshold in sorted({score for score, _ in claims}, reverse=True):
        taken = [correct for score, correct in claims if score >= threshold]
        points.append((Fraction(sum(taken), num_positives), Fraction(sum(taken), len(taken))))

    def at_least(recall):
        return max((p for r, p in points if r >= recall), default=Fraction(0))

    if curve == "eleven_points":
        return sum(at_least(Fraction(tenth, 10)) for tenth in range(11)) / 11
    if curve == "all_points":
        return sum((right - left) * at_least(right) for (left, _), (right, _) in pairwise(points))
    return sum((right - left) * precision for (left, _), (right, precision) in pairwise(points))


def charades_average_precision(scores, labels):
    """One class: mean precision at the positives, equal scores in row order."""
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    hits, precisions = 0, []
    for place, row in enumerate(order, start=1):
        if labels[row]:
            hits += 1
            precisions.append(Fraction(hits, place))
    return sum(precisions) / len(precisions) if precisions else None


def iou(left, right):
    width = max(0.0, min(left[2], right[2]) - max(left[0], right[0]))
    height = max(0.0, min(left[3], right[3]) - max(left[1], right[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (left, right)]
    return width * height / (sum(areas) - width * height)


def frame_claims(truth, found, classes, *, threshold, limit, only_annotated, best_first, excluded):
    """Per class the claims [(score, is correct)] and the number of positives.

    truth: rows (frame, box, label); found: rows (frame, box, label, score).
    """
    truth = [row for row in truth if row[0] not in excluded]
    annotated = {row[0] for row in truth}
    frames = {}
    for frame, box, label, score in found:
        if frame in excluded or label not in classes or (only_annotated and frame not in annotated):
            continue
        frames.setdefault(frame, []).append((score, label, box))
    claims = {label: [] for label in classes}
    for frame, rows in frames.items():
        if limit is not None:
            best = heapq.nlargest(
                limit, rows, key=lambda r: (r[0], r[1], r[2][1], r[2][0], r[2][3], r[2][2])
            )
            for row in list(rows):
                if row in best:
                    best.remove(row)
                else:
                    rows.remove(row)
        if best_first:
            rows.sort(key=lambda row: -row[0])
        taken = set()
        for score, label, box in rows:
            if box[0] >= box[2] or box[1] >= box[3]:
                continue
            theirs = [
                (-iou(box, other), place)
                for place, (at, other, name) in enumerate(truth)
                if at == frame and name == label
            ]
            overlap, place = min(theirs, default=(0, None))
            correct = bool(theirs) and -overlap >= threshold and place not in taken
            if correct:
                taken.add(place)
            claims[label].append((score, correct))
    return {label: (claims[label], sum(name == label for _, _, name in truth)) for label in classes}


def top_k(scores, label, k):
    """Whether fewer than k others score as much as the label or more."""
    others = [score for place, score in enumerate(scores) if place != label]
    return sum(score >= scores[label] for score in others) < k
