"""CCL's contrastive loss against explicit loops, closed forms, invariances and hard batches."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amid.losses.ccl import pair_contrastive
from tests.losses import by_loops
from tests.losses.batches import EDGE_CASES, edge_case, random_batch
from tests.losses.observed import Observed


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 8),
    classes=st.integers(1, 5),
    temperature=st.sampled_from([0.05, 0.1, 0.5, 2.0]),
)
def test_equals_the_explicit_loops(seed, size, classes, temperature):
    a, b, labels = random_batch(seed, size, 3, classes)
    got = pair_contrastive(a, b, labels, temperature)
    want = by_loops.pair_contrastive(a, b, labels, temperature)
    assert got.item() == pytest.approx(want.item(), rel=1e-11, abs=1e-12)
    mine, theirs = torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b))
    for grad, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-10)


def test_gradient_is_the_numerical_one():
    a, b, labels = random_batch(21, 6, 3)
    assert torch.autograd.gradcheck(lambda x, y: pair_contrastive(x, y, labels, 0.2), (a, b))


def test_closed_form_of_equal_cosines():
    rows = torch.ones(6, 3, dtype=torch.float64)
    want = 2 * (-math.log(1 / 6 + 1e-10) - math.log(5 / 6 + 1e-10))
    got = pair_contrastive(rows, rows, torch.tensor([0, 0, 0, 1, 1, 2]), 0.1)
    assert got.item() == pytest.approx(want, rel=1e-14)


def test_the_epsilon_bounds_a_saturated_batch():
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    got = pair_contrastive(a, -a, torch.tensor([0, 1]), 0.01)
    assert got.item() == pytest.approx(4 * -math.log(1e-10), rel=1e-6)


def test_one_class_keeps_its_positive_term():
    a, b, labels = edge_case("one class", torch.float64)
    value = pair_contrastive(a, b, labels, 0.5).item()
    assert value == pytest.approx(by_loops.pair_contrastive(a, b, labels, 0.5).item(), rel=1e-12)
    assert value > 2 * math.log(5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_hard_batches_are_finite(name, temperature, dtype):
    a, b, labels = edge_case(name, dtype)
    value = pair_contrastive(a, b, labels, temperature)
    grads = torch.autograd.grad(value, (a, b))
    assert value.isfinite()
    for rows, grad in zip((a, b), grads, strict=True):
        assert grad.isfinite().all()
        assert (grad[(rows == 0).all(dim=1)] == 0).all()


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.5])
def test_float32_gradient_of_a_nearly_certain_negative(gap):
    # 1 - p of about exp(-gap / 0.08): its digits are lost in float32 unless they are those of the
    # other p.
    grads = []
    for dtype in (torch.float32, torch.float64):
        a = torch.tensor([[1.0, 0.0], [0.3, 1.0]], dtype=dtype).requires_grad_()
        b = torch.tensor([[1 - gap, (1 - (1 - gap) ** 2) ** 0.5], [1.0, 0.0]], dtype=dtype)
        value = pair_contrastive(a, b, torch.tensor([0, 1]), 0.08)
        grads.append(torch.autograd.grad(value, a)[0].double())
    assert ((grads[0] - grads[1]).norm() / grads[1].norm()).item() < 1e-4


def test_order_scale_and_names_do_not_matter():
    a, b, labels = random_batch(22, 9, classes=3)
    want = pair_contrastive(a, b, labels, 0.1).item()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    scale = torch.logspace(-6, 6, 9, dtype=torch.float64)[:, None]
    names = torch.tensor([7, 0, 10**9])
    for got in (
        pair_contrastive(a[order], b[order], labels[order], 0.1),
        pair_contrastive(a * scale, b / scale, labels, 0.1),
        pair_contrastive(a, b, names[labels], 0.1),
        pair_contrastive(b, a, labels, 0.1),
    ):
        assert got.item() == pytest.approx(want, rel=1e-12)


def test_gradient_flows_to_both_and_lowers_the_loss():
    a, b, labels = random_batch(23, 8)
    value = pair_contrastive(a, b, labels, 0.1)
    grads = torch.autograd.grad(value, (a, b))
    assert all((grad.norm(dim=1) > 0).all() for grad in grads)
    for step_a, step_b in ((1e-3, 0.0), (0.0, 1e-3)):
        moved = pair_contrastive(a - step_a * grads[0], b - step_b * grads[1], labels, 0.1)
        assert moved.item() < value.item()


def test_a_frozen_side_gets_no_gradient():
    a, b, labels = random_batch(24, 8)
    pair_contrastive(a.detach(), b, labels, 0.1).backward()
    assert (b.grad.norm(dim=1) > 0).all()
    assert a.grad is None


def test_is_a_few_matrix_operations_that_never_wait():
    a, b, labels = random_batch(25, 32, 64, dtype=torch.float32)
    with Observed() as seen:
        pair_contrastive(a, b, labels, 0.1).backward()
    assert not seen.waiting
    assert seen.largest <= 32 * 64
    assert seen.names.count("mm") == 3
    assert len(seen.names) < 120
