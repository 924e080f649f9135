"""A residual network over the steps of a sequence (He et al., 2016; Wang, Yan, Oates, 2017)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from amid.networks.encoders import (
    Dropout,
    EncoderOptions,
    OddKernel,
    Positive,
    Standardise,
    Standardised,
    unpadded,
    within,
)


class StepNorm(nn.BatchNorm1d):
    """Batch normalisation of (B, channels, steps) by its real steps, zeros behind them."""

    def forward(self, maps: Tensor, real: Tensor | None = None) -> Tensor:
        """real: (B, steps) bool; None where all steps are real."""
        if real is None:
            return super().forward(maps)
        places = real.flatten().nonzero().flatten()  # (real steps,)
        flat = maps.transpose(1, 2).flatten(0, 1)  # (B steps, channels)
        rows = super().forward(flat.index_select(0, places))  # (real steps, channels)
        filled = rows.new_zeros(flat.shape).index_copy(0, places, rows)
        return filled.unflatten(0, real.shape).transpose(1, 2)


class Block(nn.Module):
    """Two convolutions beside a shortcut: (B, before, steps) -> (B, after, steps)."""

    def __init__(self, before: int, after: int, kernel: int, slope: float) -> None:
        super().__init__()

        def convolution(inputs: int, size: int) -> nn.Conv1d:
            return nn.Conv1d(inputs, after, size, padding=size // 2, bias=False)

        self.first, self.first_norm = convolution(before, kernel), StepNorm(after)
        self.second, self.second_norm = convolution(after, kernel), StepNorm(after)
        self.shortcut: nn.Conv1d | None = None
        if before != after:
            self.shortcut, self.shortcut_norm = convolution(before, 1), StepNorm(after)
        self.activation = nn.LeakyReLU(slope)

    def forward(self, maps: Tensor, real: Tensor | None) -> Tensor:
        inner = self.activation(self.first_norm(self.first(maps), real))
        inner = self.second_norm(self.second(inner), real)
        if self.shortcut is not None:
            maps = self.shortcut_norm(self.shortcut(maps), real)
        return self.activation(inner + maps)


class ResnetEncoder(Standardised):
    """Residual blocks of 1D convolutions, a pooling by 2 after each, mean and maximum over time, a
    linear map: (B, steps, features) -> (B, D).

    Where the steps of a sequence end, every block sees zeros as at the end of an unpadded one.
    """

    class Options(EncoderOptions):
        channels: Annotated[list[Positive], Field(min_length=1)]
        kernel: OddKernel
        dropout: Dropout

    axes: ClassVar[int] = 2

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        widths = [shape[-1], *options["channels"]]
        self.standardise = Standardise(shape[-1])
        self.blocks = nn.ModuleList(
            Block(before, after, options["kernel"], slope) for before, after in pairwise(widths)
        )
        self.pools = nn.ModuleList(nn.MaxPool1d(2, ceil_mode=True) for _ in self.blocks)
        self.dropout = nn.Dropout(options["dropout"])
        self.project = nn.Linear(2 * widths[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        x, lengths = unpadded(x)
        maps = self.standardise(x).transpose(1, 2)  # (B, features, steps)
        if lengths is None:
            for block, pool in zip(self.blocks, self.pools, strict=True):
                maps = pool(block(maps, None))  # (B, channels, steps / 2**n)
            pooled = torch.cat([maps.mean(-1), maps.amax(-1)], dim=1)  # (B, 2 channels)
        else:
            pooled = self._pooled(maps.nan_to_num(), lengths)
        return self.project(self.dropout(pooled))  # (B, D)

    def _pooled(self, maps: Tensor, lengths: Tensor) -> Tensor:
        """(B, features, steps), zero from `lengths` (B,) on, -> mean and maximum (B, 2 C)."""
        real = within(lengths, maps.shape[-1])  # (B, steps)
        for block, pool in zip(self.blocks, self.pools, strict=True):
            maps = block(maps, real).masked_fill(~real[:, None], -torch.inf)
            maps = pool(maps)  # (B, channels, steps / 2)
            lengths = (lengths + 1) // 2
            real = within(lengths, maps.shape[-1])
            maps = maps.masked_fill(~real[:, None], 0.0)
        mean = maps.sum(-1) / lengths[:, None]
        return torch.cat([mean, maps.masked_fill(~real[:, None], -torch.inf).amax(-1)], dim=1)
