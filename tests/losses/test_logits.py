"""Hinton's distillation term and CCL's symmetric divergence."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amid.losses.logits import softened_divergence, symmetric_divergence, uniform_excess
from tests.losses import by_loops
from tests.losses.observed import Observed
from tests.losses.test_agreement import logits

TEMPERATURES = st.sampled_from([0.5, 1.0, 4.0, 20.0])


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 5),
    classes=st.integers(1, 6),
    temperature=TEMPERATURES,
)
def test_equal_the_explicit_loops(seed, size, classes, temperature):
    a, b = logits(seed, size, classes), logits(seed + 1, size, classes)
    want = float(by_loops.symmetric_divergence(a.tolist(), b.tolist()))
    assert symmetric_divergence(a, b).item() == pytest.approx(want, rel=1e-11, abs=1e-13)
    want = float(by_loops.softened_divergence(a.tolist(), b.tolist(), temperature))
    got = softened_divergence(a, b, temperature).item()
    assert got == pytest.approx(want, rel=1e-11, abs=1e-12)


def test_gradients_are_the_numerical_ones():
    a, b = logits(1), logits(2)
    assert torch.autograd.gradcheck(lambda x: softened_divergence(x, b, 4.0), a)
    assert torch.autograd.gradcheck(symmetric_divergence, (a, b))


def test_closed_form_of_two_classes():
    # p = (3/4, 1/4), q = (1/4, 3/4): both divergences are log(3) / 2.
    a = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    assert symmetric_divergence(a, -a).item() == pytest.approx(math.log(3) / 2, rel=1e-14)
    got = softened_divergence(4 * a, -4 * a, 4.0).item()
    assert got == pytest.approx(8 * math.log(3), rel=1e-14)


def test_softened_gradient_is_the_difference_of_soft_probabilities():
    student, teacher = logits(3), logits(4)
    (grad,) = torch.autograd.grad(softened_divergence(student, teacher, 4.0), student)
    want = 4.0 * ((student / 4).softmax(dim=1) - (teacher / 4).softmax(dim=1)) / 6
    torch.testing.assert_close(grad, want, rtol=1e-12, atol=1e-15)


def test_softened_limit_of_a_high_temperature():
    # Half the variance over the classes of the difference of the logits: the square of the
    # temperature keeps it from vanishing.
    student, teacher = logits(5), logits(6)
    want = (student - teacher).var(dim=1, correction=0).mean().item() / 2
    got = softened_divergence(student, teacher, 1e5).item()
    assert got == pytest.approx(want, rel=1e-4)


def test_softened_is_asymmetric_and_symmetric_is_not():
    a, b = logits(7), logits(8)
    assert symmetric_divergence(a, b).item() == symmetric_divergence(b, a).item()
    one, other = softened_divergence(a, b, 1.0).item(), softened_divergence(b, a, 1.0).item()
    assert one != pytest.approx(other, rel=1e-3)
    assert (one + other) / 2 == pytest.approx(symmetric_divergence(a, b).item(), rel=1e-13)


def test_equal_probabilities_diverge_by_nothing():
    a = logits(9)
    shift = torch.arange(6.0, dtype=torch.float64)[:, None]  # changes no probability
    for value in (symmetric_divergence(a, a + shift), softened_divergence(a, a + shift, 4.0)):
        assert value.item() == pytest.approx(0, abs=1e-13)
        (grad,) = torch.autograd.grad(value, a)
        assert grad.abs().max().item() < 1e-13


def test_one_class_diverges_by_nothing():
    a, b = logits(10, 4, 1), logits(11, 4, 1)
    for value in (symmetric_divergence(a, b), softened_divergence(a, b, 4.0)):
        assert value.item() == 0
        (grad,) = torch.autograd.grad(value, a)
        assert (grad == 0).all()


def test_are_batch_means():
    a, b = logits(12), logits(13)
    for loss in (symmetric_divergence, lambda x, y: softened_divergence(x, y, 4.0)):
        rows = [loss(a[[i]], b[[i]]).item() for i in range(6)]
        assert loss(a, b).item() == pytest.approx(sum(rows) / 6, rel=1e-13)
        assert max(rows) > min(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("scale", [0.0, 1e2, 1e4])
def test_hard_logits_are_finite(scale, size, dtype):
    a = (logits(14, size).detach().sign() * scale).to(dtype).requires_grad_()
    b = (logits(15, size).detach().sign() * -scale).to(dtype).requires_grad_()
    for value in (
        symmetric_divergence(a, b),
        symmetric_divergence(a, -a),
        *(softened_divergence(a, b, temperature) for temperature in (1.0, 4.0)),
    ):
        assert value.isfinite()
        assert value.item() >= -1e-5
        for grad in torch.autograd.grad(value, (a, b), allow_unused=True):
            assert grad is None or grad.isfinite().all()


def test_certain_opposites_diverge_by_the_gap():
    # No bound such as Jensen-Shannon's log 2, nor one of an epsilon inside the logarithm.
    a = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert symmetric_divergence(a, -a).item() == 2e4
    assert softened_divergence(a, -a, 4.0).item() == 16 * 5e3


def test_the_student_alone_learns_from_the_softened_divergence():
    student, teacher = logits(16), logits(17)
    value = softened_divergence(student, teacher, 4.0)
    value.backward()
    assert (student.grad.norm(dim=1) > 1e-6).all()
    assert teacher.grad is None
    moved = softened_divergence(student - 0.1 * student.grad, teacher, 4.0)
    assert moved.item() < value.item()


def test_both_learn_from_the_symmetric_divergence():
    a, b = logits(18), logits(19)
    value = symmetric_divergence(a, b)
    grads = torch.autograd.grad(value, (a, b))
    assert all((grad.norm(dim=1) > 1e-6).all() for grad in grads)
    for step_a, step_b in ((0.01, 0.0), (0.0, 0.01)):
        moved = symmetric_divergence(a - step_a * grads[0], b - step_b * grads[1])
        assert moved.item() < value.item()


def test_order_of_the_batch_and_of_the_classes_does_not_matter():
    a, b = logits(20), logits(21)
    rows, columns = torch.tensor([3, 5, 0, 1, 4, 2]), torch.tensor([4, 2, 0, 1, 3])
    for loss in (symmetric_divergence, lambda x, y: softened_divergence(x, y, 4.0)):
        got = loss(a[rows][:, columns], b[rows][:, columns]).item()
        assert got == pytest.approx(loss(a, b).item(), rel=1e-13)


def test_never_wait_for_the_device():
    a, b = logits(22), logits(23)
    with Observed() as seen:
        symmetric_divergence(a, b).backward()
        softened_divergence(a, b, 4.0).backward()
    assert not seen.waiting
    assert seen.largest == a.numel()


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_share_of_the_excess_is_label_smoothing(share: float) -> None:
    values, labels = logits(0, 6, 5), torch.tensor([0, 4, 2, 2, 1, 3])
    want = torch.nn.functional.cross_entropy(values, labels, label_smoothing=share)
    plain = torch.nn.functional.cross_entropy(values, labels)
    torch.testing.assert_close(plain + share * uniform_excess(values, labels), want)
    even = torch.zeros(6, 5, dtype=torch.float64)
    assert uniform_excess(even, labels).item() == pytest.approx(0.0, abs=1e-12)
