"""CRD's contrastive loss against explicit loops, closed forms, the drawn form and hard scores."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.losses import crd
from amid.losses.crd import (
    Drawn,
    bank_logits,
    drawn_contrastive,
    noise_contrastive,
    noise_contrastive_logits,
)
from tests.losses import by_loops
from tests.losses.batches import drawn_of, random_batch
from tests.losses.observed import Observed

EPS = by_loops.CRD_EPSILON


def random_scores(
    seed: int, size: int = 5, negatives: int = 6, dtype: torch.dtype = torch.float64
) -> Tensor:
    """(B, 1 + K) positive numbers over some orders of magnitude, asking for gradients."""
    generator = torch.Generator().manual_seed(seed)
    exponents = torch.randn(size, 1 + negatives, generator=generator, dtype=torch.float64) * 3 - 3
    return exponents.exp().to(dtype).requires_grad_()


def random_weights(seed: int, size: int, negatives: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, (size, negatives), generator=generator).double()


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 5),
    negatives=st.integers(1, 6),
    n_samples=st.sampled_from([1, 7, 300, 10**6]),
    weighted=st.booleans(),
)
def test_equals_the_explicit_loops(seed, size, negatives, n_samples, weighted):
    scores = random_scores(seed, size, negatives)
    weights = random_weights(seed, size, negatives) if weighted else None
    got = noise_contrastive(scores, n_samples, weights)
    drawn = torch.ones(size, negatives) if weights is None else weights
    want = by_loops.noise_contrastive(scores, n_samples, drawn.tolist())
    assert got.item() == pytest.approx(want.item(), rel=1e-12, abs=1e-13)
    mine, theirs = (torch.autograd.grad(value, scores)[0] for value in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_gradient_is_the_numerical_one():
    scores = (random_scores(1).detach() + 0.1).requires_grad_()
    weights = random_weights(2, 5, 6)
    weights[3] = 0
    assert torch.autograd.gradcheck(lambda x: noise_contrastive(x, 40), scores)
    assert torch.autograd.gradcheck(lambda x: noise_contrastive(x, 40, weights), scores)


def test_closed_form_where_every_score_is_the_noise():
    # All x = c = K / n: each of the 1 + K terms is log 2, but for the epsilon.
    scores = torch.full((3, 9), 8 / 4000, dtype=torch.float64)
    got = noise_contrastive(scores, 4000)
    assert got.item() == pytest.approx(9 * math.log(2 + EPS / 0.002), rel=1e-13)
    exact = 9 * math.log(2)
    assert got.item() != pytest.approx(exact, rel=1e-6)


def test_multiplicity_is_repetition():
    scores = random_scores(3, 4, 3)
    weights = torch.tensor([2, 0, 3])
    repeated = scores[:, [0, 1, 1, 3, 3, 3]]
    want = noise_contrastive(repeated, 50).item()
    for rows in (weights, weights.bool() * weights, weights.float()):
        got = noise_contrastive(scores, 50, rows.expand(4, 3))
        assert got.dtype == torch.float64
        assert got.item() == pytest.approx(want, rel=1e-14)
    ones = noise_contrastive(scores, 50, torch.ones(4, 3))
    assert ones.item() == noise_contrastive(scores, 50).item()


def test_each_row_has_its_own_count():
    scores = random_scores(4, 2, 3)
    weights = torch.tensor([[1.0, 0.0, 0.0], [1.0, 2.0, 5.0]])
    want = sum(
        noise_contrastive(scores[[i]], 50, weights[[i]]).item() / 2 for i in range(len(scores))
    )
    assert noise_contrastive(scores, 50, weights).item() == pytest.approx(want, rel=1e-14)


@pytest.mark.parametrize("columns", [0, 3])
def test_without_negatives_the_epsilon_remains(columns):
    scores = random_scores(5, 4, columns)
    got = noise_contrastive(scores, 50, torch.zeros(4, columns))
    x = scores[:, 0]
    want = -(x / (x + EPS)).log().mean()
    assert got.item() == pytest.approx(want.item(), rel=1e-8)
    grad, other = (torch.autograd.grad(value, scores)[0] for value in (got, want))
    torch.testing.assert_close(grad, other, rtol=1e-8, atol=1e-9)
    assert (grad[:, 1:] == 0).all()


@pytest.mark.parametrize(
    ("dtype", "tiny"), [(torch.float32, 1e-37), (torch.float64, 1e-300)], ids=["32", "64"]
)
def test_hard_scores_are_finite(dtype, tiny):
    scores = torch.tensor(
        [[tiny, tiny, 1e-3], [1.0, tiny, 0.0], [1e6, 1e-3, 1e6], [tiny, 1e6, 0.0], [1e6, 0.0, 0.0]],
        dtype=dtype,
    ).requires_grad_()
    weights = torch.tensor([[3, 1], [2, 0], [1, 1], [1, 0], [0, 0]])
    value = noise_contrastive(scores, 1000, weights)
    (grad,) = torch.autograd.grad(value, scores)
    assert value.isfinite()
    assert grad.isfinite().all()
    assert (grad[:, 1:][weights == 0] == 0).all()
    # A positive far below the noise is all that counts: d/dx of -log x, a mean over five rows.
    assert grad[0, 0].item() == pytest.approx(-0.2 / tiny, rel=1e-6)


def test_gradient_of_a_positive_far_above_the_noise_has_right_digits():
    # Of 1 / x - 1 / (x + c), with c / x = 4e-10, the difference has half the digits.
    scores = torch.tensor([[1e6, 1e-3, 1e3]], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(noise_contrastive(scores, 4893), scores)
    noise = 2 / 4893 + EPS
    assert grad[0, 0].item() == pytest.approx(-noise / 1e6 / (1e6 + noise), rel=1e-12, abs=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_float32_keeps_the_digits_of_many_negatives(weighted):
    # x / c below 1e-4: rounded to float32 before the logarithm, 1 + x / c has three of its digits,
    # and the error is the same for all negatives here.
    exact = torch.full((2, 4001), 2.9e-5, dtype=torch.float64)
    weights = random_weights(7, 2, 4000) if weighted else None
    want = noise_contrastive(exact, 5000, weights).item()
    got = noise_contrastive(exact.float(), 5000, weights)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(want, rel=1e-6)


def test_gradient_raises_the_positive_and_lowers_the_drawn_negatives():
    scores = random_scores(8, 4, 5)
    weights = random_weights(9, 4, 5)
    (grad,) = torch.autograd.grad(noise_contrastive(scores, 50, weights), scores)
    assert (grad[:, 0] < 0).all()
    assert ((grad[:, 1:] > 0) == (weights > 0)).all()
    assert (weights == 0).any()


def test_is_a_few_operations_that_never_wait():
    for weights in (None, random_weights(11, 32, 64).float()):
        scores = random_scores(10, 32, 64, dtype=torch.float32)
        with Observed() as seen:
            noise_contrastive(scores, 500, weights).backward()
        assert not seen.waiting
        assert seen.largest <= 32 * 65
        assert len(seen.names) < 60


def test_bank_scores_are_powers_of_dot_products():
    anchors, bank, _ = random_batch(12)
    got = bank_logits(anchors, bank[:5], 0.3).exp()
    want = [[math.exp(torch.dot(s, v).item() / 0.3) for v in bank[:5]] for s in anchors]
    torch.testing.assert_close(got.tolist(), want, rtol=1e-13, atol=0)
    assert torch.autograd.gradcheck(lambda x, y: bank_logits(x, y, 0.7), (anchors, bank))


def test_the_bank_is_scored_in_one_product():
    anchors, bank, _ = random_batch(13, 64, 32, dtype=torch.float32)
    bank = bank.detach()
    with Observed() as seen:
        bank_logits(anchors[:8], bank, 0.07).sum().backward()
    assert not seen.waiting
    assert seen.names.count("mm") == 2  # one of them in the backward pass
    assert seen.largest <= 64 * 32  # no (8, 64, 32)
    assert (anchors.grad[:8].norm(dim=1) > 0).all()
    assert not anchors.grad[8:].any()


def test_a_bank_step_brings_anchor_and_positive_together():
    anchors, bank, _ = random_batch(14, 6, 8)
    other = 1 - torch.eye(6)
    own = torch.arange(6)[:, None]

    def loss(rows: Tensor) -> Tensor:
        scores = bank_logits(rows, bank.detach(), 0.5).exp() / 100
        return noise_contrastive(torch.cat([scores.gather(1, own), scores], dim=1), 50, other)

    value = loss(anchors)
    (grad,) = torch.autograd.grad(value, anchors)
    assert (grad.norm(dim=1) > 0).all()
    assert loss(anchors - 1e-3 * grad).item() < value.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_form_for_training_equals_the_published_one(dtype):
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(6, 41, generator=generator, dtype=torch.float64)
    weights = torch.randint(3, (6, 40), generator=generator).double()
    weights[2] = 0
    values, grads = [], []
    for form in ("logits", "scores"):
        x = logits.to(dtype if form == "logits" else torch.float64).requires_grad_()
        if form == "logits":
            value = noise_contrastive_logits(x[:, 0], x[:, 1:], 100, weights.to(dtype))
        else:
            value = noise_contrastive(x.exp(), 100, weights)
        values.append(value.double())
        grads.append(torch.autograd.grad(value, x)[0].double())
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {}
    torch.testing.assert_close(*values, **tolerance)
    torch.testing.assert_close(*grads, **tolerance)


@pytest.mark.parametrize("size", [-1e4, 0.0, 1e4])
def test_the_form_for_training_is_finite_for_any_logits(size):
    positive = torch.full((3,), size, requires_grad=True)
    negatives = torch.full((3, 5), -size, requires_grad=True)
    weights = torch.ones(3, 5)
    value = noise_contrastive_logits(positive, negatives, 10, weights)
    grads = torch.autograd.grad(value, (positive, negatives))
    assert value.isfinite()
    assert all(grad.isfinite().all() for grad in grads)


BANKED = {  # labels of the anchors, of all in the bank; how often its candidates were drawn
    "duplicates": ([0, 1, 2, 1, 0], [0, 1, 2] * 9, [1] * 9 + [2] * 5 + [4] * 3),
    "whole bank": ([0, 1, 2, 1, 0], [0, 1, 2] * 9, None),
    "no negatives": ([1, 1, 1], [1] * 12, [1] * 5 + [2]),
    "some without negatives": ([1, 0, 1], [1] * 12, [1] * 5 + [2]),
    "batch of one": ([0], [0, 1, 2, 3], [3, 3]),
    "one candidate": ([0, 1], [0, 1, 2, 3], [1]),
}


def banked(case: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Drawn]:
    """Anchors (B, d), one of them zero, the logits of their positives, bank and negatives."""
    own, labels, times = (torch.tensor(v) if v else None for v in BANKED[case])
    generator = torch.Generator().manual_seed(15)
    anchors = torch.randn(len(own), 3, generator=generator, dtype=torch.float64)
    anchors[-1] = 0
    bank = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
    bank[1] = 0
    positive = torch.randn(len(own), generator=generator, dtype=torch.float64)
    if times is None:
        drawn = drawn_of(own, labels, [1] * len(labels), 40)
    else:
        places = torch.randperm(len(labels), generator=generator)[: len(times)]
        drawn = drawn_of(own, labels[places], times.tolist(), 40, places)
    anchors, positive = (x.to(dtype).requires_grad_() for x in (anchors, positive))
    return anchors, positive, bank.to(dtype), drawn


@pytest.mark.parametrize("block", [4, 2048])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", BANKED)
def test_the_loss_of_drawn_rows_is_the_published_one(case, dtype, block, monkeypatch):
    monkeypatch.setattr(crd, "BLOCK", block)
    anchors, positive, bank, drawn = banked(case, dtype)
    value = drawn_contrastive(anchors, positive, bank, drawn, 0.3, 1.5)
    grads = torch.autograd.grad(value, (anchors, positive))
    assert value.dtype == dtype

    anchors, positive, bank = (x.detach().double() for x in (anchors, positive, bank))
    anchors.requires_grad_(), positive.requires_grad_()
    rows = bank if drawn.candidates is None else bank[drawn.candidates]
    times = [n for n, size in enumerate(drawn.sizes, start=1) for _ in range(size)]
    other = (drawn.labels[0][:, None] != drawn.labels[1]) * torch.tensor(times).double()
    weights = other * 40 / other.sum(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(drawn.weights().double(), weights, rtol=1e-6, atol=0)
    logits = torch.cat([positive[:, None], bank_logits(anchors, rows, 0.3)], dim=1)
    want = noise_contrastive((logits - 1.5).exp(), len(bank), weights)
    wanted = torch.autograd.grad(want, (anchors, positive))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    assert value.item() == pytest.approx(want.item(), rel=tolerance)
    for grad, other in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad.double(), other, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("case", BANKED)
def test_gradient_of_the_loss_of_drawn_rows_is_the_numerical_one(case):
    anchors, positive, bank, drawn = banked(case)
    assert torch.autograd.gradcheck(
        lambda a, p: drawn_contrastive(a, p, bank, drawn, 0.3, 1.5), (anchors, positive)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", [25.0, 100.0, 1e4])
def test_the_loss_of_drawn_rows_is_right_for_any_logits(size, dtype):
    anchors, positive, bank, drawn = banked("duplicates")
    temperature = ((anchors @ bank.T).abs().max() / size).item()
    results = []
    for kind in (dtype, torch.float64):
        a, p, rows = (x.detach().to(kind) for x in (anchors, positive, bank))
        a.requires_grad_()
        if not results:
            value = drawn_contrastive(a, p, rows, drawn, temperature, 0.5)
        else:
            logits = bank_logits(a, rows[drawn.candidates], temperature)
            weights = drawn.weights().double()
            value = noise_contrastive_logits(p, logits, len(rows), weights, 0.5)
        results.append((value.double(), torch.autograd.grad(value, a)[0].double()))
    (value, grad), (want, wanted) = results
    # The multiplicities have the digits of float32.
    torch.testing.assert_close(value, want, rtol=1e-6, atol=0)
    torch.testing.assert_close(grad, wanted, rtol=2e-6 * size, atol=1e-5)


def test_drawn_rows_are_scored_in_blocks_and_differentiated_once(monkeypatch):
    monkeypatch.setattr(crd, "BLOCK", 4)
    anchors, positive, bank, drawn = banked("duplicates")
    with Observed() as seen:
        value = drawn_contrastive(anchors, positive, bank, drawn, 0.3)
    assert seen.largest <= 2 * 4 * len(anchors)  # no (5, 17)
    (grad,) = torch.autograd.grad(value.square(), anchors, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
