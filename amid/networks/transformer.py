"""A small transformer over the steps of a sequence (Vaswani et al., 2017; norms first, as in Xiong
et al., 2020), on features that a convolution has seen."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
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
from amid.networks.fused import perceptron


class Positions(nn.Module):
    """Where in its sequence a step is: vectors (knots, width) that are learned for places evenly
    spaced from the first step to the last, linear between them.

    So a sequence may have any length, and its middle is its middle whatever that is. No sine is
    taken, whose last bits differ between processors.
    """

    def __init__(self, knots: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(knots, width) * 0.02)

    def forward(self, steps: int, lengths: Tensor | None) -> Tensor:
        """(1, steps, width), or (B, steps, width) for sequences of `lengths` (B,)."""
        last = len(self.vectors) - 1
        ends = torch.sym_max(steps - 1, 1) if lengths is None else (lengths - 1).clamp(min=1)
        places = torch.arange(steps, device=self.vectors.device) * last  # (steps,)
        places = (places / ends)[None] if lengths is None else places / ends[:, None]
        knots = torch.arange(last + 1, device=places.device)
        shares = 1 - (places[:, :, None] - knots).abs()  # (B or 1, steps, knots)
        return shares.clamp(min=0) @ self.vectors


class Layer(nn.Module):
    """Attention of every step to all of its sequence, then a perceptron on each step, both beside a
    shortcut: (B, steps, width) -> (B, steps, width)."""

    def __init__(self, width: int, heads: int, dropout: float, slope: float) -> None:
        super().__init__()
        self.heads, self.slope = heads, slope
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)  # queries, keys, values
        self.join = nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """real: (B, steps) bool; None where all steps are real."""
        x = x + self.dropout(self._attention(self.first_norm(x), real))
        return x + self.dropout(perceptron([*self.inner], self.second_norm(x), self.slope))

    def _attention(self, x: Tensor, real: Tensor | None) -> Tensor:
        # Not torch's own function of that name, whose products are MKL's or its own.
        parts = self.project(x).unflatten(2, (3, self.heads, -1))  # (B, steps, 3, heads, d)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # (B, heads, steps, d) each
        # (B, heads, steps, steps)
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
        if real is not None:
            scores = scores.masked_fill(~real[:, None, None], -torch.inf)
        seen = self.dropout(scores.softmax(3)) @ values  # (B, heads, steps, d)
        return self.join(seen.transpose(1, 2).flatten(2))  # (B, steps, width)


class TransformerEncoder(Standardised):
    """A convolution, layers of attention over the steps, mean and maximum over time, a linear map:
    (B, steps, features) -> (B, D). What lies behind a sequence's end is seen by no step."""

    class Options(EncoderOptions):
        """width: of a step, a multiple of `heads`. knots: places whose position is learned."""

        width: Positive
        layers: Positive
        heads: Positive
        knots: Annotated[int, Field(gt=1)]
        kernel: OddKernel
        dropout: Dropout

        @model_validator(mode="after")
        def _heads_share_the_width(self) -> Self:
            if self.width % self.heads:
                raise ValueError(
                    f"'width' {self.width} is no multiple of 'heads' {self.heads}, which share it"
                )
            return self

    axes: ClassVar[int] = 2

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        width, kernel, dropout = options["width"], options["kernel"], options["dropout"]
        self.standardise = Standardise(shape[-1])
        self.convolution = nn.Conv1d(shape[-1], width, kernel, padding=kernel // 2)
        self.positions = Positions(options["knots"], width)
        self.layers = nn.ModuleList(
            Layer(width, options["heads"], dropout, slope) for _ in range(options["layers"])
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(2 * width, dim)

    def forward(self, x: Tensor) -> Tensor:
        x, lengths = unpadded(x)
        x = self.standardise(x).nan_to_num()
        real = None if lengths is None else within(lengths, x.shape[1])  # (B, steps)
        steps = self.convolution(x.transpose(1, 2)).transpose(1, 2)  # (B, steps, width)
        steps = steps + self.positions(x.shape[1], lengths)
        for layer in self.layers:
            steps = layer(steps, real)
        steps = self.norm(steps)
        if real is None:
            pooled = torch.cat([steps.mean(1), steps.amax(1)], dim=1)  # (B, 2 width)
        else:
            mean = steps.masked_fill(~real[:, :, None], 0.0).sum(1) / lengths[:, None]
            highest = steps.masked_fill(~real[:, :, None], -torch.inf).amax(1)
            pooled = torch.cat([mean, highest], dim=1)
        return self.project(self.dropout(pooled))  # (B, D)
