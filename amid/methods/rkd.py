"""RKD: distances and angles between samples (Park, Kim, Lu, Cho, CVPR 2019).

Source of the formulas: lenscloth/RKD; of the default weights: HobbitLong/RepDistiller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from amid.losses.rkd import angle, distance
from amid.methods.base import Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """Weights of both terms beside the student's cross-entropy."""

    uses_unlabelled: ClassVar[bool] = True

    distance_weight: Weight
    angle_weight: Weight


class Rkd(Distilling):
    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        both = reps.student, reps.teacher
        return {
            "distance": self.options["distance_weight"] * distance(*both),
            "angle": self.options["angle_weight"] * angle(*both),
        }


def build(options: dict, sizes: Sizes) -> Rkd:
    return Rkd(options)
