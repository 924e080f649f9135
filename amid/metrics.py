"""What the tables report, as plain numbers, from the predictions or features of a whole split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from amid.losses.cosine import unit_rows

# Cosines held at once in a retrieval: 2**23 float32 are 32 MiB.
COSINES_A_CHUNK = 2**23


def retrieval_recall(
    queries: Tensor,
    query_labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    ks: Sequence[int],
) -> list[float]:
    """R@K (Tab. 2): share of queries with a sample of their class among the K nearest by cosine.

    (N, D), (N,), (M, D), (M,) -> one share in [0, 1] for each of `ks`, in its order. Equal cosines
    rank by gallery index; a query whose class the gallery lacks is a miss; K beyond the gallery
    means all of it.
    """
    size = len(gallery)
    order = torch.arange(size, device=gallery.device)  # (M,)
    # A query's own length does not change the order of its neighbours.
    gallery = unit_rows(gallery)  # (M, D)
    ranks = []
    chunk = max(1, COSINES_A_CHUNK // size)
    for rows, labels in zip(queries.split(chunk), query_labels.split(chunk), strict=True):
        cosines = rows @ gallery.T  # (n, M)
        right = labels[:, None] == gallery_labels  # (n, M)
        matching = cosines.masked_fill(~right, -math.inf)  # (n, M)
        # A query succeeds at K when fewer than K gallery samples come before the best of its class.
        best = matching.argmax(dim=1, keepdim=True)  # (n, 1), the first of equals
        limit = matching.gather(1, best)  # (n, 1), -inf without a sample of the class
        before = (cosines > limit) | ((cosines == limit) & (order < best))  # (n, M)
        ranks.append(before.sum(dim=1))
    rank = torch.cat(ranks)  # (N,)
    return [(rank < min(k, size)).double().mean().item() for k in ks]


def weighted_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """WA (Tab. 3), Top-1: the share of right predictions; (N,), (N,) class indices."""
    return (predictions == labels).double().mean().item()


def class_accuracy(predictions: Tensor, labels: Tensor) -> dict[int, float]:
    """Recall of each class that occurs in the labels (Fig. 3), classes ascending; (N,), (N,)."""
    classes, members = labels.unique(return_inverse=True)  # (C,), (N,)
    right = torch.bincount(members, weights=(predictions == labels).double())  # (C,)
    recalls = right / torch.bincount(members)  # (C,)
    return dict(zip(classes.tolist(), recalls.tolist(), strict=True))


def unweighted_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """UA (Tab. 3): the mean recall of the classes that occur in the labels; (N,), (N,)."""
    recalls = class_accuracy(predictions, labels).values()
    return sum(recalls) / len(recalls)


def within_class_similarity(teacher: Tensor, student: Tensor, labels: Tensor) -> float:
    """Mean cos(F_i, T_j) over the ordered pairs i != j of one class (Fig. 5); NaN without a pair.

    (N, D), (N, D), (N,) -> a number in [-1, 1]. Needs memory for N x D, not N x N.
    """
    classes, members = labels.unique(return_inverse=True)  # (C,), (N,)
    # The cosines of a class add up to the product of its summed unit rows, less its pairs i = i.
    teacher = unit_rows(teacher.double())  # (N, D)
    student = unit_rows(student.double())  # (N, D)
    zeros = teacher.new_zeros(len(classes), teacher.shape[1])  # (C, D)
    teacher_sums = zeros.index_add(0, members, teacher)  # (C, D)
    student_sums = zeros.index_add(0, members, student)  # (C, D)
    total = (teacher_sums * student_sums).sum() - (teacher * student).sum()
    pairs = torch.bincount(members).square().sum() - len(labels)
    return (total / pairs).item() if pairs else math.nan


def mean_average_precision(queries, query_labels, gallery, gallery_labels):
    s = unit_rows(queries) @ unit_rows(gallery).T
    order = s.argsort(dim=1, descending=True, stable=True)
    right = (gallery_labels[order] == query_labels[:, None]).double()
    precision = right.cumsum(1) / torch.arange(1, len(gallery) + 1)
    return ((precision * right).sum(1) / right.sum(1).clamp(min=1)).mean().item()
