"""The losses as explicit loops over single numbers, each as its definition says it.

A number is a scalar tensor, for gradients, or anything that mpmath takes: then it has 60 digits and
an exponent without limits, so that nothing overflows and nothing is lost to cancellation.
Functions bear the names of the losses and take rows, labels and numbers in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
from torch import Tensor

from amid.losses import UNLABELLED

Number = Any  # a scalar tensor, mpf, float or int
Rows = Sequence[Sequence[Number]]

MP = mpmath.MPContext()
MP.dps = 60
CCL_EPSILON, CRD_EPSILON = 1e-10, 1e-7  # of the released codes


def exp(x: Number) -> Number:
    return x.exp() if isinstance(x, Tensor) else MP.exp(x)


def log(x: Number) -> Number:
    return x.log() if isinstance(x, Tensor) else MP.log(x)


def norm(row: Sequence[Number]) -> Number:
    square = dot(row, row)
    return square.sqrt() if isinstance(square, Tensor) else MP.sqrt(square)


def dot(x: Sequence[Number], y: Sequence[Number]) -> Number:
    return sum(a * b for a, b in zip(x, y, strict=True))


def cosine(x: Sequence[Number], y: Sequence[Number]) -> Number:
    """0 of a zero row."""
    return dot(x, y) / (norm(x) * norm(y)) if any(x) and any(y) else 0 * dot(x, y)


def mean(values: Sequence[Number]) -> Number:
    return sum(values) / len(values)


# ---------------------------------------------------------------- cosine.py


def cosine_matrix(a: Rows, b: Rows) -> list[list[Number]]:
    return [[cosine(x, y) for y in b] for x in a]


def inverse_norms(rows: Rows) -> list[Number]:
    return [1 / norm(row) if any(row) else 0 * row[0] for row in rows]


def unit_rows(rows: Rows) -> list[list[Number]]:
    return [[x / norm(row) for x in row] if any(row) else list(row) for row in rows]


# ---------------------------------------------------------------- mutual_information.py


def class_aware_nce(
    anchors: Rows, candidates: Rows, labels: Sequence[int], temperature: float
) -> Number:
    size = len(labels)
    total = 0
    for i in range(size):
        powers = [exp(cosine(anchors[i], candidates[j]) / temperature) for j in range(size)]
        for j in range(size):
            if labels[j] == labels[i]:
                total += log(powers[j] / sum(powers))
            else:
                rest = sum(power for k, power in enumerate(powers) if k != j)
                total += log(rest / sum(powers))
    return -total / size


# ---------------------------------------------------------------- ccl.py


def pair_contrastive(a: Rows, b: Rows, labels: Sequence[int], temperature: float) -> Number:
    size = len(labels)
    total = 0
    for x, y in ((a, b), (b, a)):
        for i in range(size):
            powers = [exp(cosine(x[i], y[j]) / temperature) for j in range(size)]
            positives, negatives = [], []
            for j in range(size):
                if labels[j] == labels[i]:
                    positives.append(-log(powers[j] / sum(powers) + CCL_EPSILON))
                else:
                    rest = sum(power for k, power in enumerate(powers) if k != j)
                    negatives.append(-log(rest / sum(powers) + CCL_EPSILON))
            total += mean(positives)
            if negatives:
                total += mean(negatives)
    return total / size


# ---------------------------------------------------------------- clip.py


def per_sample(a: Rows, b: Rows, temperature: float) -> list[Number]:
    size = len(a)
    found = []
    for i in range(size):
        there = [exp(cosine(a[i], b[j]) / temperature) for j in range(size)]
        back = [exp(cosine(a[j], b[i]) / temperature) for j in range(size)]
        found.append(-(log(there[i] / sum(there)) + log(back[i] / sum(back))) / 2)
    return found


def symmetric(a: Rows, b: Rows, temperature: float) -> Number:
    return mean(per_sample(a, b, temperature))


# ---------------------------------------------------------------- gmc.py


def joint_contrastive(joint: Rows, modalities: Sequence[Rows], temperature: float) -> Number:
    size = len(joint)
    total = 0 * joint[0][0]
    for modality in modalities:
        rows = [*joint, *modality]
        for i, row in enumerate(rows):
            partner = rows[(i + size) % (2 * size)]
            powers = [exp(dot(row, other) / temperature) for j, other in enumerate(rows) if j != i]
            total -= (dot(row, partner) / temperature - log(sum(powers))) / (2 * size)
    return total


# ---------------------------------------------------------------- crd.py


def bank_logits(anchors: Rows, bank: Rows, temperature: float) -> list[list[Number]]:
    return [[dot(s, v) / temperature for v in bank] for s in anchors]


def noise_contrastive(scores: Rows, n_samples: int, weights: Sequence[Sequence[float]]) -> Number:
    total = 0
    for row, drawn in zip(scores, weights, strict=True):
        c = sum(drawn) / n_samples
        total += log(row[0] / (row[0] + c + CRD_EPSILON))
        for k, times in enumerate(drawn, start=1):
            if times > 0:
                total += times * log(c / (row[k] + c + CRD_EPSILON))
    return -total / len(scores)


def noise_contrastive_logits(
    positive: Sequence[Number],
    negatives: Rows,
    n_samples: int,
    weights: Sequence[Sequence[float]],
    log_z: float = 0.0,
) -> Number:
    logits = [[first, *others] for first, others in zip(positive, negatives, strict=True)]
    scores = [[exp(logit - log_z) for logit in row] for row in logits]
    return noise_contrastive(scores, n_samples, weights)


def drawn_contrastive(
    anchors: Rows,
    positive: Sequence[Number],
    bank: Rows,
    candidates: Sequence[int] | None,
    times: Sequence[int],
    own: Sequence[int],
    theirs: Sequence[int],
    count: int,
    temperature: float,
    log_z: float,
) -> Number:
    rows = bank if candidates is None else [bank[k] for k in candidates]
    weights = []
    for label in own:
        drawn = [n if label != other else 0 for n, other in zip(times, theirs, strict=True)]
        weights.append([MP.mpf(n) * count / max(sum(drawn), 1) for n in drawn])
    logits = bank_logits(anchors, rows, temperature)
    return noise_contrastive_logits(positive, logits, len(bank), weights, log_z)


# ---------------------------------------------------------------- crcd.py


def relation_cosines(
    anchors: Rows, centres: Rows, positives: Rows, candidates: Rows
) -> tuple[list[Number], list[list[Number]]]:
    own, others = [], []
    for anchor, centre, positive in zip(anchors, centres, positives, strict=True):
        relation = difference(anchor, centre)
        own.append(cosine(relation, difference(positive, centre)))
        others.append([cosine(relation, difference(other, centre)) for other in candidates])
    return own, others


def difference(x: Sequence[Number], y: Sequence[Number]) -> list[Number]:
    return [a - b for a, b in zip(x, y, strict=True)]


def gradient_agreement(student: Rows, teacher: Rows) -> Number:
    return mean([1 - cosine(a, b) for a, b in zip(student, teacher, strict=True)])


# ---------------------------------------------------------------- agreement.py, logits.py


def probabilities(logits: Sequence[Number], temperature: float = 1.0) -> list[Number]:
    powers = [exp(value / temperature) for value in logits]
    return [power / sum(powers) for power in powers]


def classification(student: Rows, teacher: Rows, labels: Sequence[int]) -> Number:
    return sum(
        mean([-log(probabilities(row)[label]) for row, label in zip(rows, labels, strict=True)])
        for rows in (student, teacher)
    )


def labelled_cross_entropy(logits: Rows, labels: Sequence[int]) -> Number:
    known = [n for n, label in enumerate(labels) if label != UNLABELLED]
    return mean([-log(probabilities(logits[n])[labels[n]]) for n in known]) if known else 0


def partner_excess(
    logits: Rows, labels: Sequence[int], partners: Sequence[int], shares: Sequence[Number]
) -> Number:
    known = [n for n, label in enumerate(labels) if label != UNLABELLED]
    costs = [[-log(p) for p in probabilities(row)] for row in logits]
    excess = [shares[n] * (costs[n][partners[n]] - costs[n][labels[n]]) for n in known]
    return mean(excess) if known else 0


def labelled_rows(labels: Sequence[int]) -> list[int]:
    return [n for n, label in enumerate(labels) if label != UNLABELLED]


def known_pairs(labels: Sequence[int]) -> tuple[list[list[bool]], list[list[bool]]]:
    same, possible = [], []
    for i, label in enumerate(labels):
        open_ = [i != j and UNLABELLED in (label, other) for j, other in enumerate(labels)]
        equal = [label == other for other in labels]
        same.append([e and not o for e, o in zip(equal, open_, strict=True)])
        possible.append([e or o for e, o in zip(equal, open_, strict=True)])
    return same, possible


def jensen_shannon(student: Rows, teacher: Rows) -> Number:
    total = 0
    for row, other in zip(student, teacher, strict=True):
        for x, y in zip(probabilities(row), probabilities(other), strict=True):
            m = (x + y) / 2
            total += (x * log(x / m) + y * log(y / m)) / 2
    return total / len(student)


def kullback_leibler(p: Sequence[Number], q: Sequence[Number]) -> Number:
    return sum(x * log(x / y) for x, y in zip(p, q, strict=True))


def softened_divergence(student: Rows, teacher: Rows, temperature: float) -> Number:
    divergences = [
        kullback_leibler(probabilities(y, temperature), probabilities(x, temperature))
        for x, y in zip(student, teacher, strict=True)
    ]
    return temperature**2 * mean(divergences)


def symmetric_divergence(a: Rows, b: Rows) -> Number:
    pairs = [(probabilities(x), probabilities(y)) for x, y in zip(a, b, strict=True)]
    return mean([(kullback_leibler(p, q) + kullback_leibler(q, p)) / 2 for p, q in pairs])


def uniform_excess(logits: Rows, labels: Sequence[int]) -> Number:
    costs = []
    for row, label in zip(logits, labels, strict=True):
        logarithms = [log(p) for p in probabilities(row)]
        costs.append(logarithms[label] - mean(logarithms))
    return mean(costs)


# ---------------------------------------------------------------- adversarial.py


def _minus_log(logit: Number, real: bool) -> Number:
    """-log D, or -log(1 - D), D the logistic function of the logit."""
    return log(1 + exp(-logit if real else logit))


def _mean_cost(logits: Sequence[Number], cost: Callable[[Number], Number]) -> Number:
    """0 without samples."""
    return mean([cost(value) for value in logits]) if len(logits) else 0


def _costs(form: str) -> tuple[Callable, Callable, Callable]:
    """Of one sample that is real, that is fake, and for the student that is told from the real."""
    if form == "least_squares":
        real, fake = (lambda v: (v - 1) ** 2 / 2), (lambda v: v**2 / 2)
    else:
        real, fake = (lambda v: _minus_log(v, True)), (lambda v: _minus_log(v, False))
    return real, fake, (lambda v: -fake(v)) if form == "saturating" else real


def student_adversarial(
    d1: Sequence[Number],
    d2: Sequence[Number],
    weights: Sequence[float],
    frequency: float,
    form: str = "non_saturating",
) -> Number:
    fooled = _costs(form)[2]
    return weights[0] * _mean_cost(d1, fooled) + weights[1] * frequency * _mean_cost(d2, fooled)


def discriminator(
    d1_teacher: Sequence[Number],
    d1_student: Sequence[Number],
    d2_teacher: Sequence[Number],
    d2_student: Sequence[Number],
    frequency: float,
    form: str = "non_saturating",
) -> Number:
    real, fake, _ = _costs(form)
    enhanced = _mean_cost(d2_teacher, real) + _mean_cost(d2_student, fake)
    return _mean_cost(d1_teacher, real) + _mean_cost(d1_student, fake) + frequency * enhanced


def repeated_class_mask(labels: Sequence[int]) -> list[bool]:
    return [label != UNLABELLED and list(labels).count(label) > 1 for label in labels]


def dynamic_weights(epochs: Sequence[Sequence[tuple]], smoothing: float) -> list[dict[str, list]]:
    """Of each epoch its S, Q and w; epochs: batches (teacher, student, labels)."""
    s, q, states = [math.nan] * 2, [math.nan] * 2, []
    for epoch in epochs:
        cosines: tuple[list, list] = ([], [])
        for teacher, student, labels in epoch:
            for i in range(len(labels)):
                for j in range(len(labels)):
                    if i == j or labels[i] == labels[j]:
                        cosines[i != j].append(cosine(teacher[i], student[j]))
        for k in range(2):
            if cosines[k]:
                s[k] = float(mean(cosines[k]))
            q[k] = s[k] if math.isnan(q[k]) else smoothing * q[k] + (1 - smoothing) * s[k]
        powers = [math.exp(-value) for value in q]
        unknown = math.isnan(sum(powers))
        w = [0.5, 0.5] if unknown else [power / sum(powers) for power in powers]
        states.append({"s": list(s), "q": list(q), "w": w})
    return states
