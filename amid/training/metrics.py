"""Metrics of the tables, from the predictions or features of a whole split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from amid.losses.cosine import cosine_matrix, unit_rows
from amid.training.retrieval import nearest

# Cosines ranked at once: 2**22 float32 are 16 MiB, and ranking them takes six times that.
COSINES_A_CHUNK = 2**22


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
    _, indices = nearest(queries, gallery, max(ks))  # (N, K)
    right = gallery_labels[indices] == query_labels[:, None]  # (N, K)
    return [right[:, :k].any(dim=1).double().mean().item() for k in ks]


def mean_average_precision(
    queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor
) -> float:
    """mAP: the mean over queries of the average precision of the whole gallery ranked by cosine.

    (N, D), (N,), (M, D), (M,) -> a number in [0, 1]. A query's average precision is the mean, over
    the gallery samples of its class, of the share of its class down to that sample. Equal cosines
    rank by gallery index; a query whose class the gallery lacks counts 0.
    """
    chunk = max(1, COSINES_A_CHUNK // len(gallery))
    total = 0.0
    for rows, labels in zip(queries.split(chunk), query_labels.split(chunk), strict=True):
        cosines = cosine_matrix(rows, gallery)  # (n, M)
        ranking = cosines.argsort(dim=1, descending=True, stable=True)  # (n, M)
        # Hits row by row, in the order of the ranking: its h-th hit at `rank` has precision h/rank.
        query, rank = (gallery_labels[ranking] == labels[:, None]).nonzero(as_tuple=True)  # (H,)
        hits = torch.bincount(query, minlength=len(rows))  # (n,)
        before = hits.cumsum(0) - hits  # (n,), hits of the rows above
        nth = torch.arange(1, len(query) + 1, device=query.device) - before[query]  # (H,)
        total += (nth / (rank + 1).double() / hits[query]).sum().item()
    return total / len(queries)


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


def macro_f1(predictions: Tensor, labels: Tensor) -> float:
    """Macro F1: the mean over the classes that occur in the labels of 2PR / (P + R); (N,), (N,).

    Precision P and recall R of a class that is never predicted rightly count 0.
    """
    classes, members = labels.unique(return_inverse=True)  # (C,), (N,)
    right = torch.bincount(members, weights=(predictions == labels).double())  # (C,)
    predicted = torch.stack([(predictions == label).sum() for label in classes])  # (C,)
    # 2PR / (P + R) written in counts, which has no division by zero.
    return (2 * right / (predicted + torch.bincount(members))).mean().item()


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
