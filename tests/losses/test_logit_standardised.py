"""Standardised logits and their divergence: closed forms, invariances, who learns."""

from __future__ import annotations

import pytest
import torch

from amid.losses import logits as plain
from amid.losses.logit_standardised import EPSILON, softened_divergence, standardised
from tests.losses import distillation_by_loops as loops
from tests.losses.test_agreement import logits


def test_equal_the_explicit_loops():
    a, b = logits(1), logits(2)
    got = standardised(a).detach()
    torch.testing.assert_close(got, torch.tensor(loops.standardised(a.tolist()), dtype=got.dtype))
    want = float(loops.standardised_divergence(a.tolist(), b.tolist(), 2.0))
    assert softened_divergence(a, b, 2.0).item() == pytest.approx(want, rel=1e-11)


def test_gradients_are_the_numerical_ones():
    a, b = logits(3), logits(4)
    assert torch.autograd.gradcheck(standardised, a)
    assert torch.autograd.gradcheck(lambda x: softened_divergence(x, b, 2.0), a)


def test_rows_have_mean_0_and_unbiased_deviation_1():
    z = standardised(1e3 * logits(5)).detach()
    assert z.mean(dim=1).abs().max() < 1e-13
    torch.testing.assert_close(z.std(dim=1), torch.ones(len(z)).double(), rtol=1e-9, atol=0)


def test_two_classes_keep_their_order_alone():
    z = standardised(torch.tensor([[3.0, 1.0], [-4.0, 9.0]], dtype=torch.float64))
    want = 0.5**0.5 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(z, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_constant_rows_and_a_single_class_are_0_with_finite_gradients(value):
    for shape in ((3, 7), (3, 1)):
        rows = torch.full(shape, value, requires_grad=True)
        z = standardised(rows)
        assert (z == 0).all()
        other = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad(softened_divergence(rows, other, 2.0), rows)
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 10 / EPSILON


def test_neither_scale_nor_shift_of_a_row_matters_and_the_student_alone_learns():
    a, b = logits(6), logits(7)
    got = softened_divergence(5 * a + 2, 0.3 * b - 1, 2.0)
    assert got.item() == pytest.approx(softened_divergence(a, b, 2.0).item(), rel=1e-6)
    got.backward()
    assert b.grad is None
    along = (a.grad * (a - a.mean(dim=1, keepdim=True))).sum(dim=1)
    assert along.abs().max() < 1e-6 * a.grad.norm()
    z = standardised(a), standardised(b)
    assert plain.softened_divergence(*z, 2.0).item() == pytest.approx(got.item(), rel=1e-6)
