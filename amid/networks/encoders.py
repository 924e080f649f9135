"""Encoders: features of one modality -> representation (B, D).

Every encoder first standardises its input by the mean and deviation of the training samples, which
it keeps as buffers: a saved student needs nothing beside its file.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """(x - mean) / deviation a feature; constant features become 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, samples: Tensor) -> None:
        """Takes mean and deviation over all axes of `samples` (N, ..., features) but the last."""
        flat = samples.reshape(-1, samples.shape[-1]).double()
        deviation = flat.std(0, correction=0)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


class GruEncoder(nn.Module):
    """Linear layers on each step, a GRU over the steps, a linear map of its last state.

    (B, steps, features) -> (B, D). The student of the lip-reading data sets.
    """

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        widths = [shape[-1], *options["hidden"]]
        self.standardise = Standardise(shape[-1])
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.steps = nn.Sequential(*(m for layer in layers for m in (layer, nn.LeakyReLU(slope))))
        self.gru = nn.GRU(widths[-1], options["state"], batch_first=True)
        self.project = nn.Linear(options["state"], dim)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.steps(self.standardise(x))  # (B, steps, H)
        _, last = self.gru(steps)  # (1, B, state)
        return self.project(last[0])  # (B, D)


class CnnEncoder(nn.Module):
    """1D convolutions over time on log-mel bands, mean and maximum over time, a linear map.

    (B, steps, bands) -> (B, D).
    """

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        widths = [shape[-1], *options["channels"]]
        self.standardise = Standardise(shape[-1])
        blocks: list[nn.Module] = []
        for before, after in pairwise(widths):
            kernel = options["kernel"]
            blocks += [
                nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(after),
                nn.LeakyReLU(slope),
                nn.MaxPool1d(2, ceil_mode=True),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(options["dropout"])
        self.project = nn.Linear(2 * widths[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.blocks(self.standardise(x).transpose(1, 2))  # (B, channels, steps / 2**n)
        pooled = torch.cat([maps.mean(-1), maps.amax(-1)], dim=1)  # (B, 2 channels)
        return self.project(self.dropout(pooled))  # (B, D)


class MlpEncoder(nn.Module):
    """One hidden layer on a feature vector: (B, features) -> (B, D)."""

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        self.standardise = Standardise(shape[-1])
        self.hidden = nn.Linear(shape[-1], options["hidden"])
        self.activation = nn.LeakyReLU(slope)
        self.dropout = nn.Dropout(options["dropout"])
        self.project = nn.Linear(options["hidden"], dim)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.hidden(self.standardise(x)))  # (B, hidden)
        return self.project(self.dropout(hidden))  # (B, D)


Encoder = GruEncoder | CnnEncoder | MlpEncoder

ENCODERS: dict[str, Callable[[tuple[int, ...], int, float, dict[str, Any]], Encoder]] = {
    "gru": GruEncoder,
    "cnn": CnnEncoder,
    "mlp": MlpEncoder,
}
