"""The losses give the golden numbers, values and gradients, in float64 and nearly so in float32."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from amid.losses.adversarial import DynamicWeights
from tests import golden_numbers as golden

REFERENCE = Path(__file__).parents[3] / "shared" / "golden"
WEIGHTS = "amid.losses.adversarial.DynamicWeights"
CASES = golden.cases("amid.losses")
FUNCTIONS = [case for case in CASES if case["function"] != WEIGHTS]


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case["name"])
def test_value_and_gradients(case):
    inputs = golden.arguments(case)
    result = golden.function(case)(**inputs)
    golden.assert_close(result, case["expected"], case["rtol"], case["atol"], case["name"])
    golden.assert_gradients(case, result, inputs, rtol=case["rtol"])


# Inputs around 1e4, of which float32 holds no more than three decimals.
INEXACT = {"rkd_distance_offset", "rkd_angle_offset"}


@pytest.mark.parametrize(
    "case", [c for c in FUNCTIONS if c["name"] not in INEXACT], ids=lambda case: case["name"]
)
def test_float32_agrees(case):
    inputs = golden.arguments(case, torch.float32)
    result = golden.function(case)(**inputs)
    assert result.dtype in (torch.float32, torch.bool)
    golden.assert_close(result, case["expected"], 1e-5, 1e-6, case["name"])
    golden.assert_gradients(case, result, inputs, rtol=1e-4, floor=1e-6, relative=1e-5)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c["function"] == WEIGHTS], ids=lambda case: case["name"]
)
def test_dynamic_weights(case):
    inputs = golden.materialise(case["inputs"])
    weights = DynamicWeights(inputs["smoothing"])
    got = {"initial_w": weights.weights.tolist(), "epochs": []}
    for epoch in inputs["epochs"]:
        for batch in epoch:
            weights.update(
                torch.tensor(batch["teacher"], dtype=torch.float64),
                torch.tensor(batch["student"], dtype=torch.float64),
                torch.tensor(batch["labels"]),
            )
        weights.end_epoch()
        state = {"S": weights.similarities, "Q": weights.averages, "w": weights.weights.tolist()}
        got["epochs"].append(state)
    golden.assert_close(got, case["expected"], case["rtol"], case["atol"], case["name"])


@pytest.mark.parametrize("name", golden.FILES)
def test_copy_equals_the_reference(name):
    if not (REFERENCE / name).exists():
        pytest.skip("the reference numbers are not beside this repository")
    mine = golden.cases("", name)
    functions = {case["function"] for case in mine}
    reference = json.loads((REFERENCE / name).read_text())["cases"]
    assert mine == [case for case in reference if case["function"] in functions]
