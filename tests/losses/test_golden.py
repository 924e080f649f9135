"""The losses give the golden numbers, values and gradients, in float64 and nearly so in float32."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from amid.losses.adversarial import DynamicWeights
from tests import golden_numbers as golden

REFERENCE = Path(__file__).parents[3] / "shared" / "golden" / "losses.json"
WEIGHTS = "amid.losses.adversarial.DynamicWeights"
FUNCTIONS = [case for case in golden.cases("amid.losses") if case["function"] != WEIGHTS]


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case["name"])
def test_value_and_gradients(case):
    inputs = golden.arguments(case)
    result = golden.function(case)(**inputs)
    golden.assert_close(result, case["expected"], case["rtol"], case["atol"], case["name"])
    golden.assert_gradients(case, result, inputs, rtol=case["rtol"])


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case["name"])
def test_float32_agrees(case):
    inputs = golden.arguments(case, torch.float32)
    result = golden.function(case)(**inputs)
    assert result.dtype in (torch.float32, torch.bool)
    golden.assert_close(result, case["expected"], 1e-5, 1e-6, case["name"])
    golden.assert_gradients(case, result, inputs, rtol=1e-4, floor=1e-6, relative=1e-5)


@pytest.mark.parametrize("case", golden.cases(WEIGHTS), ids=lambda case: case["name"])
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


def test_copy_equals_the_reference():
    if not REFERENCE.exists():
        pytest.skip("the reference numbers are not beside this repository")
    mine = golden.cases("")
    functions = {case["function"] for case in mine}
    reference = json.loads(REFERENCE.read_text())["cases"]
    assert mine == [case for case in reference if case["function"] in functions]
