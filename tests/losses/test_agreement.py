"""L_cls and L_JSD (Eqs. 15, 16)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.losses.agreement import classification, jensen_shannon
from tests.losses import by_loops
from tests.losses.observed import Observed

LOGITS = st.one_of(
    st.floats(-20, 20), st.sampled_from([-1e4, 1e4, 0.0, 88.0, -104.0, 710.0, -746.0])
)


def logits(seed: int, size: int = 6, classes: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(size, classes, generator=generator, dtype=torch.float64) * 2
    return values.requires_grad_()


def test_classification_equals_the_explicit_loops():
    student, teacher, labels = logits(0), logits(1), torch.tensor([0, 4, 4, 1, 2, 0])
    want = by_loops.classification(student.tolist(), teacher.tolist(), labels.tolist())
    assert classification(student, teacher, labels).item() == pytest.approx(float(want), rel=1e-13)


def test_classification_gradients_are_probabilities_less_targets():
    student, teacher, labels = logits(2), logits(3), torch.tensor([0, 4, 4, 1, 2, 0])
    grads = torch.autograd.grad(classification(student, teacher, labels), (student, teacher))
    targets = torch.nn.functional.one_hot(labels, 5)
    for values, grad in zip((student, teacher), grads, strict=True):
        torch.testing.assert_close(grad, (values.detach().softmax(1) - targets) / 6)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(LOGITS, LOGITS), min_size=2, max_size=6))
def test_divergence_of_any_logits(pairs):
    rows = torch.tensor(pairs, dtype=torch.float64).T  # (2, C)
    student = rows[:1].clone().requires_grad_()
    teacher = rows[1:].clone().requires_grad_()
    value = jensen_shannon(student, teacher)
    assert -1e-15 <= value.item() <= math.log(2) + 1e-15
    want = by_loops.jensen_shannon(student.tolist(), teacher.tolist())
    assert value.item() == pytest.approx(float(want), rel=1e-9, abs=1e-14)
    assert value.item() == pytest.approx(jensen_shannon(teacher, student).item(), abs=1e-15)
    for grad in torch.autograd.grad(value, (student, teacher)):
        assert grad.isfinite().all()
        assert abs(grad.sum().item()) < 1e-14  # a constant added to a row changes nothing


def test_divergence_gradient_is_the_numerical_one():
    assert torch.autograd.gradcheck(jensen_shannon, (logits(4), logits(5)))


def test_divergence_is_a_batch_mean():
    student, teacher = logits(6), logits(7)
    rows = [jensen_shannon(student[[i]], teacher[[i]]).item() for i in range(6)]
    assert jensen_shannon(student, teacher).item() == pytest.approx(sum(rows) / 6, rel=1e-13)
    assert max(rows) > min(rows)


def test_divergence_of_certain_opposites_is_log_2():
    student = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert jensen_shannon(student, -student).item() == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_hard_logits_are_finite(scale, size, dtype):
    student = (logits(8, size).detach() * scale).to(dtype).requires_grad_()
    teacher = (logits(9, size).detach() * -scale).to(dtype).requires_grad_()
    for value in (
        jensen_shannon(student, teacher),
        classification(student, teacher, torch.zeros(size, dtype=torch.int64)),
    ):
        assert value.isfinite()
        for grad in torch.autograd.grad(value, (student, teacher)):
            assert grad.isfinite().all()


def test_both_networks_get_gradients():
    labels = torch.tensor([0, 4, 4, 1, 2, 0])
    for value, student, teacher in (
        (jensen_shannon(s := logits(10), t := logits(11)), s, t),
        (classification(s := logits(10), t := logits(11), labels), s, t),
    ):
        for grad in torch.autograd.grad(value, (student, teacher)):
            assert (grad.norm(dim=1) > 1e-6).all()


def test_divergence_step_brings_the_two_together():
    student, teacher = logits(12), logits(13)
    value = jensen_shannon(student, teacher)
    grads = torch.autograd.grad(value, (student, teacher))
    for step_s, step_t in ((0.1, 0.0), (0.0, 0.1)):
        moved = jensen_shannon(student - step_s * grads[0], teacher - step_t * grads[1])
        assert moved.item() < value.item()


def test_order_of_the_batch_and_of_the_classes_does_not_matter():
    student, teacher, labels = logits(14), logits(15), torch.tensor([0, 4, 4, 1, 2, 0])
    rows, columns = torch.tensor([3, 5, 0, 1, 4, 2]), torch.tensor([4, 2, 0, 1, 3])
    renamed = columns.argsort()[labels][rows]
    got = jensen_shannon(student[rows][:, columns], teacher[rows][:, columns])
    assert got.item() == pytest.approx(jensen_shannon(student, teacher).item(), rel=1e-13)
    got = classification(student[rows][:, columns], teacher[rows][:, columns], renamed)
    want = classification(student, teacher, labels)
    assert got.item() == pytest.approx(want.item(), rel=1e-13)


def test_never_waits_for_the_device():
    student, teacher = logits(16), logits(17)
    with Observed() as seen:
        jensen_shannon(student, teacher).backward()
        classification(student, teacher, torch.zeros(6, dtype=torch.int64)).backward()
    assert not seen.waiting
    assert seen.largest == student.numel()
