"""Encoders: features of one modality -> representation (B, D).

An encoder is a module with `prepare(samples)`, called once with the training samples; one that
reads videos of a cache (amid.core.video_clips) also has `read` and `windows`. Those here first
standardise
their input by the mean and deviation of the training samples, which they keep as buffers: a saved
student needs nothing beside its file.

Sequences of unequal length come with rows of NaN at their ends (see FeatureStore.clips). These
change nothing: a padded sequence has the representation that it has alone, and in training the
running statistics are those of the real rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from torch import Tensor, nn

from amid.networks.fused import gru, perceptron
from amid.networks.normalise import BatchNorm1d

Positive = Annotated[int, Field(gt=0)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel must be odd, so that a convolution keeps the number of steps")
    return kernel


OddKernel = Annotated[Positive, AfterValidator(_odd)]


class EncoderOptions(BaseModel):
    """An encoder's block below `network` in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Standardise(nn.Module):
    """(x - mean) / deviation a feature; constant features become 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, samples: Tensor) -> None:
        """Takes mean and deviation over all axes of `samples` (N, ..., features) but the last, rows
        of NaN left out."""
        flat = samples.reshape(-1, samples.shape[-1])
        padding = flat[:, 0].isnan()
        flat = (flat[~padding] if padding.any() else flat).double()
        deviation = flat.std(0, correction=0)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


def unpadded(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Sequences (B, steps, features), cut to the longest of them, and their lengths (B,) int64;
    None instead of lengths when all are equally long, as they are in an exported program."""
    if torch.compiler.is_exporting() or not x[:, -1, 0].isnan().any():
        return x, None
    lengths = (~x[:, :, 0].isnan()).sum(dim=1)  # (B,)
    x = x[:, : int(lengths.max())]
    return x, None if (lengths == x.shape[1]).all() else lengths


def within(lengths: Tensor, steps: int) -> Tensor:
    """Mask (B, steps) of the steps that are not padding, from lengths (B,)."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


class Standardised(nn.Module):
    """Base class of encoders whose input is standardised first."""

    standardise: Standardise

    def prepare(self, samples: Tensor) -> None:
        """Called once before training, with the training samples (N, ...)."""
        self.standardise.fit(samples)


class GruEncoder(Standardised):
    """Linear layers on each step, a GRU over the steps, a linear map of its last state.

    (B, steps, features) -> (B, D). The student of the lip-reading data sets.
    """

    class Options(EncoderOptions):
        hidden: Annotated[list[Positive], Field(min_length=1)]
        state: Positive

    axes: ClassVar[int] = 2

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        widths = [shape[-1], *options["hidden"]]
        self.standardise = Standardise(shape[-1])
        self.slope = slope
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.steps = nn.Sequential(*(m for layer in layers for m in (layer, nn.LeakyReLU(slope))))
        self.gru = nn.GRU(widths[-1], options["state"], batch_first=True)
        self.project = nn.Linear(options["state"], dim)

    def forward(self, x: Tensor) -> Tensor:
        x, lengths = unpadded(x)
        if lengths is None:
            _, last = self._states(self.standardise(x))  # (B, state)
            return self.project(last)  # (B, D)
        # The states after a sequence's own last step are made, too, and nobody looks at them.
        states, _ = self._states(self.standardise(x).nan_to_num())  # (B, steps, state)
        rows = torch.arange(len(x), device=x.device)
        return self.project(states[rows, lengths - 1])  # (B, D)

    def _states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """States after all steps and after the last: -> (B, steps, state), (B, state)."""
        return gru(self.gru, perceptron(self.steps[::2], x, self.slope, activated=True))


class CnnEncoder(Standardised):
    """1D convolutions over time on log-mel bands, mean and maximum over time, a linear map.

    (B, steps, bands) -> (B, D). Behind a sequence's end every block sees the zeros that it sees
    behind the end of an unpadded one; batch statistics, maximum and mean are of real steps.
    """

    class Options(EncoderOptions):
        channels: Annotated[list[Positive], Field(min_length=1)]
        kernel: Positive
        dropout: Dropout

    axes: ClassVar[int] = 2

    def __init__(self, shape: tuple[int, ...], dim: int, slope: float, options: dict) -> None:
        super().__init__()
        widths = [shape[-1], *options["channels"]]
        self.kernel = options["kernel"]
        self.standardise = Standardise(shape[-1])
        blocks: list[nn.Module] = []
        for before, after in pairwise(widths):
            blocks += [
                nn.Conv1d(before, after, self.kernel, padding=self.kernel // 2, bias=False),
                BatchNorm1d(after),
                nn.LeakyReLU(slope),
                nn.MaxPool1d(2, ceil_mode=True),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(options["dropout"])
        self.project = nn.Linear(2 * widths[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        x, lengths = unpadded(x)
        maps = self.standardise(x).transpose(1, 2)  # (B, bands, steps)
        if lengths is None:
            maps = self.blocks(maps)  # (B, channels, steps / 2**n)
            pooled = torch.cat([maps.mean(-1), maps.amax(-1)], dim=1)  # (B, 2 channels)
        else:
            pooled = self._pooled(maps.nan_to_num(), lengths)
        return self.project(self.dropout(pooled))  # (B, D)

    def _pooled(self, maps: Tensor, lengths: Tensor) -> Tensor:
        """(B, bands, steps), zero from `lengths` (B,) on, -> mean and maximum (B, 2 channels)."""
        blocks = zip(*[iter(self.blocks)] * 4, strict=True)
        for convolve, normalise, activate, pool in blocks:
            maps = convolve(maps)  # (B, channels, steps)
            lengths = lengths + 2 * (self.kernel // 2) - self.kernel + 1
            real = within(lengths, maps.shape[-1])  # (B, steps)
            rows = activate(normalise(maps.transpose(1, 2)[real]))  # (real steps, channels)
            maps = rows.new_full((*real.shape, rows.shape[1]), -torch.inf)
            maps[real] = rows
            maps = pool(maps.transpose(1, 2))  # (B, channels, steps / 2)
            lengths = (lengths + 1) // 2
            outside = ~within(lengths, maps.shape[-1])[:, None]  # (B, 1, steps)
            maps = maps.masked_fill(outside, 0.0)
        mean = maps.sum(-1) / lengths[:, None]
        return torch.cat([mean, maps.masked_fill(outside, -torch.inf).amax(-1)], dim=1)


class MlpEncoder(Standardised):
    """One hidden layer on a feature vector: (B, features) -> (B, D)."""

    class Options(EncoderOptions):
        hidden: Positive
        dropout: Dropout

    axes: ClassVar[int] = 1

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
