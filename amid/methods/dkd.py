"""DKD: KD taken apart into the true class and the others (Zhao, Cui, Song, Qiu, Liang, CVPR 2022).

Source of the formulas and defaults: megvii-research/mdistiller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch import Tensor

from amid.losses.dkd import non_target_divergence, target_divergence
from amid.methods.base import Positive, Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """target_weight, non_target_weight: of both divergences, alpha and beta in the paper.

    ramp_epochs: first epochs in which both weights grow to their values, 0 for none.
    """

    target_weight: Weight
    non_target_weight: Weight
    temperature: Positive
    ramp_epochs: Annotated[int, Field(ge=0)]


class Dkd(Distilling):
    def __init__(self, options: dict) -> None:
        super().__init__(options)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        ramp = self.options["ramp_epochs"]
        self.ramp = min(1.0, (epoch + 1) / ramp) if ramp else 1.0

    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        both = reps.student_logits, reps.teacher_logits, labels, self.options["temperature"]
        weights = self.options["target_weight"], self.options["non_target_weight"]
        return {
            "target": self.ramp * weights[0] * target_divergence(*both),
            "non_target": self.ramp * weights[1] * non_target_divergence(*both),
        }


def build(options: dict, sizes: Sizes) -> Dkd:
    return Dkd(options)
