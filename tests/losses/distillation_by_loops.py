"""The losses of the methods on request as explicit loops, as `by_loops` has the others'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

from tests.losses.by_loops import (
    Number,
    Rows,
    cosine,
    difference,
    dot,
    kullback_leibler,
    log,
    mean,
    norm,
    probabilities,
    softened_divergence,
)

LS_EPSILON, DIST_EPSILON, RKD_EPSILON = 1e-7, 1e-8, 1e-12  # of the released codes


# ---------------------------------------------------------------- logit_standardised.py, dkd.py


def standardised(rows: Rows) -> list[list[Number]]:
    found = []
    for row in rows:
        apart = [x - mean(row) for x in row]
        deviation = norm(apart) / math.sqrt(max(len(row) - 1, 1)) if any(apart) else 0
        found.append([x / (LS_EPSILON + deviation) for x in apart])
    return found


def standardised_divergence(student: Rows, teacher: Rows, temperature: float) -> Number:
    return softened_divergence(standardised(student), standardised(teacher), temperature)


def target_divergence(
    student: Rows, teacher: Rows, labels: Sequence[int], temperature: float
) -> Number:
    total = 0
    for x, y, label in zip(student, teacher, labels, strict=True):
        p, q = probabilities(x, temperature), probabilities(y, temperature)
        rest = [sum(each[:label] + each[label + 1 :]) for each in (q, p)]
        if len(p) > 1:
            total += kullback_leibler([q[label], rest[0]], [p[label], rest[1]])
    return temperature**2 * total / len(labels)


def non_target_divergence(
    student: Rows, teacher: Rows, labels: Sequence[int], temperature: float
) -> Number:
    if len(student[0]) == 1:
        return 0
    both = [
        [
            [x for c, x in enumerate(row) if c != label]
            for row, label in zip(rows, labels, strict=True)
        ]
        for rows in (student, teacher)
    ]
    return softened_divergence(*both, temperature)


# ---------------------------------------------------------------- dist.py


def inter_class(student: Rows, teacher: Rows, temperature: float) -> Number:
    both = [[probabilities(row, temperature) for row in rows] for rows in (student, teacher)]
    return temperature**2 * mean([1 - _correlation(u, v) for u, v in zip(*both, strict=True)])


def intra_class(student: Rows, teacher: Rows, temperature: float) -> Number:
    both = [[probabilities(row, temperature) for row in rows] for rows in (student, teacher)]
    columns = [list(zip(*rows, strict=True)) for rows in both]
    return temperature**2 * mean([1 - _correlation(u, v) for u, v in zip(*columns, strict=True)])


def _correlation(u: Sequence[Number], v: Sequence[Number]) -> Number:
    u, v = [x - mean(u) for x in u], [x - mean(v) for x in v]
    return dot(u, v) / (norm(u) * norm(v) + DIST_EPSILON) if any(u) and any(v) else 0


# ---------------------------------------------------------------- fitnets.py, rkd.py


def hint(student: Rows, teacher: Rows) -> Number:
    both = zip(chain(*student), chain(*teacher), strict=True)
    return mean([(x - y) ** 2 for x, y in both])


def _huber(x: Number) -> Number:
    return x**2 / 2 if abs(x) < 1 else abs(x) - 1 / 2


def distance(student: Rows, teacher: Rows) -> Number:
    size = len(student)
    if size == 1:
        return 0
    both = []
    for rows in (student, teacher):
        found = [[_far(difference(y, x)) if x is not y else 0 for y in rows] for x in rows]
        middle = sum(map(sum, found)) / (size * (size - 1))
        both.append([d / middle for row in found for d in row])
    return mean([_huber(x - y) for x, y in zip(*both, strict=True)])


def _far(difference: Sequence[Number]) -> Number:
    return norm(difference) if dot(difference, difference) > RKD_EPSILON else math.sqrt(RKD_EPSILON)


def angle(student: Rows, teacher: Rows) -> Number:
    total, size = 0, len(student)
    for i in range(size):
        for j in range(size):
            for k in range(size):
                x, y = (
                    cosine(difference(rows[j], rows[i]), difference(rows[k], rows[i]))
                    for rows in (student, teacher)
                )
                total += _huber(x - y)
    return total / size**3


# ---------------------------------------------------------------- c2kd.py, ofa.py


def rank_correlation(student: Rows, teacher: Rows) -> list[Number]:
    found = []
    for x, y in zip(student, teacher, strict=True):
        pairs = [(i, j) for j in range(len(x)) for i in range(j)]
        mine, theirs = ([_sign(row[i] - row[j]) for i, j in pairs] for row in (x, y))
        untied = sum(map(abs, mine)) * sum(map(abs, theirs))
        found.append(dot(mine, theirs) / math.sqrt(untied) if untied else 0)
    return found


def _sign(x: Number) -> int:
    return int(x > 0) - int(x < 0)


def selected_divergence(
    student: Rows, teacher: Rows, labels: Sequence[int], threshold: float
) -> Number:
    total = 0
    for x, y, label, tau in zip(
        student, teacher, labels, rank_correlation(student, teacher), strict=True
    ):
        if tau > threshold:
            p, q = (
                probabilities([v if c != label else 0 * v for c, v in enumerate(row)])
                for row in (x, y)
            )
            total += kullback_leibler(q, p)
    return total / len(labels)


def enhanced_cross_entropy(
    student: Rows, teacher: Rows, labels: Sequence[int], gamma: float, temperature: float
) -> Number:
    total = 0
    for x, y, label in zip(student, teacher, labels, strict=True):
        p, q = probabilities(x, temperature), probabilities(y, temperature)
        for c in range(len(p)):
            total -= ((q[c] + (c == label)) ** gamma - (c == label)) * log(p[c])
    return total / len(labels)


# ---------------------------------------------------------------- mgd.py


def channel_salience(
    student: Rows, teacher: Rows, weight: Rows, bias: Sequence[Number]
) -> list[Number]:
    """Every sample's value replaced by every one of the batch's in turn: the mean over all
    permutations."""
    size, found = len(teacher), []
    for d in range(len(teacher[0])):
        total = 0
        for i in range(size):
            for j in range(size):
                row = [*teacher[i][:d], teacher[j][d], *teacher[i][d + 1 :]]
                logits = [dot(w, row) + b for w, b in zip(weight, bias, strict=True)]
                total += sum((t - s) ** 2 for t, s in zip(logits, student[i], strict=True))
        found.append(total / (size**2 * len(bias)))
    return found


def frozen(teacher: Rows, salience: Sequence[Number], ratio: float) -> list[list[Number]]:
    order = sorted(range(len(salience)), key=lambda d: (salience[d], d))
    least = set(order[: int(ratio * len(order))])
    return [
        [mean([other[d] for other in teacher]) if d in least else x for d, x in enumerate(row)]
        for row in teacher
    ]
