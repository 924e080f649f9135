"""C2KD: Kendall's tau-b as scipy has it, and which samples are distilled."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kendalltau

from amid.losses.c2kd import rank_correlation, selected_divergence
from tests.losses import distillation_by_loops as loops
from tests.losses.test_agreement import logits

LABELS = torch.tensor([0, 4, 2, 2, 1, 3])


@pytest.mark.parametrize("step", [0.0, 1.0], ids=["no ties", "ties"])
def test_the_rank_correlation_is_scipys(step):
    a, b = logits(1, 12, 8).detach(), logits(2, 12, 8).detach()
    if step:
        a, b = a.round(), b.round()
    want = [kendalltau(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    torch.testing.assert_close(rank_correlation(a, b), torch.tensor(want, dtype=torch.float64))
    assert rank_correlation(a, a).tolist() == pytest.approx([1] * 12)
    assert rank_correlation(a, torch.zeros_like(a)).tolist() == [0] * 12


def test_equals_the_explicit_loops_with_numerical_gradients():
    a, b = logits(3), logits(4)
    for threshold in (-2.0, 0.0, 0.3):
        want = loops.selected_divergence(a.tolist(), b.tolist(), LABELS.tolist(), threshold)
        got = selected_divergence(a, b, LABELS, threshold)
        assert got.item() == pytest.approx(float(want), rel=1e-11, abs=1e-15)
    assert torch.autograd.gradcheck(lambda x: selected_divergence(x, b, LABELS, -2.0), a)


def test_the_mean_is_over_the_batch_and_samples_that_rank_otherwise_have_no_gradient():
    a = logits(5)
    b = torch.cat([2 * a.detach()[:4], -a.detach()[4:]])
    value = selected_divergence(a, b, LABELS, 0.0)
    (gradient,) = torch.autograd.grad(value, a)
    assert (gradient[4:] == 0).all()
    assert (gradient[:4].norm(dim=1) > 1e-6).all()
    alone = selected_divergence(a[:4], b[:4], LABELS[:4], 0.0)
    assert value.item() == pytest.approx(alone.item() * 4 / 6)
    assert (gradient.gather(1, LABELS[:, None]) == 0).all()  # the true class's logit is replaced


@pytest.mark.parametrize("classes", [1, 5])
def test_hard_logits_one_class_and_a_batch_of_one_are_finite(classes):
    a = (1e4 * logits(6, 1, classes).detach().sign()).float().requires_grad_()
    value = selected_divergence(a, -a.detach(), torch.tensor([0]), -2.0)
    (gradient,) = torch.autograd.grad(value, a)
    assert value.isfinite()
    assert gradient.isfinite().all()
