"""RKD: loops, invariances, equal rows, and float32 against float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize, smooth_l1_loss

from amid.losses.rkd import angle, distance
from tests.losses import distillation_by_loops as loops
from tests.losses.batches import random_batch

BOTH = (distance, angle)


@pytest.mark.parametrize("loss", BOTH)
def test_equal_the_explicit_loops_with_numerical_gradients(loss):
    a, b, _ = random_batch(1, size=5)
    want = getattr(loops, loss.__name__)(a.tolist(), b[:, :3].tolist())
    assert loss(a, b[:, :3]).item() == pytest.approx(float(want), rel=1e-11)
    assert torch.autograd.gradcheck(lambda x: loss(x, b), a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("loss", BOTH)
def test_turning_scaling_and_shifting_change_nothing(loss, dtype):
    a, b, _ = random_batch(2, dtype=dtype)
    turn = torch.linalg.qr(random_batch(5, size=4)[0].detach())[0]
    tolerance = 1e-9 if dtype == torch.float64 else 1e-5
    want = loss(a, b).item()
    assert loss(3 * a @ turn.to(dtype) + 1, b).item() == pytest.approx(want, rel=tolerance)
    assert loss(a, 3 * a @ turn.to(dtype) + 1).item() < tolerance**2


@pytest.mark.parametrize("offset", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("loss", BOTH)
def test_float32_loses_nothing_to_what_rows_share(loss, offset):
    """Products of rows in float32 would be wrong by 1e-2 at an offset of 10."""
    generator = torch.Generator().manual_seed(0)
    a = offset + 0.05 * torch.randn(12, 128, generator=generator)
    b = torch.randn(12, 30, generator=generator)
    a[3] = a[7]
    found = []
    for dtype in (torch.float32, torch.float64):
        rows = a.to(dtype, copy=True).requires_grad_()
        value = loss(rows, b.to(dtype))
        found.append((value.item(), torch.autograd.grad(value, rows)[0].double()))
    (value, gradient), (want, exact) = found
    assert value == pytest.approx(want, rel=1e-5)
    assert (gradient - exact).norm() < 1e-5 * exact.norm()


def by_differences(loss, student, teacher):
    """RKD without a product of two rows, which has half of the digits of their difference."""

    def relations(rows):
        apart = rows - rows[:, None]  # (B, B, D)
        if loss is angle:
            directions = normalize(apart, dim=2)
            return directions @ directions.mT
        itself = torch.eye(len(rows), dtype=torch.bool)
        lengths = apart.square().sum(dim=2).masked_fill(itself, 1.0).sqrt().masked_fill(itself, 0.0)
        return lengths / lengths[~itself].mean()

    return smooth_l1_loss(relations(student), relations(teacher))


@pytest.mark.parametrize("loss", BOTH)
def test_float64_tells_close_rows_apart(loss):
    """Products would give the gradient of a pair 1e-5 apart to five digits."""
    a, b, _ = random_batch(6, size=5)
    rows = a.detach().clone()
    rows[1] = rows[0] + 1e-5 * b.detach()[0]
    (got,) = torch.autograd.grad(loss(rows.requires_grad_(), b), rows)
    (want,) = torch.autograd.grad(by_differences(loss, rows, b.detach()), rows)
    assert (got - want).norm() < 1e-9 * want.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("loss", BOTH)
def test_equal_rows_and_few_samples_are_finite(loss, dtype):
    a, b, _ = random_batch(3, dtype=dtype)
    for size in (1, 2, 5):
        for scale in (0.0, 1e-8, 1.0, 1e4):
            rows = (scale * a.detach()[:size]).clone()
            rows[-1] = rows[0]
            value = loss(rows.requires_grad_(), b[:size])
            assert value.isfinite()
            if value.requires_grad:
                assert torch.autograd.grad(value, rows)[0].isfinite().all()
    assert distance(a[:2], b[:2]).item() == pytest.approx(0, abs=1e-12)


def test_a_collapsed_student_has_no_gradient():
    rows, (_, b, _) = torch.ones(7, 4, requires_grad=True), random_batch(4)
    (distance(rows, b.float()) + angle(rows, b.float())).backward()
    assert (rows.grad == 0).all()
    assert b.grad is None
