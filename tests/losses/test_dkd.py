"""DKD's two divergences: loops, what they add up to, gaps beyond any underflow."""

from __future__ import annotations

import pytest
import torch

from amid.losses.dkd import non_target_divergence, target_divergence
from amid.losses.logits import softened_divergence
from tests.losses import distillation_by_loops as loops
from tests.losses.test_agreement import logits

LABELS = torch.tensor([0, 4, 2, 2, 1, 3])
BOTH = (target_divergence, non_target_divergence)


@pytest.mark.parametrize("loss", BOTH)
def test_equal_the_explicit_loops_with_numerical_gradients(loss):
    a, b = logits(1), logits(2)
    want = getattr(loops, loss.__name__)(a.tolist(), b.tolist(), LABELS.tolist(), 4.0)
    assert loss(a, b, LABELS, 4.0).item() == pytest.approx(float(want), rel=1e-11)
    assert torch.autograd.gradcheck(lambda x: loss(x, b, LABELS, 4.0), a)


def test_with_the_teachers_certainty_as_weight_they_are_kd():
    """KL = target + (1 - q_y) non-target, sample by sample."""
    a, b = logits(3), logits(4)
    for i, label in enumerate(LABELS.tolist()):
        one = a[[i]], b[[i]], LABELS[[i]], 4.0
        rest = 1 - (b[i] / 4).softmax(0)[label].item()
        got = target_divergence(*one) + rest * non_target_divergence(*one)
        want = softened_divergence(a[[i]], b[[i]], 4.0)
        assert got.item() == pytest.approx(want.item(), rel=1e-11)


def test_the_teacher_does_not_learn_and_the_true_class_has_no_part_among_the_others():
    a, b = logits(5), logits(6)
    sum(loss(a, b, LABELS, 4.0) for loss in BOTH).backward()
    assert b.grad is None
    assert (a.grad.norm(dim=1) > 1e-6).all()
    moved = a.detach().scatter(1, LABELS[:, None], 50.0)
    got, want = (non_target_divergence(x, b, LABELS, 4.0).item() for x in (moved, a))
    assert got == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_gaps_of_1e4_cost_the_gap(dtype):
    a = torch.tensor([[1e4, 0.0, 0.0]], dtype=dtype, requires_grad=True)
    b = torch.tensor([[0.0, 1e4, 0.0]], dtype=dtype)
    label = torch.tensor([0])
    got = target_divergence(a, b, label, 1.0)
    # The teacher is sure that it is not class 0: -log(1 - p_0) = 1e4 - log 2.
    assert got.item() == pytest.approx(1e4 - torch.tensor(2.0).log().item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(got, a)
    assert gradient.isfinite().all()
    assert non_target_divergence(a, b, label, 1.0).item() == pytest.approx(0.693147, rel=1e-5)


@pytest.mark.parametrize("classes", [1, 2])
def test_fewer_than_two_others_have_nothing_among_them(classes):
    a, b = logits(7, 3, classes), logits(8, 3, classes)
    labels = torch.zeros(3, dtype=torch.int64)
    assert non_target_divergence(a, b, labels, 4.0).item() == 0
    assert (target_divergence(a, b, labels, 4.0).item() > 0) == (classes == 2)
