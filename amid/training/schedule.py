"""The learning rate of every epoch, and the optimisers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def learning_rate(training: dict[str, Any], epoch: int) -> float:
    """The learning rate of epoch number `epoch` (from 0).

    Without `schedule` in `training`, `decay` multiplies it at each of the `milestones`. With it, it
    rises linearly over the share `warmup` of the schedule's epochs and falls to 0 along half a
    cosine over the rest (Loshchilov and Hutter, 2017), taken in the middle of every epoch.
    """
    rate = training["learning_rate"]
    if (schedule := training.get("schedule")) is None:
        passed = sum(epoch >= milestone for milestone in training["milestones"])
        return rate * training.get("decay", 1.0) ** passed
    done, rise = (epoch + 0.5) / schedule["epochs"], schedule["warmup"]
    if done < rise:
        return rate * done / rise
    fallen = 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))
    return rate * round(fallen, 9)  # whatever a C library's last bit is


def build_optimiser(training: dict[str, Any], parameters: list[Tensor]) -> torch.optim.Optimizer:
    """Builds an optimiser from `optimiser` ("adam", "adamw" or "sgd"), `learning_rate`, `momentum`
    (of SGD) and `weight_decay` (0 if absent)."""
    decay = training.get("weight_decay", 0.0)
    shared = {"lr": training["learning_rate"], "weight_decay": decay}
    if training["optimiser"] == "sgd":
        return torch.optim.SGD(parameters, momentum=training["momentum"], fused=True, **shared)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training["optimiser"]]
    return kind(parameters, fused=True, **shared)


def forget_gradients(optimiser: torch.optim.Optimizer) -> None:
    """What `zero_grad` does, without the profiler's hooks around it, ten times as long."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
