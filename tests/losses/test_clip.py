"""CLIP's loss against explicit loops, golden numbers, closed forms, invariances, hard batches."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amid.losses.clip import per_sample, symmetric
from tests import golden_numbers as golden
from tests.losses import by_loops
from tests.losses.batches import EDGE_CASES, edge_case, random_batch
from tests.losses.observed import Observed

COPY = golden.GOLDEN / "contrastive.json"
REFERENCE = Path(__file__).parents[3] / "shared" / "golden" / "methods2.json"
CASES = golden.cases("amid.losses.clip", COPY.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_value_and_gradients(case):
    inputs = golden.arguments(case)
    result = golden.function(case)(**inputs)
    golden.assert_close(result, case["expected"], case["rtol"], case["atol"], case["name"])
    golden.assert_gradients(case, result, inputs, rtol=case["rtol"])


def test_copy_equals_the_reference():
    if not REFERENCE.exists():
        pytest.skip("the reference numbers are not beside this repository")
    mine = json.loads(COPY.read_text())["cases"]
    functions = {case["function"] for case in mine}
    assert functions == {
        *(f"amid.losses.clip.{name}" for name in ("symmetric", "per_sample")),
        *(f"amid.selection.dissect.{n}" for n in ("similarity", "keep_largest", "keep_smallest")),
    }
    reference = json.loads(REFERENCE.read_text())["cases"]
    assert mine == [case for case in reference if case["function"] in functions]


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 8),
    temperature=st.sampled_from([0.01, 0.07, 0.5, 2.0]),
)
def test_equals_the_explicit_loops(seed, size, temperature):
    a, b, _ = random_batch(seed, size, 3, 2)
    got, want = symmetric(a, b, temperature), by_loops.symmetric(a, b, temperature)
    assert got.item() == pytest.approx(want.item(), rel=1e-11, abs=1e-12)
    mine, theirs = torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b))
    for grad, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-10)


def test_gradient_is_the_numerical_one_of_both_rows_and_of_the_temperature():
    a, b, _ = random_batch(21, 6, 3)
    temperature = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(symmetric, (a, b, temperature))
    assert torch.autograd.gradcheck(per_sample, (a, b, temperature))


def test_closed_forms():
    rows = torch.ones(6, 3, dtype=torch.float64)
    assert symmetric(rows, rows, 0.1).item() == pytest.approx(math.log(6), rel=1e-14)
    apart = torch.eye(4, dtype=torch.float64)  # cosines 1 and 0
    want = math.log1p(3 * math.exp(-1 / 0.5))
    assert symmetric(apart, apart, 0.5).item() == pytest.approx(want, rel=1e-13)
    a, b, _ = random_batch(3, 1)
    value = symmetric(a, b, 0.01)  # no negatives
    assert value.item() == 0
    assert all((grad == 0).all() for grad in torch.autograd.grad(value, (a, b)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_hard_batches_are_finite(name, temperature, dtype):
    a, b, _ = edge_case(name, dtype)
    value = symmetric(a, b, temperature)
    grads = torch.autograd.grad(value, (a, b))
    assert value.isfinite()
    for rows, grad in zip((a, b), grads, strict=True):
        assert grad.isfinite().all()
        assert (grad[(rows == 0).all(dim=1)] == 0).all()


def test_order_scale_and_sides_do_not_matter():
    a, b, _ = random_batch(22, 9)
    want = symmetric(a, b, 0.1).item()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    scale = torch.logspace(-6, 6, 9, dtype=torch.float64)[:, None]
    for got in (
        symmetric(a[order], b[order], 0.1),
        symmetric(a * scale, b / scale, 0.1),
        symmetric(b, a, 0.1),
        per_sample(a, b, 0.1).mean(),
    ):
        assert got.item() == pytest.approx(want, rel=1e-12)


def test_is_a_few_matrix_operations_that_never_wait():
    a, b, _ = random_batch(25, 32, 64, dtype=torch.float32)
    with Observed() as seen:
        symmetric(a, b, 0.1).backward()
    assert not seen.waiting
    assert seen.largest <= 32 * 64
    assert seen.names.count("mm") == 3
    assert len(seen.names) < 100
