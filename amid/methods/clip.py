"""CLIP: encoders of two or more modalities, aligned on pairs without labels or a classifier.

Source: Radford et al., ICML 2021; mlfoundations/open_clip (the learned scale, its start and its
bounds). The loss of more than two modalities is the mean over all pairs of them.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import nn

from amid.losses import clip
from amid.losses.cosine import unit_rows
from amid.methods.base import Method, MethodOptions, Sizes
from amid.selection.contrastive import Scores

if TYPE_CHECKING:
    from torch import Tensor

    from amid.core.types import Representations

MAX_SCALE = 100.0


class Options(MethodOptions):
    """temperature: at the start; its inverse, the scale, is learned in [1, 100]."""

    temperature: Annotated[float, Field(ge=1 / MAX_SCALE, le=1)] = 0.07


def build(options: dict, sizes: Sizes) -> Clip:
    return Clip(Options(**options).temperature)


class Clip(Method):
    """Symmetric InfoNCE with a learned scale.

    It reports no head and has no classifier: `reps.modalities` holds each modality's projections
    (B, D), and labels are None.
    """

    heads = ()
    trains = ()

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def losses(self, reps: Representations, labels: Tensor | None = None) -> dict[str, Tensor]:
        temperature = (-self.log_scale).exp()
        pairs = _pairs(reps)
        return {"info_nce": sum(clip.symmetric(a, b, temperature) for a, b in pairs) / len(pairs)}

    @torch.no_grad()
    def scores(self, reps: Representations) -> Scores:
        """What the rules of selection look at; the mean over the pairs of modalities."""
        temperature, pairs = (-self.log_scale).exp(), _pairs(reps)
        losses = sum(clip.per_sample(a, b, temperature) for a, b in pairs)
        cosines = sum((unit_rows(a) * unit_rows(b)).sum(dim=1) for a, b in pairs)
        return Scores(losses / len(pairs), 100 * cosines / len(pairs))

    def end_step(self) -> None:
        with torch.no_grad():
            self.log_scale.clamp_(0.0, math.log(MAX_SCALE))

    def end_epoch(self) -> dict[str, float]:
        return {"scale": float(self.log_scale.detach().exp())}


def _pairs(reps: Representations) -> list[tuple[Tensor, Tensor]]:
    return list(combinations(reps.modalities.values(), 2))
