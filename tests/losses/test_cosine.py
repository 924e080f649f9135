"""Cosine similarities: plain definition, zero rows, gradients."""

from __future__ import annotations

import pytest
import torch

from amid.losses.cosine import cosine_matrix, unit_rows
from tests.losses.batches import random_batch


def test_is_the_quotient_of_dot_product_and_norms():
    a, b, _ = random_batch(0, 6, 3)
    got = cosine_matrix(a, b[:4])
    assert got.shape == (6, 4)
    for i in range(6):
        for j in range(4):
            want = torch.dot(a[i], b[j]) / (torch.dot(a[i], a[i]) * torch.dot(b[j], b[j])).sqrt()
            assert (got[i, j] - want).abs().item() < 1e-15


def test_gradient_is_the_numerical_one():
    a, b, _ = random_batch(1, 5, 3)
    assert torch.autograd.gradcheck(cosine_matrix, (a, b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_row_has_cosine_0_and_gradient_0(dtype):
    a, b, _ = random_batch(2, 4, 3, dtype=dtype)
    with torch.no_grad():
        a[1], b[2] = 0, 0
    cosines = cosine_matrix(a, b)
    assert (cosines[1] == 0).all()
    assert (cosines[:, 2] == 0).all()
    assert (cosines[[0, 2, 3]][:, [0, 1, 3]] != 0).all()
    grad_a, grad_b = torch.autograd.grad(cosines.exp().sum(), (a, b))
    assert (grad_a[1] == 0).all()
    assert (grad_b[2] == 0).all()
    # The other rows' gradients are those of a set without the zero rows (which add constants).
    others = [0, 2, 3], [0, 1, 3]
    c, d = a.detach()[others[0]].requires_grad_(), b.detach()[others[1]].requires_grad_()
    grad_c, grad_d = torch.autograd.grad(cosine_matrix(c, d).exp().sum(), (c, d))
    torch.testing.assert_close(grad_a[others[0]], grad_c)
    torch.testing.assert_close(grad_b[others[1]], grad_d)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e12])
def test_scale_of_the_rows_does_not_matter(scale):
    a, b, _ = random_batch(3, dtype=torch.float32)
    torch.testing.assert_close(cosine_matrix(a * scale, b / scale), cosine_matrix(a, b))


def test_unit_rows_have_length_1_or_0():
    a, _, _ = random_batch(4, 3, 5)
    with torch.no_grad():
        a[1] = 0
    lengths = unit_rows(a).norm(dim=1).tolist()
    assert lengths == pytest.approx([1, 0, 1], abs=1e-15)
