"""The term of mixed labels beside a method's losses: by explicit loops, with and without others."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from amid.core.types import Batch, Representations
from amid.losses import UNLABELLED
from amid.losses.labels import labelled_cross_entropy, partner_excess
from amid.methods.base import Method, Sizes
from amid.methods.baseline import build as build_baseline
from amid.methods.gmc import build as build_gmc
from amid.methods.kd import build as build_kd
from amid.methods.teacher import build as build_teacher

SIZES = Sizes(dim=6, slope=0.2, classes=4, samples=9, auxiliary={"audio": 6}, seed=0)
LABELS = torch.tensor([0, 3, 1, 1, 2, 0])
SOME = torch.tensor([0, UNLABELLED, 1, 1, UNLABELLED, 0])
PARTNERS = torch.tensor([2, 3, 0, 1, 1, 3])
SHARES = torch.tensor([0.5, 0.25, 0.125, 0.375, 0.3, 0.0], dtype=torch.float64)


def representations() -> Representations:
    torch.manual_seed(0)
    rows = [torch.randn(6, n, dtype=torch.float64, requires_grad=True) for n in (6, 4, 6, 4)]
    return Representations(rows[0], rows[1], torch.arange(6), None, rows[2], rows[3])


def batch(labels: Tensor = LABELS, **fields: Tensor) -> Batch:
    partners = PARTNERS.where(labels != UNLABELLED, labels)
    numbers = torch.arange(len(labels))
    whole = Batch(numbers, {}, labels, numbers, partner_labels=partners, partner_shares=SHARES)
    return replace(whole, **fields)


def by_loops(logits: Tensor, labels: Tensor, smoothing: float) -> float:
    """Cross-entropy to the mixed, then smoothed distribution over the classes; of labelled rows."""
    costs = []
    for row, own, partner, share in zip(
        logits.tolist(), labels.tolist(), PARTNERS.tolist(), SHARES.tolist(), strict=True
    ):
        if own == UNLABELLED:
            continue
        total = sum(math.exp(value) for value in row)
        wanted = [smoothing / len(row)] * len(row)
        wanted[own] += (1 - smoothing) * (1 - share)
        wanted[partner] += (1 - smoothing) * share
        costs.append(-sum(p * (z - math.log(total)) for p, z in zip(wanted, row, strict=True)))
    return sum(costs) / len(costs)


def found(method: Method, reps: Representations, of: Batch, smoothing: float) -> float:
    terms = method.losses(reps, of.labels) | method.smoothing(reps, of.labels, smoothing)
    both = terms | method.mixing(reps, of, smoothing)
    assert both.keys() - terms.keys() == {"mixing"}
    return sum(both.values()).item()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("build", "head"), [(build_baseline, "student"), (build_teacher, "teacher")]
)
def test_the_sum_is_the_cross_entropy_to_mixed_labels(build, head: str, smoothing: float) -> None:
    reps = representations()
    want = by_loops(getattr(reps, f"{head}_logits"), LABELS, smoothing)
    got = found(build({}, SIZES), reps, batch(), smoothing)
    assert got == pytest.approx(want, rel=1e-12)
    unmixed = found(build({}, SIZES), reps, batch(partner_shares=torch.zeros(6)), smoothing)
    assert abs(unmixed - want) > 0.01


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_unlabelled_samples_have_no_part_in_it_and_a_weighted_one_is_by_its_weight(
    smoothing: float,
) -> None:
    """KD of a joint teacher: the student's cross-entropy by 0.1, the teacher's by 1."""
    options = {"teacher": "joint", "classification_weight": 0.1, "weight": 0.0, "temperature": 4.0}
    reps = representations()
    heads = {"student": 0.1, "teacher": 1.0}
    want = sum(
        weight * by_loops(getattr(reps, f"{head}_logits"), SOME, smoothing)
        for head, weight in heads.items()
    )
    got = found(build_kd(options, SIZES), reps, batch(SOME), smoothing)
    assert got == pytest.approx(want, rel=1e-12)


def test_a_fixed_teacher_and_gmcs_student_have_no_labels_to_mix() -> None:
    reps = representations()
    fixed = replace(reps, teacher_logits=reps.teacher_logits.detach())
    options = {"teacher": "fixed", "classification_weight": 1.0, "weight": 0.0, "temperature": 4.0}
    want = by_loops(reps.student_logits, LABELS, 0.1)
    assert found(build_kd(options, SIZES), fixed, batch(), 0.1) == pytest.approx(want, rel=1e-12)
    want = by_loops(reps.teacher_logits, LABELS, 0.1)
    gmc = build_gmc({"weight": 0.0}, SIZES)
    assert found(gmc, reps, batch(), 0.1) == pytest.approx(want, rel=1e-12)


def test_without_mixing_there_is_no_term_and_a_partner_of_the_own_class_adds_0() -> None:
    method, reps = build_baseline({}, SIZES), representations()
    alone = batch(partner_labels=None, partner_shares=None)
    assert method.mixing(reps, alone, 0.1) == {}
    assert method.mixing(reps, batch(partner_labels=LABELS), 0.1)["mixing"].item() == 0
    nobody = batch(torch.full((6,), UNLABELLED))
    term = method.mixing(reps, nobody, 0.1)["mixing"]
    (gradient,) = torch.autograd.grad(term, reps.student_logits)
    assert term.item() == 0
    assert (gradient == 0).all()


def test_gradients_are_those_of_the_mixed_cross_entropy() -> None:
    logits = representations().student_logits
    partners = PARTNERS.where(SOME != UNLABELLED, SOME)

    def loss(rows: Tensor) -> Tensor:
        return labelled_cross_entropy(rows, SOME) + partner_excess(rows, SOME, partners, SHARES)

    assert torch.autograd.gradcheck(loss, logits)
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    for row, own, partner, share in zip(range(6), SOME, PARTNERS, SHARES, strict=True):
        want = torch.zeros(4, dtype=torch.float64)
        if own != UNLABELLED:
            want += logits[row].softmax(0).detach()
            want[own] -= 1 - share
            want[partner] -= share
        torch.testing.assert_close(gradient[row], want / 4, rtol=1e-12, atol=1e-15)


def test_a_part_of_a_mixed_batch_keeps_each_samples_partner() -> None:
    whole = batch(complete=torch.tensor([True, False, True, True, True, False]))
    complete, incomplete = whole.split_complete()
    assert complete.partner_labels.tolist() == [2, 0, 1, 1]
    assert incomplete.partner_shares.tolist() == [0.25, 0.0]
    moved = whole.to(torch.device("cpu"))
    assert torch.equal(moved.partner_labels, whole.partner_labels)
