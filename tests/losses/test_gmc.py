"""GMC's contrastive loss against explicit loops, closed forms, invariances and hard batches."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.losses.cosine import unit_rows
from amid.losses.gmc import joint_contrastive
from tests.losses import by_loops
from tests.losses.batches import EDGE_CASES, edge_case
from tests.losses.observed import Observed


def random_rows(
    seed: int, modalities: int = 2, size: int = 5, dim: int = 3, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Joint rows and those of each modality, (B, D) of length 1, asking for gradients."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(1 + modalities, size, dim, generator=generator, dtype=torch.float64)
    return [unit_rows(each).to(dtype).requires_grad_() for each in rows]


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    modalities=st.integers(1, 3),
    size=st.integers(1, 5),
    temperature=st.sampled_from([0.05, 0.1, 0.3, 2.0]),
)
def test_equals_the_explicit_loops(seed, modalities, size, temperature):
    joint, *others = random_rows(seed, modalities, size)
    got = joint_contrastive(joint, others, temperature)
    want = by_loops.joint_contrastive(joint, others, temperature)
    assert got.item() == pytest.approx(want.item(), rel=1e-12, abs=1e-13)
    mine, theirs = (torch.autograd.grad(value, [joint, *others]) for value in (got, want))
    for grad, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-11, atol=1e-12)


def test_gradient_is_the_numerical_one():
    rows = random_rows(1)
    assert torch.autograd.gradcheck(lambda j, *z: joint_contrastive(j, z, 0.2), rows)


@pytest.mark.parametrize("modalities", [1, 3])
def test_closed_form_of_equal_rows(modalities):
    rows = unit_rows(torch.ones(4, 3, dtype=torch.float64))
    got = joint_contrastive(rows, [rows] * modalities, 0.1)
    assert got.item() == pytest.approx(modalities * math.log(7), rel=1e-14)


def test_closed_form_of_orthogonal_samples():
    rows = torch.eye(4, dtype=torch.float64)
    got = joint_contrastive(rows, [rows], 0.5)
    assert got.item() == pytest.approx(math.log(math.exp(2) + 6) - 2, rel=1e-14)


def test_a_batch_of_one_is_zero_with_zero_gradients():
    joint, *others = random_rows(2, size=1)
    value = joint_contrastive(joint, others, 0.1)
    assert value.item() == 0
    for grad in torch.autograd.grad(value, [joint, *others]):
        assert (grad == 0).all()


def test_no_modality_is_zero():
    assert joint_contrastive(random_rows(3)[0], [], 0.1).item() == 0


def test_modalities_add_up_and_their_order_does_not_matter():
    joint, first, second = random_rows(4)
    parts = [joint_contrastive(joint, [each], 0.2).item() for each in (first, second)]
    for modalities in ([first, second], [second, first]):
        got = joint_contrastive(joint, modalities, 0.2).item()
        assert got == pytest.approx(sum(parts), rel=1e-14)
    assert parts[0] != pytest.approx(parts[1], rel=1e-3)


def test_samples_roles_and_rotations_do_not_matter():
    joint, modality = random_rows(5, 1)
    want = joint_contrastive(joint, [modality], 0.2).item()
    order = torch.tensor([3, 0, 4, 2, 1])
    turn = torch.linalg.qr(random_rows(6, 0, 3)[0].detach()).Q
    for a, b in (
        (joint[order], modality[order]),
        (modality, joint),
        (joint @ turn, modality @ turn),
    ):
        assert joint_contrastive(a, [b], 0.2).item() == pytest.approx(want, rel=1e-13)
    assert joint_contrastive(joint, [modality[order]], 0.2).item() != pytest.approx(want, rel=1e-3)


def test_rows_are_used_as_they_are():
    joint, modality = random_rows(7, 1)
    doubled = joint_contrastive(2 * joint, [2 * modality], 0.4).item()
    assert doubled == pytest.approx(joint_contrastive(joint, [modality], 0.1).item(), rel=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("temperature", [1e-4, 0.1])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_hard_batches_are_finite(name, temperature, dtype):
    a, b, _ = edge_case(name, dtype)
    joint, modality = (rows.detach().requires_grad_() for rows in (unit_rows(a), unit_rows(b)))
    value = joint_contrastive(joint, [modality], temperature)
    assert value.isfinite()
    assert value.item() >= 0
    for grad in torch.autograd.grad(value, (joint, modality)):
        assert grad.isfinite().all()


def test_gradient_flows_to_all_and_lowers_the_loss():
    rows = random_rows(8, 2, 8)
    value = joint_contrastive(rows[0], rows[1:], 0.1)
    grads = torch.autograd.grad(value, rows)
    assert all((grad.norm(dim=1) > 0).all() for grad in grads)
    for moving in range(3):
        moved = list(rows)
        moved[moving] = rows[moving] - 1e-3 * grads[moving]
        assert joint_contrastive(moved[0], moved[1:], 0.1).item() < value.item()


def test_a_frozen_side_gets_no_gradient():
    joint, first, second = random_rows(9)
    joint_contrastive(joint.detach(), [first, second.detach()], 0.1).backward()
    assert (first.grad.norm(dim=1) > 0).all()
    assert joint.grad is None
    assert second.grad is None


@pytest.mark.parametrize("modalities", [1, 3])
def test_is_one_product_a_modality_that_never_waits(modalities):
    joint, *others = random_rows(10, modalities, 32, 64, torch.float32)
    with Observed() as seen:
        joint_contrastive(joint, others, 0.1).backward()
    assert not seen.waiting
    assert seen.largest <= 64 * 64
    assert seen.names.count("mm") == 3 * modalities  # two of three in the backward pass
    assert len(seen.names) < 60 * modalities
