"""KD: the teacher's softened probabilities (Hinton, Vinyals, Dean, 2015).

Source of the defaults: HobbitLong/RepDistiller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from amid.losses.logits import softened_divergence
from amid.methods.base import Positive, Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """weight: of the divergence; classification_weight: of the student's cross-entropy."""

    uses_unlabelled: ClassVar[bool] = True

    classification_weight: Weight
    weight: Weight
    temperature: Positive


class Kd(Distilling):
    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        temperature = self.options["temperature"]
        divergence = softened_divergence(reps.student_logits, reps.teacher_logits, temperature)
        return {"distillation": self.options["weight"] * divergence}


def build(options: dict, sizes: Sizes) -> Kd:
    return Kd(options)
