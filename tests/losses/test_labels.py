"""Samples without a label in the losses: explicit loops, gradients, batches without any label."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from amid.losses import UNLABELLED
from amid.losses.adversarial import DynamicWeights, repeated_class_mask
from amid.losses.agreement import classification
from amid.losses.c2kd import selected_divergence
from amid.losses.ccl import EPSILON, pair_contrastive
from amid.losses.labels import known_pairs, labelled_cross_entropy, labelled_rows
from amid.losses.mutual_information import class_aware_nce
from amid.networks.discriminators import Discriminator
from tests.losses import by_loops
from tests.losses.batches import random_batch

MIXED = torch.tensor([0, UNLABELLED, 1, 0, UNLABELLED, 2, 1])


def kept_quiet(seed: int, size: int, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """A random batch, a share of its labels left out."""
    a, b, labels = random_batch(seed, size, 3, 3)
    quiet = torch.rand(size, generator=torch.Generator().manual_seed(seed)) < share
    return a, b, labels.masked_fill(quiet, UNLABELLED)


def relation(labels: Tensor, i: int, j: int) -> str:
    """Of the samples i and j: "same" class, "other" class, or "open"."""
    if i == j:
        return "same"
    if labels[i] == UNLABELLED or labels[j] == UNLABELLED:
        return "open"
    return "same" if labels[i] == labels[j] else "other"


def nce_by_loops(a: Tensor, b: Tensor, labels: Tensor, temperature: float) -> Tensor:
    total = 0
    for i in range(len(a)):
        scores = [by_loops.cosine(a[i], other) / temperature for other in b]
        powers = [score.exp() for score in scores]
        for j, power in enumerate(powers):
            if relation(labels, i, j) == "same":
                total = total + (power / sum(powers)).log()
            elif relation(labels, i, j) == "other":
                total = total + ((sum(powers) - power) / sum(powers)).log()
    return -total / len(a)


def ccl_by_loops(a: Tensor, b: Tensor, labels: Tensor, temperature: float) -> Tensor:
    total = 0
    for mine, theirs in ((a, b), (b, a)):
        for i in range(len(a)):
            powers = [(by_loops.cosine(mine[i], other) / temperature).exp() for other in theirs]
            found = {"same": [], "other": [], "open": []}
            for j, power in enumerate(powers):
                kind = relation(labels, i, j)
                p = power / sum(powers)
                found[kind].append(-((p if kind == "same" else 1 - p) + EPSILON).log())
            for kind in ("same", "other"):
                if found[kind]:
                    total = total + sum(found[kind]) / len(found[kind])
    return total / len(a)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 8),
    share=st.sampled_from([0.3, 0.6, 1.0]),
    temperature=st.sampled_from([0.1, 0.5, 2.0]),
)
def test_contrastive_losses_equal_the_explicit_loops(seed, size, share, temperature):
    a, b, labels = kept_quiet(seed, size, share)
    for loss, loops in ((class_aware_nce, nce_by_loops), (pair_contrastive, ccl_by_loops)):
        got, want = loss(a, b, labels, temperature), loops(a, b, labels, temperature)
        assert got.item() == pytest.approx(want.item(), rel=1e-7, abs=1e-9)
        mine, theirs = torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b))
        for grad, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(grad, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", [class_aware_nce, pair_contrastive])
@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_gradients_are_the_numerical_ones_and_finite_when_saturated(loss, temperature):
    a, b, _ = random_batch(11, 7, 3)
    labels = MIXED
    if temperature > 0.1:
        assert torch.autograd.gradcheck(lambda x, y: loss(x, y, labels, temperature), (a, b))
    value = loss(a.float(), b.float(), labels, temperature)
    assert value.isfinite()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(value, (a, b)))


def test_without_any_label_eq_8_is_info_nce():
    a, b, _ = random_batch(3, 6)
    labels = torch.full((6,), UNLABELLED)
    scores = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=2) / 0.1
    want = cross_entropy(scores, torch.arange(6))
    assert class_aware_nce(a, b, labels, 0.1).item() == pytest.approx(want.item(), rel=1e-12)


def test_pairs_are_known_where_both_labels_are():
    same, aside = known_pairs(MIXED)
    for i in range(len(MIXED)):
        for j in range(len(MIXED)):
            kind = relation(MIXED, i, j)
            assert bool(same[i, j]) == (kind == "same")
            assert bool(aside[i, j]) == (kind != "other")
    labels = torch.tensor([0, 1, 0])
    same, aside = known_pairs(labels)
    assert torch.equal(same, aside)
    assert torch.equal(same, labels[:, None] == labels)


def test_cross_entropy_is_the_mean_over_labelled_samples():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float64).requires_grad_()
    known = [0, 2, 3, 5, 6]
    want = sum(-logits[i].log_softmax(0)[MIXED[i]] for i in known) / len(known)
    got = labelled_cross_entropy(logits, MIXED)
    assert got.item() == pytest.approx(want.item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(got, logits)
    assert gradient[[1, 4]].abs().sum() == 0
    assert (gradient[known].abs().sum(1) > 0).all()
    both = classification(logits, 2 * logits, MIXED)
    assert both.item() == pytest.approx(
        (want + labelled_cross_entropy(2 * logits, MIXED)).item(), rel=1e-12
    )
    labels = torch.tensor([0, 2, 1, 0, 1, 2, 1])
    assert labelled_rows(labels) is None
    assert torch.equal(labelled_cross_entropy(logits, labels), cross_entropy(logits, labels))


def test_cross_entropy_without_a_label_is_0_and_its_gradient_too():
    logits = torch.randn(3, 4).requires_grad_()
    value = labelled_cross_entropy(logits, torch.full((3,), UNLABELLED))
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert torch.equal(gradient, torch.zeros(3, 4))


def test_no_unlabelled_sample_is_d2s_and_s2_is_of_labelled_pairs():
    labels = torch.tensor([0, UNLABELLED, 1, 0, UNLABELLED, 2])
    assert repeated_class_mask(labels).tolist() == [True, False, False, True, False, False]
    teacher, student, _ = random_batch(2, 6)
    weights = DynamicWeights(0.9)
    weights.update(teacher.detach(), student.detach(), labels)
    weights.end_epoch()
    cosine = by_loops.cosine
    s1 = sum(cosine(teacher[i], student[i]) for i in range(6)) / 6
    s2 = (cosine(teacher[0], student[3]) + cosine(teacher[3], student[0])) / 2
    assert weights.similarities == pytest.approx((s1.item(), s2.item()))
    weights = DynamicWeights(0.9)
    weights.update(teacher.detach(), student.detach(), torch.full((6,), UNLABELLED))
    weights.end_epoch()
    assert math.isnan(weights.similarities[1])


def test_a_discriminator_that_sees_classes_sees_none_of_an_unlabelled_sample():
    judge = Discriminator(4, 8, 3, 0.2, sees="class", classes=3)
    z = torch.randn(3, 4)
    seen = judge.sight(z, torch.tensor([2, UNLABELLED, 0]))
    assert seen[:, 4:].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert judge(z, torch.tensor([2, UNLABELLED, 0])).isfinite().all()


def test_an_empty_batch_has_no_selected_divergence():
    logits = torch.empty(0, 3, requires_grad=True)
    value = selected_divergence(logits, logits.detach(), torch.empty(0, dtype=torch.int64), 0.0)
    assert value.item() == 0
