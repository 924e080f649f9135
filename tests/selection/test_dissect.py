"""DISSect's rules against golden numbers, explicit loops, ties and invariances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amid.selection.dissect import keep, keep_momentum, similarity
from tests import golden_numbers as golden
from tests.losses.batches import EDGE_CASES, edge_case, random_batch
from tests.losses.observed import Observed

# Few values, so that equal differences are frequent; multiples of 1/4 have exact sums.
SCORES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12)
RATIOS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", golden.cases("amid.selection"), ids=lambda case: case["name"])
def test_golden_numbers(case, dtype):
    got = golden.function(case)(**golden.arguments(case, dtype))
    want = case["expected"]
    if case["function"].endswith(".similarity"):
        tolerance = case["rtol"] if dtype == torch.float64 else 1e-5
        golden.assert_close(got, want, tolerance, tolerance, case["name"])
        return
    if isinstance(want, dict):
        got, history = got
        assert history.dtype == dtype
        tolerance = 1e-12 if dtype == torch.float64 else 1e-6
        golden.assert_close(
            history, want["historical_similarity"], tolerance, tolerance, case["name"]
        )
        want = want["indices"]
    assert len(got) == len(want)
    assert set(got.tolist()) == set(want)


def ranked_by_loops(differences: list[float], ratio: float) -> list[int]:
    left = list(range(len(differences)))
    kept: list[int] = []
    while not kept or len(kept) < int(len(differences) * ratio):
        best = left[0]
        for index in left:
            if differences[index] > differences[best]:
                best = index
        left.remove(best)
        kept.append(best)
    return sorted(kept)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(scores=SCORES, ratio=RATIOS, first_epoch=st.booleans())
def test_equal_the_explicit_loops(scores, ratio, first_epoch):
    now, past = torch.tensor(scores, dtype=torch.float64).T / 4
    want = ranked_by_loops([(h - s) / 4 for s, h in scores], ratio)
    got, history = keep_momentum(now, past, ratio, 0.75, first_epoch)
    assert got.tolist() == want
    values = [s / 4 if first_epoch else (0.75 * h + 0.25 * s) / 4 for s, h in scores]
    assert history.tolist() == values
    # The means shift all differences alike, but may round two equal ones apart.
    mean_past, mean_now = past.mean().item(), now.mean().item()
    shifted = [(h / 4 - mean_past) - (s / 4 - mean_now) for s, h in scores]
    assert keep(now, past, ratio).tolist() == ranked_by_loops(shifted, ratio)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_of_equal_differences_the_first_are_kept(size, ratio):
    scores = torch.full((size,), 12.5)
    want = list(range(max(1, int(size * ratio))))
    assert keep(scores, scores, ratio).tolist() == want
    assert keep_momentum(scores, scores, ratio, 0.9, False)[0].tolist() == want


def test_a_tie_at_the_cut_keeps_the_lower_index():
    now = torch.tensor([10.0, 30.0, 10.0, 10.0, 50.0, 10.0])
    past = torch.tensor([10.0, 30.0, 10.0, 10.0, 90.0, 10.0])
    assert keep_momentum(now, past, 0.5, 0.9, False)[0].tolist() == [0, 1, 4]
    assert keep_momentum(now.flip(0), past.flip(0), 0.5, 0.9, False)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("size", "ratio", "count"), [(7, 0.5, 3), (3, 0.25, 1), (1, 0.5, 1)])
def test_count_is_rounded_down_but_one_is_kept(size, ratio, count):
    now, past = torch.arange(2.0 * size).view(2, size)
    for kept in (keep(now, past, ratio), keep_momentum(now, past, ratio, 0.9, False)[0]):
        assert kept.dtype == torch.int64
        assert len(kept) == count


def test_keeps_what_has_lost_similarity():
    past = torch.tensor([50.0, 50.0, 50.0, 50.0])
    now = torch.tensor([90.0, 20.0, 80.0, 30.0])
    assert keep(now, past, 0.5).tolist() == [1, 3]
    assert keep(past, now, 0.5).tolist() == [0, 2]


def test_a_shift_of_all_scores_does_not_matter():
    now, past = random_batch(1, 1, 16)[:2]
    now, past = now[0].detach(), past[0].detach()
    want = keep(now, past, 0.5).tolist()
    assert keep(now + 40, past - 7, 0.5).tolist() == want
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    assert sorted(order[keep(now[order], past[order], 0.5)].tolist()) == want


def test_the_first_history_is_a_copy_without_gradient():
    now = torch.tensor([1.0, 2.0], requires_grad=True)
    past = torch.zeros(2)
    for first_epoch in (True, False):
        _, history = keep_momentum(now, past, 0.5, 0.9, first_epoch)
        assert not history.requires_grad
        history.zero_()
        assert now.tolist() == [1.0, 2.0]
    assert past.tolist() == [0.0, 0.0]


def similarity_by_loops(a: Tensor, b: Tensor) -> list[float]:
    values = []
    for x, y in zip(a, b, strict=True):
        lengths = (x.norm() * y.norm()).item()
        values.append(max(0.0, 100 * torch.dot(x, y).item() / lengths) if lengths else 0.0)
    return values


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), dim=st.integers(1, 5))
def test_similarity_equals_the_explicit_loops(seed, size, dim):
    a, b, _ = random_batch(seed, size, dim)
    got = similarity(a, b)
    assert not got.requires_grad
    assert got.tolist() == pytest.approx(similarity_by_loops(a, b), rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_similarity_of_hard_batches(name, dtype):
    a, b, _ = edge_case(name, dtype)
    got = similarity(a, b)
    assert got.dtype == dtype
    want = similarity_by_loops(a.double(), b.double())
    assert got.tolist() == pytest.approx(want, rel=1e-6, abs=1e-5)
    assert (got >= 0).all()


def test_similarity_of_equal_opposite_and_zero_rows():
    a = random_batch(3)[0].detach()
    assert similarity(a, 3 * a).tolist() == pytest.approx([100.0] * len(a), rel=1e-14)
    assert (similarity(a, -a) == 0).all()
    assert (similarity(a, 0 * a) == 0).all()


def test_never_waits_for_the_device():
    a, b, _ = random_batch(4, 16, 8)
    with Observed() as seen:
        now = similarity(a, b)
        keep(now, now.flip(0), 0.5)
        keep_momentum(now, now.flip(0), 0.5, 0.9, False)
    assert not seen.waiting
    assert seen.largest == 16 * 8
