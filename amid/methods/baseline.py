"""Student alone: cross-entropy on the target modality. Also pre-trains the auxiliary extractors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict

from amid.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from amid.types import Representations


class Options(BaseModel):
    """No numbers of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def canonical(self, warmup_epochs: int) -> dict:
        return {}

    def warmup(self) -> None:
        return None


class Baseline(Method):
    heads = ("student",)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        return {"classification": F.cross_entropy(reps.student_logits, labels)}


def build(options: dict, *, dim: int, slope: float, seed: int) -> Baseline:
    return Baseline()
