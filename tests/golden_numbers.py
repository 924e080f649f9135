"""Reads the files in tests/golden and compares what a function gives with the numbers there.

A case holds `function`, `inputs`, `expected`, optionally `grad` (input -> the whole gradient) or
`grad_entries` and `grad_norm` (input -> [[index ..., value], ...] and Frobenius norm), `rtol` and
`atol`. Inputs may be generated from a seed; null stands for NaN. Inputs and gradients named in
`LISTS` are lists of arrays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
FILES = ("losses.json", "methods2.json")
INTEGERS = {"labels", "query_labels", "gallery_labels", "predictions"}
PLAIN = {"ks"}
LISTS = {"modalities"}
# The names in the files are those of their day.
MOVED = {
    "amid.metrics": "amid.training.metrics",
    "amid.selection.dissect.keep_largest": "amid.selection.contrastive",
    "amid.selection.dissect.keep_smallest": "amid.selection.contrastive",
}


def cases(prefix: str, *files: str) -> list[dict[str, Any]]:
    """The cases whose function's dotted name starts with `prefix`, of all files or of some."""
    found = []
    for name in files or FILES:
        found += json.loads((GOLDEN / name).read_text())["cases"]
    return [case for case in found if _module(case).startswith(prefix)]


def function(case: dict[str, Any]) -> Callable[..., Any]:
    return getattr(import_module(_module(case)), case["function"].rsplit(".", 1)[1])


def _module(case: dict[str, Any]) -> str:
    module = case["function"].rsplit(".", 1)[0]
    return MOVED.get(case["function"], MOVED.get(module, module))


def materialise(value: Any) -> Any:
    """Generated arrays made from their seed, wherever they stand."""
    if isinstance(value, dict) and "generate" in value:
        how = value["generate"]
        array = np.random.default_rng(how["seed"]).standard_normal(how["shape"])
        array = array * how.get("scale", 1.0)
        if how.get("exp"):
            array = np.exp(array)
        array = array / how.get("divide", 1.0)
        if how.get("unit_rows"):
            array = array / np.linalg.norm(array, axis=1, keepdims=True)
        np.testing.assert_allclose(array.ravel()[:3], how["head"], rtol=1e-12)
        return array.tolist()
    if isinstance(value, dict):
        return {key: materialise(item) for key, item in value.items()}
    if isinstance(value, list):
        return [materialise(item) for item in value]
    return value


def arguments(case: dict[str, Any], dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """The inputs as tensors, those with a known gradient asking for theirs."""
    wanted = {**case.get("grad", {}), **case.get("grad_entries", {})}
    inputs: dict[str, Any] = {}
    for name, value in materialise(case["inputs"]).items():
        asks = name in wanted
        if name in PLAIN or not isinstance(value, list):
            inputs[name] = value
        elif name in INTEGERS:
            inputs[name] = torch.tensor(value, dtype=torch.int64)
        elif name in LISTS:
            inputs[name] = [torch.tensor(each, dtype=dtype, requires_grad=asks) for each in value]
        else:
            inputs[name] = torch.tensor(value, dtype=dtype, requires_grad=asks)
    return inputs


def assert_close(got: Any, want: Any, rtol: float, atol: float, what: str) -> None:
    """abs(got - want) <= atol + rtol * abs(want), entry by entry, same shape."""
    if isinstance(got, Tensor):
        got = got.tolist()
    if isinstance(want, dict):
        assert list(got) == list(want), f"{what}: keys {list(got)}, not {list(want)}"
        for key, value in want.items():
            assert_close(got[key], value, rtol, atol, f"{what}.{key}")
    elif isinstance(want, list):
        assert len(got) == len(want), f"{what}: length {len(got)}, not {len(want)}"
        for index, (mine, other) in enumerate(zip(got, want, strict=True)):
            assert_close(mine, other, rtol, atol, f"{what}[{index}]")
    elif want is None:
        assert math.isnan(got), f"{what}: {got}, not NaN"
    elif isinstance(want, bool):
        assert got is want, f"{what}: {got}, not {want}"
    else:
        assert abs(got - want) <= atol + rtol * abs(want), f"{what}: {got!r}, not {want!r}"


def assert_gradients(
    case: dict[str, Any],
    result: Tensor,
    inputs: dict[str, Any],
    *,
    rtol: float,
    floor: float = 1e-12,
    relative: float = 1e-11,
) -> None:
    """The gradients of a scalar result; atol = max(floor, relative * the case's largest entry)."""
    whole, some = dict(case.get("grad", {})), case.get("grad_entries", {})
    if not whole and not some:
        return
    inputs = dict(inputs)
    for name in LISTS & set(whole):
        for index, (tensor, gradient) in enumerate(
            zip(inputs.pop(name), whole.pop(name), strict=True)
        ):
            inputs[f"{name}[{index}]"], whole[f"{name}[{index}]"] = tensor, gradient
    listed = [torch.tensor(value, dtype=torch.float64) for value in whole.values()]
    listed += [torch.tensor([entry[-1] for entry in entries]) for entries in some.values()]
    largest = max(float(values.abs().max()) for values in listed if values.numel())
    atol = max(floor, relative * largest)
    names = [*whole, *some]
    asked = [inputs[name] for name in names]
    grads = torch.autograd.grad(result, asked, materialize_grads=True)  # 0 of what is detached
    for name, grad in zip(names, grads, strict=True):
        what = f"{case['name']}: gradient of {name}"
        if name in whole:
            assert_close(grad, whole[name], rtol, atol, what)
            continue
        for *index, value in some[name]:
            assert_close(grad[tuple(index)], value, rtol, atol, f"{what}{index}")
        assert_close(grad.norm(), case["grad_norm"][name], rtol, atol, f"norm of {what}")
