"""A hundred generated edge cases; tests/campaigns/losses.py draws thousands of them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

import amid.losses
from tests.campaigns.losses import main, run
from tests.losses.edge_cases import LOSSES, Loss, edges


@pytest.mark.parametrize("name", LOSSES)
def test_edge_cases_are_finite_and_equal_the_loops(name: str) -> None:
    right, _, wrong = run(LOSSES[name], 6, 100)
    assert wrong is None
    assert right == 6


def test_every_loss_takes_part() -> None:
    files = Path(amid.losses.__file__).parent.glob("*.py")
    names = [
        (file.stem, node.name)
        for file in files
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and "NamedTuple" not in map(ast.unparse, getattr(node, "bases", []))  # a loss's argument
    ]
    times = Counter(name for _, name in names)
    assert {n if times[n] == 1 else f"{file}.{n}" for file, n in names} == set(LOSSES)


def _wrong(how: str) -> Loss:
    """The class-aware loss with a mistake."""
    right = LOSSES["class_aware_nce"]

    def loss(a: Tensor, b: Tensor, labels: Tensor, temperature: float) -> Tensor:
        value = right.loss(a, b, labels, temperature)
        if how == "value":
            return value * (1 + 3e-9) + 3e-9
        if how == "gradient":  # of the norm of a zero row
            return value + 0 * a.square().sum(dim=1).sqrt().sum()
        return value / (len(labels) - 1) * (len(labels) - 1)  # "batch of one"

    return right._replace(loss=loss)


@pytest.mark.parametrize(
    ("how", "said"),
    [("value", "off by"), ("gradient", "not finite"), ("batch of one", "value is nan")],
)
def test_a_mistake_is_found_and_made_small(how: str, said: str) -> None:
    _, _, wrong = run(_wrong(how), 50, 0)
    assert wrong is not None
    assert said in wrong
    assert wrong.count("[[") == 2  # the two sets of rows stand there


def test_the_campaign_says_what_it_drew(capsys: pytest.CaptureFixture) -> None:
    number = len(LOSSES)
    assert main(["--count", str(number), "--seed", "5"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^{number}/{number} edge cases finite", said, re.MULTILINE)
    assert f"DynamicWeights: 1/1, seed {5 + list(LOSSES).index('DynamicWeights')}" in said


def test_edges_are_told() -> None:
    rows = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    assert edges((rows, torch.tensor([1, 1]), 1e-4)) == {
        *("zero row", "equal rows", "one class", "tiny temperature")
    }
    assert edges((torch.full((1, 2), 1e4), torch.tensor([0, 1]), 1e4)) == {
        *("batch of one", "no same-class pair", "a value of 1e4 or more", "huge temperature")
    }
