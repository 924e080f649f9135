"""CRCD's relations and gradient term against explicit loops, invariances and coinciding rows."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.losses.cosine import unit_rows
from amid.losses.crcd import gradient_agreement, relation_cosines
from tests.losses import by_loops
from tests.losses.batches import EDGE_CASES, edge_case, random_batch
from tests.losses.observed import Observed

Rows = tuple[Tensor, Tensor, Tensor, Tensor]


def relation_scores(
    anchors: Tensor, centres: Tensor, positives: Tensor, candidates: Tensor, temperature: float
) -> Tensor:
    """The scores that the estimator sees."""
    own, others = relation_cosines(anchors, centres, positives, candidates)
    return (torch.cat([own[:, None], others], dim=1) / temperature).exp()


def random_rows(
    seed: int,
    pairs: int = 4,
    candidates: int = 5,
    dim: int = 3,
    dtype: torch.dtype = torch.float64,
) -> Rows:
    """Anchors, centres, positives (P, d) and candidates (K, d), asking for gradients."""
    generator = torch.Generator().manual_seed(seed)
    counts = (pairs, pairs, pairs, candidates)
    rows = [torch.randn(n, dim, generator=generator, dtype=torch.float64) for n in counts]
    return tuple(each.to(dtype).requires_grad_() for each in rows)


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    pairs=st.integers(1, 5),
    candidates=st.integers(1, 5),
    dim=st.integers(2, 6),
    temperature=st.sampled_from([0.05, 0.2, 1.0]),
)
def test_equals_the_explicit_loops(seed, pairs, candidates, dim, temperature):
    rows = random_rows(seed, pairs, candidates, dim)
    own, others = by_loops.relation_cosines(*rows)
    cosines = [torch.stack([first, *more]) for first, more in zip(own, others, strict=True)]
    got, want = relation_scores(*rows, temperature), (torch.stack(cosines) / temperature).exp()
    torch.testing.assert_close(got, want, rtol=1e-11, atol=0)
    total, other = got.log().sum(), want.log().sum()
    mine, theirs = torch.autograd.grad(total, rows), torch.autograd.grad(other, rows)
    for grad, same in zip(mine, theirs, strict=True):
        torch.testing.assert_close(grad, same, rtol=1e-9, atol=1e-10)


def test_gradient_is_the_numerical_one():
    assert torch.autograd.gradcheck(partial(relation_scores, temperature=0.5), random_rows(1))


def test_closed_form_of_right_angles():
    centres = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    step = torch.eye(2, dtype=torch.float64)
    candidates = torch.cat([centres + 3 * step, centres - 5 * step, centres + step.sum(0)])
    got = relation_scores(centres + step[:1], centres, centres + 7 * step[:1], candidates, 0.5)
    want = [1.0, 1.0, 0.0, -1.0, 0.0, math.sqrt(0.5)]
    torch.testing.assert_close(got.log() * 0.5, torch.tensor([want]).double(), atol=1e-7, rtol=0)
    torch.testing.assert_close((got.log() * 0.5)[0, :5].tolist(), want[:5], atol=1e-14, rtol=0)


def test_only_directions_from_the_centre_matter():
    anchors, centres, positives, candidates = (rows.detach() for rows in random_rows(2))
    want = relation_scores(anchors, centres, positives, candidates, 0.2)
    shift = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)
    turn = torch.linalg.qr(random_rows(3, 3)[0].detach()).Q
    moved = [rows + shift for rows in (anchors, centres, positives, candidates)]
    turned = [rows @ turn * 30 for rows in (anchors, centres, positives, candidates)]
    longer = [centres + 4 * (anchors - centres), centres, centres + 0.1 * (positives - centres)]
    for rows in (moved, turned, [*longer, candidates]):
        torch.testing.assert_close(relation_scores(*rows, 0.2), want, rtol=1e-11, atol=0)
    order = torch.tensor([2, 4, 0, 1, 3])
    got = relation_scores(anchors, centres, positives, candidates[order], 0.2)
    torch.testing.assert_close(got, want[:, [0, 3, 5, 1, 2, 4]], rtol=1e-11, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("dim", [1, 2, 128])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_candidate_that_is_the_centre_has_cosine_0_and_no_gradient(scale, dim, dtype):
    # |c - t|^2 from products is a little off 0 then, on either side.
    rows = random_rows(4, 40, 3, dim, dtype)
    anchors, centres, positives = ((each.detach() * scale).requires_grad_() for each in rows[:3])
    candidates = centres.detach().clone().requires_grad_()
    inputs = (anchors, centres, positives, candidates)
    scores = relation_scores(*inputs, 0.05)
    assert scores.isfinite().all()
    same = scores[:, 1:].diagonal()  # (P,)
    assert (same == 1).all()
    for grad in torch.autograd.grad(same.sum(), inputs, retain_graph=True):
        assert (grad == 0).all()
    for grad in torch.autograd.grad(scores.log().sum(), inputs):
        assert grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("column", [0, 1])
def test_zero_relations_have_cosine_0_and_no_gradient(column, dtype):
    anchors, centres, positives, candidates = random_rows(5, 2, dtype=dtype)
    still = torch.tensor([[True], [False]])
    if column == 0:  # the positive is the centre
        positives = torch.where(still, centres, positives).detach().requires_grad_()
    else:  # the anchor is the centre: nothing has a direction in common with it
        anchors = torch.where(still, centres, anchors).detach().requires_grad_()
    inputs = (anchors, centres, positives, candidates)
    scores = relation_scores(*inputs, 0.05)
    zero = scores[0, :1] if column == 0 else scores[0]
    assert (zero == 1).all()
    assert (scores[1] != 1).all()
    for grad in torch.autograd.grad(zero.sum(), inputs, retain_graph=True):
        assert (grad == 0).all()
    for grad in torch.autograd.grad(scores.log().sum(), inputs):
        assert grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_all_rows_zero(dtype):
    inputs = tuple(torch.zeros(n, 4, dtype=dtype, requires_grad=True) for n in (3, 3, 3, 2))
    scores = relation_scores(*inputs, 0.05)
    assert (scores == 1).all()
    for grad in torch.autograd.grad(scores.sum(), inputs):
        assert (grad == 0).all()


@pytest.mark.parametrize(
    ("distance", "tolerance"), [(0.3, 1e-5), (0.1, 1e-4), (0.03, 1e-3), (0.01, 1e-2)]
)
def test_float32_cosine_of_a_candidate_near_the_centre(distance, tolerance):
    anchors, centres, positives, steps = random_rows(6, 64, 64, 128)
    centres = unit_rows(centres).detach().float()
    candidates = centres + distance * unit_rows(steps.detach()).float()
    middle = centres + distance * unit_rows(steps + anchors).detach().float()
    rows = (middle, centres, positives.detach().float(), candidates)
    got = relation_scores(*rows, 1.0)[:, 1:].diagonal().log().double()
    exact = [each.double() for each in rows]
    want = torch.cosine_similarity(exact[0] - exact[1], exact[3] - exact[1])
    assert (want > 0.5).all()
    assert (got - want).abs().max().item() < tolerance


@pytest.mark.parametrize("exponent", range(-9, 1))
def test_float32_cosines_stay_in_range(exponent):
    # Near enough to the centre rounding leaves nothing of the lengths: the scores must not show it.
    _, centres, positives, steps = random_rows(7, 64, 64, 128)
    centres = unit_rows(centres).detach().float()
    candidates = centres + 2.0**exponent / 64 * unit_rows(steps.detach()).float()
    scores = relation_scores(candidates, centres, positives.detach().float(), candidates, 0.05)
    assert (scores.log().abs() <= 20 * (1 + 1e-6)).all()


def test_gradient_flows_to_what_asks():
    rows = random_rows(8)
    for asking in range(4):
        inputs = [row.detach() for row in rows]
        inputs[asking].requires_grad_()
        relation_scores(*inputs, 0.2).sum().backward()
        for index, row in enumerate(inputs):
            assert (row.grad is not None) == (index == asking)
        assert (inputs[asking].grad.norm(dim=1) > 1e-6).all()


def test_forms_no_tensor_of_pairs_times_candidates_times_dimensions():
    anchors, *others = random_rows(9, 32, 48, 16, torch.float32)
    with Observed() as seen:
        relation_scores(anchors, *[row.detach() for row in others], 0.05).sum().backward()
    assert not seen.waiting
    assert seen.largest <= 32 * 49
    assert seen.names.count("mm") + seen.names.count("addmm") == 3  # one in the backward pass
    assert len(seen.names) < 90


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), dim=st.integers(1, 5))
def test_agreement_equals_the_explicit_loops(seed, size, dim):
    a, b, _ = random_batch(seed, size, dim)
    got, want = gradient_agreement(a, b), by_loops.gradient_agreement(a, b)
    assert got.item() == pytest.approx(want.item(), rel=1e-13, abs=1e-14)
    mine, theirs = torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b))
    for grad, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-11, atol=1e-12)


def test_agreement_gradients_are_the_numerical_ones():
    # The second one too: the student's gradient is itself differentiated.
    a, b, _ = random_batch(10, 4, 3)
    assert torch.autograd.gradcheck(gradient_agreement, (a, b))
    assert torch.autograd.gradgradcheck(gradient_agreement, (a, b))


def test_agreement_of_equal_and_opposite_gradients():
    a, b, _ = random_batch(11)
    scale = torch.logspace(-6, 6, 7, dtype=torch.float64)[:, None]
    assert gradient_agreement(a, a * scale).item() == pytest.approx(0, abs=1e-14)
    assert gradient_agreement(a, -a * scale).item() == pytest.approx(2, rel=1e-14)
    want = gradient_agreement(a, b).item()
    assert gradient_agreement(a * scale, b / scale).item() == pytest.approx(want, rel=1e-13)
    assert gradient_agreement(b, a).item() == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_hard_gradients_are_finite(name, dtype):
    a, b, _ = edge_case(name, dtype)
    value = gradient_agreement(a, b)
    assert -1e-6 < value.item() < 2 + 1e-6
    zero = (a == 0).all(dim=1) | (b == 0).all(dim=1)
    for grad in torch.autograd.grad(value, (a, b)):
        assert grad.isfinite().all()
        assert (grad[zero] == 0).all()
    if zero.all():
        assert value.item() == 1


def test_agreement_never_waits():
    a, b, _ = random_batch(12, 16, 8)
    with Observed() as seen:
        gradient_agreement(a, b).backward()
    assert not seen.waiting
    assert seen.largest == 16 * 8
