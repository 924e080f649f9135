"""Teacher alone: cross-entropy on the full-modality representation F."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from amid.methods.base import Method
from amid.methods.baseline import Options as Options  # no numbers of its own either

if TYPE_CHECKING:
    from torch import Tensor

    from amid.types import Representations


class Teacher(Method):
    heads = ("teacher",)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        return {"classification": F.cross_entropy(reps.teacher_logits, labels)}


def build(options: dict, *, dim: int, slope: float, seed: int) -> Teacher:
    return Teacher()
