"""L_FT and L_FA (Eqs. 7-9) against explicit loops, closed forms, invariances and hard batches."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amid.losses.mutual_information import class_aware_nce
from tests.losses import by_loops
from tests.losses.batches import EDGE_CASES, edge_case, random_batch
from tests.losses.observed import Observed


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 9),
    classes=st.integers(1, 5),
    temperature=st.sampled_from([0.05, 0.1, 0.5, 2.0]),
)
def test_equals_the_explicit_loops(seed, size, classes, temperature):
    a, b, labels = random_batch(seed, size, 3, classes)
    got = class_aware_nce(a, b, labels, temperature)
    want = by_loops.class_aware_nce(a, b, labels, temperature)
    assert got.item() == pytest.approx(want.item(), rel=1e-11, abs=1e-12)
    mine, theirs = torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b))
    for grad, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-10)


def test_gradient_is_the_numerical_one():
    a, b, labels = random_batch(11, 6, 3)
    assert torch.autograd.gradcheck(lambda x, y: class_aware_nce(x, y, labels, 0.2), (a, b))


@pytest.mark.parametrize(("size", "same"), [(2, 1), (16, 2), (9, 3)])
def test_closed_form_of_equal_cosines(size, same):
    rows = torch.ones(size, 3, dtype=torch.float64)
    labels = torch.arange(size) // same  # (B,), classes of `same` samples
    want = same * math.log(size) + (size - same) * math.log(size / (size - 1))
    assert class_aware_nce(rows, rows, labels, 0.1).item() == pytest.approx(want, rel=1e-14)


def test_closed_form_of_a_saturated_negative():
    # Each anchor points at the other's candidate: log h = -2/tau for both the positive and 1 - h of
    # the negative.
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    got = class_aware_nce(a, -a.detach(), torch.tensor([0, 1]), 0.01)
    assert got.item() == pytest.approx(2 * 2 / 0.01, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_hard_batches_are_finite(name, temperature, dtype):
    a, b, labels = edge_case(name, dtype)
    value = class_aware_nce(a, b, labels, temperature)
    grads = torch.autograd.grad(value, (a, b))
    assert value.isfinite()
    for rows, grad in zip((a, b), grads, strict=True):
        assert grad.isfinite().all()
        assert (grad[(rows == 0).all(dim=1)] == 0).all()


@pytest.mark.parametrize("temperature", [0.01, 0.1])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_float32_agrees_with_float64(name, temperature):
    values, grads = [], []
    for dtype in (torch.float32, torch.float64):
        a, b, labels = edge_case(name, dtype)
        value = class_aware_nce(a, b, labels, temperature)
        values.append(value.item())
        grads.append([grad.double() for grad in torch.autograd.grad(value, (a, b))])
    assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-4)
    for rows, narrow, wide in zip((a, b), *grads, strict=True):
        # Gradients of the unit rows, at most of the order 1 / temperature.
        error = (narrow - wide) * rows.detach().norm(dim=1, keepdim=True)
        assert error.abs().max().item() < 1e-4 / temperature


def test_batch_of_one_is_0():
    a, b, labels = edge_case("batch of one", torch.float64)
    value = class_aware_nce(a, b, labels, 0.1)
    assert value.item() == 0
    for grad in torch.autograd.grad(value, (a, b)):
        assert (grad == 0).all()


def test_order_of_the_batch_does_not_matter():
    a, b, labels = random_batch(12, 12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    got = class_aware_nce(a[order], b[order], labels[order], 0.1)
    assert got.item() == pytest.approx(class_aware_nce(a, b, labels, 0.1).item(), rel=1e-13)


def test_scale_of_each_row_does_not_matter():
    a, b, labels = random_batch(13, 8)
    scale = torch.logspace(-8, 8, 8, dtype=torch.float64)[:, None]
    got = class_aware_nce(a * scale, b / scale, labels, 0.1)
    assert got.item() == pytest.approx(class_aware_nce(a, b, labels, 0.1).item(), rel=1e-12)


def test_names_of_the_classes_do_not_matter():
    a, b, labels = random_batch(14, 9, classes=3)
    names = torch.tensor([10**12, -5, 0])
    got = class_aware_nce(a, b, names[labels], 0.1)
    assert got.item() == class_aware_nce(a, b, labels, 0.1).item()


def test_the_first_argument_is_the_only_anchor():
    a, b, labels = random_batch(15, 8)
    there, back = class_aware_nce(a, b, labels, 0.1), class_aware_nce(b, a, labels, 0.1)
    assert abs(there.item() - back.item()) > 1e-2


def test_aligned_classes_beat_shuffled_ones():
    centres = torch.eye(4, dtype=torch.float64)
    labels = torch.arange(4).repeat(3)
    aligned = class_aware_nce(centres[labels], centres[labels], labels, 0.1)
    shuffled = class_aware_nce(centres[labels], centres[(labels + 1) % 4], labels, 0.1)
    assert shuffled.item() - aligned.item() > 10


def test_gradient_flows_to_both_and_lowers_the_loss():
    a, b, labels = random_batch(16, 8)
    value = class_aware_nce(a, b, labels, 0.1)
    grads = torch.autograd.grad(value, (a, b))
    for rows, grad in zip((a, b), grads, strict=True):
        assert (grad.norm(dim=1) > 0).all()
        # Only the direction matters, so no gradient along the row itself.
        assert (rows * grad).sum(dim=1).abs().max().item() < 1e-12
    for step_a, step_b in ((1e-3, 0.0), (0.0, 1e-3)):
        moved = class_aware_nce(a - step_a * grads[0], b - step_b * grads[1], labels, 0.1)
        assert moved.item() < value.item()


def test_a_frozen_side_gets_no_gradient():
    a, b, labels = random_batch(17, 8)
    class_aware_nce(a, b.detach(), labels, 0.1).backward()
    assert (a.grad.norm(dim=1) > 0).all()
    assert b.grad is None


def test_is_a_few_matrix_operations_that_never_wait():
    a, b, labels = random_batch(18, 32, 64, dtype=torch.float32)
    with Observed() as seen:
        class_aware_nce(a, b, labels, 0.1).backward()
    assert not seen.waiting
    assert seen.largest <= 2 * 32 * 64  # both sets of rows; no B x B x D
    assert seen.names.count("mm") == 3
    assert len(seen.names) < 120
