"""The adversarial losses and the dynamic weights (Eqs. 11-14)."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.losses.adversarial import (
    DynamicWeights,
    discriminator,
    repeated_class_mask,
    student_adversarial,
)
from amid.losses.cosine import cosine_matrix
from tests.losses import by_loops
from tests.losses.batches import random_batch
from tests.losses.observed import Observed

EMPTY = torch.empty(0, dtype=torch.float64)


def logits(seed: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(size, generator=generator, dtype=torch.float64) * 3
    return values.requires_grad_()


def test_student_loss_equals_the_explicit_loops():
    d1, d2 = logits(0, 7), logits(1, 4)
    want = float(by_loops.student_adversarial(d1.tolist(), d2.tolist(), (0.3, 0.7), 4 / 7))
    for weights in ((0.3, 0.7), torch.tensor([0.3, 0.7], dtype=torch.float64)):
        got = student_adversarial(d1, d2, weights, 4 / 7)
        assert got.item() == pytest.approx(want, rel=1e-13)


def test_discriminator_loss_equals_the_explicit_loops():
    f1, t1, f2, t2 = logits(2, 7), logits(3, 7), logits(4, 4), logits(5, 4)
    want = by_loops.discriminator(*[d.tolist() for d in (f1, t1, f2, t2)], 4 / 7)
    got = discriminator(f1, t1, f2, t2, torch.tensor(4 / 7, dtype=torch.float64))
    assert got.item() == pytest.approx(float(want), rel=1e-13)


def test_student_loss_does_not_saturate():
    d1 = torch.tensor([-30.0], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(student_adversarial(d1, EMPTY, (0.4, 0.6), 0.0), d1)
    assert grad.item() == pytest.approx(-0.4, rel=1e-12)


def test_student_is_pulled_towards_real_and_discriminators_apart():
    f1, t1, f2, t2 = logits(6, 5), logits(7, 5), logits(8, 3), logits(9, 3)
    student = torch.autograd.grad(student_adversarial(t1, t2, (0.5, 0.5), 0.6), (t1, t2))
    assert all((grad < 0).all() for grad in student)
    real1, fake1, real2, fake2 = torch.autograd.grad(
        discriminator(f1, t1, f2, t2, 0.6), (f1, t1, f2, t2)
    )
    assert (real1 < 0).all()
    assert (real2 < 0).all()
    assert (fake1 > 0).all()
    assert (fake2 > 0).all()


@pytest.mark.parametrize("form", ["saturating", "least_squares"])
def test_other_readings_equal_the_explicit_loops(form):
    f1, t1, f2, t2 = logits(20, 6), logits(21, 6), logits(22, 3), logits(23, 3)
    got = student_adversarial(t1, t2, (0.3, 0.7), 0.5, form)
    want = by_loops.student_adversarial(t1.tolist(), t2.tolist(), (0.3, 0.7), 0.5, form)
    assert got.item() == pytest.approx(float(want), rel=1e-12)
    got = discriminator(f1, t1, f2, t2, 0.5, form)
    want = by_loops.discriminator(*[d.tolist() for d in (f1, t1, f2, t2)], 0.5, form)
    assert got.item() == pytest.approx(float(want), rel=1e-12)
    pulled = torch.autograd.grad(student_adversarial(t1, EMPTY, (1.0, 0.0), 0.0, form), t1)[0]
    below = t1 < 1  # the teacher's side of every reading
    assert (pulled[below] < 0).all()


def test_the_saturating_form_saturates():
    d1 = torch.tensor([-30.0], dtype=torch.float64, requires_grad=True)
    value = student_adversarial(d1, EMPTY, (1.0, 0.0), 0.0, "saturating")
    (grad,) = torch.autograd.grad(value, d1)
    assert abs(grad.item()) < 1e-12


def test_without_a_repeated_class_the_second_part_is_0():
    d1, d2 = logits(10, 5), EMPTY.clone().requires_grad_()
    value = student_adversarial(d1, d2, (0.4, 0.6), torch.tensor(0.0))
    want = by_loops.student_adversarial(d1.tolist(), [], (0.4, 0.6), 0.0)
    assert value.item() == pytest.approx(float(want), rel=1e-13)
    grad1, grad2 = torch.autograd.grad(value, (d1, d2))
    assert grad1.isfinite().all()
    assert grad2.shape == (0,)
    f1 = logits(11, 5)
    value = discriminator(f1, d1, EMPTY, d2, torch.tensor(0.0))
    want = by_loops.discriminator(f1.tolist(), d1.tolist(), [], [], 0.0)
    assert value.item() == pytest.approx(float(want), rel=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("logit", [-1e4, -20.0, 0.0, 20.0, 1e4])
@pytest.mark.parametrize("form", ["non_saturating", "saturating", "least_squares"])
def test_hard_logits_are_finite(form, logit, size, dtype):
    d = [torch.full((size,), logit * sign, dtype=dtype).requires_grad_() for sign in (1, -1, -1, 1)]
    for value, inputs in (
        (student_adversarial(d[0], d[1], (0.5, 0.5), 1.0, form), d[:2]),
        (discriminator(*d, 1.0, form), d),
    ):
        assert value.dtype == dtype
        assert value.isfinite()
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(value, inputs))


def test_float64_weights_leave_float32_losses_float32():
    d = logits(12, 4).detach().float()
    weights = DynamicWeights(0.9).weights
    assert student_adversarial(d, d, weights, torch.tensor(1.0)).dtype == torch.float32


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(-(10**12), 10**12) | st.integers(0, 5), min_size=1, max_size=20))
def test_mask_counts_each_class(labels):
    want = by_loops.repeated_class_mask(labels)
    assert repeated_class_mask(torch.tensor(labels)).tolist() == want


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=4),
    smoothing=st.sampled_from([0.0, 0.5, 0.9]),
    classes=st.integers(1, 8),
)
def test_dynamic_weights_equal_the_explicit_loops(seed, sizes, smoothing, classes):
    epochs = [
        [random_batch(seed + 10 * e + b, size, 3, classes) for b, size in enumerate(epoch)]
        for e, epoch in enumerate(sizes)
    ]
    weights = DynamicWeights(smoothing)
    plain = [[[part.tolist() for part in batch] for batch in epoch] for epoch in epochs]
    for epoch, want in zip(epochs, by_loops.dynamic_weights(plain, smoothing), strict=True):
        for batch in epoch:
            weights.update(*batch)
        weights.end_epoch()
        assert weights.similarities == pytest.approx(want["s"], abs=1e-12, nan_ok=True)
        assert weights.averages == pytest.approx(want["q"], abs=1e-12, nan_ok=True)
        assert weights.weights.tolist() == pytest.approx(want["w"], abs=1e-12)


def test_many_float32_cosines_are_summed_in_float64():
    teacher, student, _ = random_batch(3, 1500, 8, 1)
    labels = torch.zeros(1500, dtype=torch.long)
    weights = DynamicWeights(0.9)
    weights.update(teacher.float(), student.float(), labels)
    weights.end_epoch()
    cosines = cosine_matrix(teacher.float(), student.float())
    own = math.fsum(cosines.diagonal().tolist())
    others = math.fsum(cosines.flatten().tolist()) - own
    # one sum in float32 is off by about 1e-6 of the sum of all absolute values
    assert weights.similarities[0] == pytest.approx(own / 1500, abs=1e-12)
    assert weights.similarities[1] == pytest.approx(others / (1500 * 1499), abs=1e-12)


def test_the_more_alike_part_weighs_less():
    teacher = torch.eye(4, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    weights = DynamicWeights(0.9)
    weights.update(teacher, teacher, labels)  # own cosine 1, the class's other 0
    weights.end_epoch()
    w1, w2 = weights.weights.tolist()
    assert (w1, w2) == pytest.approx((1 / (1 + math.e), math.e / (1 + math.e)), rel=1e-12)
    swapped = DynamicWeights(0.9)
    swapped.update(teacher, teacher[[1, 0, 3, 2]], labels)  # own cosine 0, the class's other 1
    swapped.end_epoch()
    assert swapped.weights.tolist() == pytest.approx([w2, w1], rel=1e-12)


def test_weights_change_at_the_end_of_an_epoch_only():
    weights = DynamicWeights(0.9)
    weights.update(*random_batch(30))
    assert weights.weights.tolist() == [0.5, 0.5]
    weights.end_epoch()
    assert weights.weights.tolist() != [0.5, 0.5]


def test_state_goes_through_json_and_continues_exactly():
    batches = [random_batch(seed, 16, 8, 4, torch.float32) for seed in range(40, 46)]
    straight = DynamicWeights(0.9)
    for step, batch in enumerate(batches):
        straight.update(*batch)
        if step % 3 == 2:
            straight.end_epoch()
    for stop in range(6):
        first, resumed = DynamicWeights(0.9), DynamicWeights(0.9)
        resumed.update(*random_batch(99, 5))  # forgotten by loading
        for step, batch in enumerate(batches):
            if step == stop:  # in the middle of an epoch unless 0 or 3
                resumed.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
                assert torch.equal(resumed.weights, first.weights)
                assert resumed.state_dict() == first.state_dict()
            weights = first if step < stop else resumed
            weights.update(*batch)
            if step % 3 == 2:
                weights.end_epoch()
        assert resumed.state_dict() == straight.state_dict()
        assert torch.equal(resumed.weights, straight.weights)


def test_state_does_not_change_when_taken():
    weights = DynamicWeights(0.9)
    before = weights.state_dict()
    weights.update(*random_batch(50))
    weights.end_epoch()
    assert before["q1"] is None
    assert before != weights.state_dict()


def test_no_gradient_passes_through_the_weights():
    weights = DynamicWeights(0.9)
    teacher, student, labels = random_batch(51)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda _: None):
        weights.update(teacher, student, labels)
    assert not kept  # for a backward pass: an epoch's sums must not hold the epoch's batches
    weights.end_epoch()
    assert not weights.weights.requires_grad
    d = logits(52, 7)
    student_adversarial(d, d, weights.weights, 1.0).backward()
    assert teacher.grad is None
    assert student.grad is None


def test_zero_and_single_rows_are_counted():
    weights = DynamicWeights(0.0)
    zero = torch.zeros(1, 3)
    weights.update(zero, zero, torch.tensor([0]))
    weights.update(zero + 1, zero + 1, torch.tensor([0]))
    weights.end_epoch()
    assert weights.similarities[0] == pytest.approx(0.5)
    assert math.isnan(weights.similarities[1])


def test_training_never_waits_for_the_device():
    d1, d2 = logits(53, 32), logits(54, 20)
    teacher, student, labels = random_batch(55, 32, 64, dtype=torch.float32)
    dynamic = DynamicWeights(0.9)
    with Observed() as seen:
        frequency = repeated_class_mask(labels).float().mean()
        student_adversarial(d1, d2, (0.5, 0.5), frequency).backward()
        discriminator(d1, d1, d2, d2, frequency).backward()
        dynamic.update(teacher, student, labels)
        dynamic.update(teacher, student, labels)
    assert not seen.waiting
    assert seen.largest <= 32 * 64
    with Observed() as seen:
        dynamic.end_epoch()
        d1[repeated_class_mask(labels)]
    assert seen.waiting == {"_local_scalar_dense", "nonzero"}  # the observer does see what waits
