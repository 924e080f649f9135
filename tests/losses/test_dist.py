"""DIST's correlations: loops, numpy's, what they cannot see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amid.losses.dist import inter_class, intra_class
from tests.losses import distillation_by_loops as loops
from tests.losses.test_agreement import logits

BOTH = (inter_class, intra_class)


@pytest.mark.parametrize("loss", BOTH)
def test_equal_the_explicit_loops_with_numerical_gradients(loss):
    a, b = logits(1), logits(2)
    want = float(getattr(loops, loss.__name__)(a.tolist(), b.tolist(), 4.0))
    assert loss(a, b, 4.0).item() == pytest.approx(want, rel=1e-10)
    assert torch.autograd.gradcheck(lambda x: loss(x, b, 4.0), a)


def test_are_pearsons_correlations_of_rows_and_columns():
    a, b = logits(3), logits(4)
    p, q = ((x / 2).softmax(1).detach().numpy() for x in (a, b))
    rows = np.mean([np.corrcoef(u, v)[0, 1] for u, v in zip(p, q, strict=True)])
    columns = np.mean([np.corrcoef(u, v)[0, 1] for u, v in zip(p.T, q.T, strict=True)])
    assert inter_class(a, b, 2.0).item() == pytest.approx(4 * (1 - rows), rel=1e-5)
    assert intra_class(a, b, 2.0).item() == pytest.approx(4 * (1 - columns), rel=1e-5)


def test_a_batch_of_one_and_uniform_rows_have_correlation_0():
    a, b = logits(5, 1), logits(6, 1)
    got = intra_class(a, b, 4.0)
    (gradient,) = torch.autograd.grad(got, a)
    assert got.item() == 16
    assert (gradient == 0).all()
    flat = torch.zeros_like(a, requires_grad=True)
    got = inter_class(flat, b, 4.0)
    (gradient,) = torch.autograd.grad(got, flat)
    assert got.item() == 16
    assert gradient.isfinite().all()


def test_the_student_alone_learns_and_certain_opposites_stay_finite():
    a, b = logits(7), logits(8)
    sum(loss(a, b, 4.0) for loss in BOTH).backward()
    assert b.grad is None
    assert (a.grad.norm(dim=1) > 1e-6).all()
    hard = (1e4 * a.detach().sign()).float().requires_grad_()
    for loss in BOTH:
        got = loss(hard, -hard, 1.0)
        (gradient,) = torch.autograd.grad(got, hard)
        assert 0 <= got.item() <= 2 + 1e-6
        assert gradient.isfinite().all()


def test_rare_classes_only_add_a_constant():
    """1e-8 outweighs the norms of a column of probabilities around 1e-6."""
    rows = logits(9, 64, 2)
    rare = torch.cat([rows, rows[:, :1] - 14], dim=1)
    extra = intra_class(rare, rare, 1.0).item() * 3 - intra_class(rows, rows, 1.0).item() * 2
    assert extra == pytest.approx(1, abs=0.05)
