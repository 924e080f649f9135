"""Learning rates epoch by epoch, and the optimisers."""

from __future__ import annotations

import math

import pytest
import torch

from amid.training.schedule import build_optimiser, learning_rate


def test_the_rate_falls_at_the_milestones() -> None:
    training = {"learning_rate": 0.01, "milestones": [2, 4], "decay": 0.1}
    rates = [learning_rate(training, epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001])
    assert learning_rate({"learning_rate": 0.01, "milestones": []}, 99) == 0.01


def test_the_rate_rises_on_a_line_and_falls_along_half_a_cosine() -> None:
    training = {"learning_rate": 2.0, "schedule": {"epochs": 10, "warmup": 0.2}}
    rates = [learning_rate(training, epoch) for epoch in range(10)]
    assert rates[:2] == pytest.approx([0.5, 1.5])  # a quarter and three quarters of the rise
    fall = [1 + math.cos(math.pi * (epoch + 0.5) / 8) for epoch in range(8)]
    assert rates[2:] == pytest.approx(fall, abs=1e-8)
    assert rates[5] + rates[6] == pytest.approx(2.0)  # around the middle of the fall
    without = {"learning_rate": 2.0, "schedule": {"epochs": 2, "warmup": 0.0}}
    assert [learning_rate(without, epoch) for epoch in range(2)] == pytest.approx(
        [1 + math.cos(math.pi / 4), 1 + math.cos(3 * math.pi / 4)]
    )


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    training = {"optimiser": "adamw", "learning_rate": 0.1, "weight_decay": 0.5}
    optimiser = build_optimiser(training, [weight])
    weight.grad = torch.tensor([3.0])
    optimiser.step()
    # 2 (1 - 0.1 * 0.5), then Adam's first step: the rate itself
    assert weight.item() == pytest.approx(2.0 * 0.95 - 0.1, rel=1e-6)
