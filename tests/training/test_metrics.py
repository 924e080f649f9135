"""The reported numbers against golden numbers, explicit loops and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.training import metrics, retrieval
from amid.training.metrics import (
    class_accuracy,
    macro_f1,
    mean_average_precision,
    retrieval_recall,
    unweighted_accuracy,
    weighted_accuracy,
    within_class_similarity,
)
from tests import golden_numbers as golden
from tests.losses.batches import random_batch
from tests.losses.observed import Observed

PREDICTED = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    "case", golden.cases("amid.training.metrics"), ids=lambda case: case["name"]
)
def test_golden_numbers(case, dtype):
    got = golden.function(case)(**golden.arguments(case, dtype))
    if isinstance(got, dict):
        assert list(got) == sorted(got)
        got = {"classes": list(got), "accuracy": list(got.values())}
    exact = dtype == torch.float64
    rtol, atol = (case["rtol"], case["atol"]) if exact else (1e-6, 1e-7)
    golden.assert_close(got, case["expected"], rtol, atol, case["name"])


def recall_by_loops(
    queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor, k: int
) -> float:
    hits = 0
    for row, label in zip(queries, query_labels, strict=True):
        cosines = [
            (torch.dot(row, other) / (row.norm() * other.norm())).item() for other in gallery
        ]
        nearest = sorted(range(len(gallery)), key=lambda index: (-cosines[index], index))[:k]
        hits += any(gallery_labels[index] == label for index in nearest)
    return hits / len(queries)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    classes=st.integers(1, 6),
)
def test_recall_equals_the_explicit_loops(seed, counts, classes):
    queries, _, query_labels = random_batch(seed, counts[0], 3, classes)
    gallery, _, gallery_labels = random_batch(seed + 1, counts[1], 3, classes)
    ks = [5, 1, 2, 100]
    inputs = queries.detach(), query_labels, gallery.detach(), gallery_labels
    assert retrieval_recall(*inputs, ks) == [recall_by_loops(*inputs, k) for k in ks]


def test_recall_needs_no_tensor_of_all_cosines_nor_a_second_gallery(monkeypatch):
    queries, _, query_labels = random_batch(1, 50, 4, 8)
    gallery, _, gallery_labels = random_batch(2, 400, 4, 8)
    inputs = queries.detach(), query_labels, gallery.detach(), gallery_labels, [1, 3, 10]
    whole = retrieval_recall(*inputs)
    # Blocks of all shapes, and ones that do not divide: no two cosines here are so close that the
    # last bit, which may depend on a block's shape, changes their order.
    for rows, columns in ((1, 100), (5, 40), (7, 64)):
        monkeypatch.setattr(retrieval, "QUERIES_A_BLOCK", rows)
        monkeypatch.setattr(retrieval, "GALLERY_A_BLOCK", columns)
        with Observed() as seen:
            assert retrieval_recall(*inputs) == whole
        assert seen.largest <= 50 * 10  # the K nearest of every query
    assert 0 < whole[0] < whole[1] < whole[2] < 1


def test_equal_cosines_rank_by_gallery_index():
    query, labels = torch.tensor([[1.0, 1.0]]), torch.tensor([7])
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    assert retrieval_recall(query, labels, gallery, torch.tensor([3, 7, 7]), [1, 2]) == [0, 1]
    assert retrieval_recall(query, labels, gallery, torch.tensor([7, 3, 7]), [1, 2]) == [1, 1]


def test_many_equal_cosines_rank_by_gallery_index():
    gallery = torch.zeros(40, 3)
    labels = torch.arange(40)
    for k in (1, 17, 40):
        assert retrieval_recall(gallery, labels, gallery, labels, [k]) == [k / 40]


def test_query_of_a_foreign_class_is_a_miss_at_every_k():
    rows = torch.eye(3)
    labels = torch.tensor([0, 1, 2])
    assert retrieval_recall(rows, labels + 10, rows, labels, [1, 3, 50]) == [0, 0, 0]


def precision_by_loops(
    queries: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor
) -> float:
    total = 0.0
    for row, label in zip(queries, query_labels, strict=True):
        cosines = [
            (torch.dot(row, other) / (row.norm() * other.norm())).item() for other in gallery
        ]
        ranking = sorted(range(len(gallery)), key=lambda index: (-cosines[index], index))
        hits, precisions = 0, []
        for rank, index in enumerate(ranking, start=1):
            if gallery_labels[index] == label:
                hits += 1
                precisions.append(hits / rank)
        total += sum(precisions) / len(precisions) if precisions else 0
    return total / len(queries)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    classes=st.integers(1, 6),
    chunk=st.integers(1, 60),
)
def test_average_precision_equals_the_explicit_loops(seed, counts, classes, chunk):
    queries, _, query_labels = random_batch(seed, counts[0], 3, classes)
    gallery, _, gallery_labels = random_batch(seed + 1, counts[1], 3, classes)
    inputs = queries.detach(), query_labels, gallery.detach(), gallery_labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "COSINES_A_CHUNK", chunk)
        got = mean_average_precision(*inputs)
    assert got == pytest.approx(precision_by_loops(*inputs), rel=1e-12)


def test_average_precision_equals_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    queries, _, query_labels = random_batch(5, 40, 6, 7)
    gallery, _, gallery_labels = random_batch(6, 300, 6, 7)
    queries, gallery = queries.detach(), gallery.detach()
    cosines = torch.cosine_similarity(queries[:, None], gallery, dim=2)
    assert all(len(row.unique()) == 300 for row in cosines)  # scikit-learn joins ties in one rank
    want = [
        sklearn_metrics.average_precision_score(gallery_labels == label, row)
        for row, label in zip(cosines, query_labels, strict=True)
    ]
    got = mean_average_precision(queries, query_labels, gallery, gallery_labels)
    assert got == pytest.approx(sum(want) / len(want), rel=1e-12)


def test_average_precision_of_equal_cosines_goes_by_gallery_index():
    gallery = torch.zeros(40, 3)
    labels = torch.arange(40) % 4
    # The samples of class c stand at ranks c + 1, c + 5, c + 9, ...
    want = [sum(h / (4 * h - 3 + c) for h in range(1, 11)) / 10 for c in range(4)]
    for c in range(4):
        got = mean_average_precision(gallery[:1], torch.tensor([c]), gallery, labels)
        assert got == pytest.approx(want[c], rel=1e-12)
    got = mean_average_precision(gallery, labels, gallery, labels)
    assert got == pytest.approx(sum(want) / 4, rel=1e-12)


def test_average_precision_of_a_class_the_gallery_lacks_is_0():
    rows = torch.eye(3)
    labels = torch.tensor([0, 1, 2])
    assert mean_average_precision(rows, labels + 10, rows, labels) == 0
    assert mean_average_precision(rows, torch.tensor([0, 1, 9]), rows, labels) == pytest.approx(
        2 / 3
    )


def test_average_precision_needs_memory_for_a_chunk(monkeypatch):
    queries, _, query_labels = random_batch(7, 60, 2, 8)
    gallery, _, gallery_labels = random_batch(8, 80, 2, 8)
    monkeypatch.setattr(metrics, "COSINES_A_CHUNK", 240)
    with Observed() as seen:
        mean_average_precision(queries.detach(), query_labels, gallery.detach(), gallery_labels)
    assert seen.largest <= 240


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(PREDICTED)
def test_accuracies_equal_counting(pairs):
    predictions, labels = (torch.tensor(column) for column in zip(*pairs, strict=True))
    right = [mine == other for mine, other in pairs]
    recalls = {}
    for label in sorted({other for _, other in pairs}):
        hits = [mine == label for mine, other in pairs if other == label]
        recalls[label] = sum(hits) / len(hits)
    assert weighted_accuracy(predictions, labels) == pytest.approx(sum(right) / len(right))
    assert class_accuracy(predictions, labels) == pytest.approx(recalls)
    assert list(class_accuracy(predictions, labels)) == list(recalls)
    mean = sum(recalls.values()) / len(recalls)
    assert unweighted_accuracy(predictions, labels) == pytest.approx(mean)


def test_accuracies_equal_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(6, (500,), generator=generator).square()  # unequal, with gaps
    predictions = torch.where(torch.rand(500, generator=generator) < 0.6, labels, labels.roll(1))
    got = weighted_accuracy(predictions, labels), unweighted_accuracy(predictions, labels)
    want = (
        sklearn_metrics.accuracy_score(labels, predictions),
        sklearn_metrics.balanced_accuracy_score(labels, predictions),
    )
    assert got == pytest.approx(want, rel=1e-12)
    assert got[0] != pytest.approx(got[1])


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(PREDICTED)
def test_macro_f1_equals_counting(pairs):
    scores = []
    for label in {other for _, other in pairs}:
        hits = sum(mine == other == label for mine, other in pairs)
        predicted = sum(mine == label for mine, _ in pairs)
        present = sum(other == label for _, other in pairs)
        precision, recall = hits / predicted if predicted else 0, hits / present
        scores.append(2 * precision * recall / (precision + recall) if hits else 0)
    predictions, labels = (torch.tensor(column) for column in zip(*pairs, strict=True))
    assert macro_f1(predictions, labels) == pytest.approx(sum(scores) / len(scores))


def test_macro_f1_equals_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(9)
    labels = torch.randint(6, (500,), generator=generator).square()  # unequal, with gaps
    predictions = torch.where(torch.rand(500, generator=generator) < 0.6, labels, labels.roll(1))
    predictions[:50] = 7  # a class that no label has: it lowers recalls, and has no score itself
    predictions[predictions == 4] = 9  # a class that is never predicted: its score is 0
    want = sklearn_metrics.f1_score(
        labels, predictions, labels=labels.unique(), average="macro", zero_division=0
    )
    assert macro_f1(predictions, labels) == pytest.approx(want, rel=1e-12)
    assert macro_f1(labels, labels) == 1


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 10), classes=st.integers(1, 5))
def test_similarity_equals_the_explicit_loops(seed, size, classes):
    teacher, student, labels = random_batch(seed, size, 3, classes)
    cosines = [
        (torch.dot(teacher[i], student[j]) / (teacher[i].norm() * student[j].norm())).item()
        for i in range(size)
        for j in range(size)
        if i != j and labels[i] == labels[j]
    ]
    want = sum(cosines) / len(cosines) if cosines else math.nan
    got = within_class_similarity(teacher.detach(), student.detach(), labels * 1000 - 7)
    assert got == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_similarity_of_many_rows_needs_little_memory():
    teacher, student, labels = random_batch(4, 2000, 3, 5, torch.float32)
    with Observed() as seen:
        value = within_class_similarity(teacher.detach(), student.detach(), labels)
    assert seen.largest <= 2000 * 3
    assert abs(value) < 0.01


def test_similarity_of_equal_rows_is_1():
    rows = torch.full((300, 7), 0.1)
    labels = torch.arange(300) % 2
    assert within_class_similarity(rows, rows * 3, labels) == pytest.approx(1, abs=1e-7)
    assert within_class_similarity(rows, -rows, labels) == pytest.approx(-1, abs=1e-7)


def test_similarity_without_a_pair_is_nan_whatever_rounding_leaves() -> None:
    for seed in range(20):
        teacher, student, _ = random_batch(seed, 9, 5)
        assert math.isnan(within_class_similarity(teacher, student, torch.arange(9).flip(0)))
