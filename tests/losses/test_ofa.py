"""OFA-KD's loss: loops, what gamma 1 and more do."""

from __future__ import annotations

import pytest
import torch

from amid.losses.logits import softened_divergence
from amid.losses.ofa import enhanced_cross_entropy
from tests.losses import distillation_by_loops as loops
from tests.losses.test_agreement import logits

LABELS = torch.tensor([0, 4, 2, 2, 1, 3])


@pytest.mark.parametrize("gamma", [1.0, 1.5])
def test_equals_the_explicit_loops_with_numerical_gradients(gamma):
    a, b = logits(1), logits(2)
    want = loops.enhanced_cross_entropy(a.tolist(), b.tolist(), LABELS.tolist(), gamma, 2.0)
    got = enhanced_cross_entropy(a, b, LABELS, gamma, 2.0)
    assert got.item() == pytest.approx(float(want), rel=1e-11)
    assert torch.autograd.gradcheck(lambda x: enhanced_cross_entropy(x, b, LABELS, gamma, 2.0), a)
    got.backward()
    assert b.grad is None


def test_gamma_1_is_kd_and_the_teachers_entropy():
    a, b = logits(3), logits(4)
    entropy = torch.distributions.Categorical(logits=b).entropy().mean()
    want = softened_divergence(a, b, 1.0) + entropy
    got = enhanced_cross_entropy(a, b, LABELS, 1.0, 1.0)
    assert got.item() == pytest.approx(want.item(), rel=1e-12)


def test_gamma_raises_the_true_class_by_the_teachers_certainty():
    """The target's weight is (1 + q_y)^gamma - 1: from gamma at q_y near 0 to 2^gamma - 1."""
    a = torch.zeros(1, 3, dtype=torch.float64)
    sure = torch.tensor([[1e4, 0.0, 0.0]], dtype=torch.float64)
    label = torch.tensor([0])
    log3 = torch.tensor(3.0).double().log().item()
    for gamma in (1.0, 1.5, 2.0):
        got = enhanced_cross_entropy(a, sure, label, gamma, 1.0).item()
        assert got == pytest.approx((2**gamma - 1) * log3)


@pytest.mark.parametrize("classes", [1, 5])
def test_hard_logits_are_finite(classes):
    a = (1e4 * logits(5, 2, classes).detach().sign()).float().requires_grad_()
    labels = torch.zeros(2, dtype=torch.int64)
    value = enhanced_cross_entropy(a, -a.detach(), labels, 1.5, 1.0)
    (gradient,) = torch.autograd.grad(value, a)
    assert value.isfinite()
    assert gradient.isfinite().all()
