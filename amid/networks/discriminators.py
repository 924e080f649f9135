"""D1 ("fundamental") and D2 ("enhanced"): is a representation the teacher's or the student's?"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import spectral_norm

from amid.losses import UNLABELLED
from amid.losses.cosine import unit_rows
from amid.networks.fused import perceptron

FUNDAMENTAL_LAYERS = 5  # D1, from the paper
ENHANCED_LAYERS = 3  # D2, from the paper

Sight = Literal["direction", "raw", "class"]


class Discriminator(nn.Module):
    """MLP with `layers` linear layers: (B, D), (B,) class indices -> logits (B,).

    sees: "direction" is sqrt(D) z / ||z|| (our choice: Eq. 7 constrains directions alone, and a
    discriminator that sees lengths wins on them), "raw" is z, "class" the direction joined with the
    class as one of `classes` indicators, all 0 for a sample without a label.
    spectral: spectral normalisation of every layer (Miyato et al., 2018).
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        layers: int,
        slope: float,
        *,
        sees: Sight = "direction",
        classes: int = 0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.sees, self.classes = sees, classes
        widths = [dim + (classes if sees == "class" else 0)] + [hidden] * (layers - 1) + [1]
        linear = [nn.Linear(before, after) for before, after in pairwise(widths)]
        if spectral:
            linear = [spectral_norm(layer) for layer in linear]
        body = [module for layer in linear[:-1] for module in (layer, nn.LeakyReLU(slope))]
        self.body = nn.Sequential(*body, linear[-1])
        self.slope = slope

    def sight(self, z: Tensor, labels: Tensor) -> Tensor:
        """Input of the MLP from a representation: (B, D), (B,) -> (B, D or D + classes)."""
        if self.sees == "raw":
            return z
        direction = unit_rows(z) * z.shape[-1] ** 0.5  # (B, D)
        if self.sees == "direction":
            return direction
        classes = one_hot(labels.clamp(min=0), self.classes) * (labels != UNLABELLED)[:, None]
        return torch.cat([direction, classes.to(z.dtype)], dim=1)

    def forward(self, z: Tensor, labels: Tensor, *, frozen: bool = False) -> Tensor:
        return self.judge(self.sight(z, labels), frozen=frozen)

    def judge(self, seen: Tensor, *, frozen: bool = False) -> Tensor:
        """Logits (B,) of what `sight` gives; frozen: no gradient reaches the weights."""
        return perceptron(self.body[::2], seen, self.slope, frozen=frozen).squeeze(-1)
