"""LSKD: KD of standardised logits (Sun, Ren, Li, Wang, Cao, CVPR 2024).

Source of the formulas and defaults: sunshangquan/logit-standardization-KD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from amid.losses.logit_standardised import softened_divergence
from amid.methods.base import Positive, Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """weight: of the divergence; classification_weight: of the student's cross-entropy, which sees
    the logits as they are."""

    uses_unlabelled: ClassVar[bool] = True

    classification_weight: Weight
    weight: Weight
    temperature: Positive


class Lskd(Distilling):
    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        temperature = self.options["temperature"]
        divergence = softened_divergence(reps.student_logits, reps.teacher_logits, temperature)
        return {"distillation": self.options["weight"] * divergence}


def build(options: dict, sizes: Sizes) -> Lskd:
    return Lskd(options)
