"""The hint: the mean squared difference, for the student alone."""

from __future__ import annotations

import torch

from amid.losses.fitnets import hint
from tests.losses import distillation_by_loops as loops
from tests.losses.batches import random_batch


def test_is_the_mean_over_samples_and_channels_and_teaches_the_student_alone():
    a, b, _ = random_batch(1)
    got = hint(a, b)
    torch.testing.assert_close(got.item(), float(loops.hint(a.tolist(), b.tolist())))
    got.backward()
    assert b.grad is None
    torch.testing.assert_close(a.grad, 2 * (a - b).detach() / a.numel())
    assert torch.autograd.gradcheck(lambda x: hint(x, b), a)


def test_a_batch_of_one_and_equal_rows():
    a, b, _ = random_batch(2)
    values = [hint(a[[i]], b[[i]]).item() for i in range(len(a))]
    torch.testing.assert_close(sum(values) / len(a), hint(a, b).item())
    assert hint(a, a).item() == 0
