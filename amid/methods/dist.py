"""DIST: correlations between and within classes (Huang, You, Wang, Qian, Xu, NeurIPS 2022).

Source of the formulas and defaults: hunto/image_classification_sota, of hunto/DIST_KD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from amid.losses.dist import inter_class, intra_class
from amid.methods.base import Positive, Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """inter_weight: of a sample's correlation over the classes; intra_weight: of a class's over the
    samples of the batch."""

    uses_unlabelled: ClassVar[bool] = True

    inter_weight: Weight
    intra_weight: Weight
    temperature: Positive


class Dist(Distilling):
    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        both = reps.student_logits, reps.teacher_logits, self.options["temperature"]
        return {
            "inter_class": self.options["inter_weight"] * inter_class(*both),
            "intra_class": self.options["intra_weight"] * intra_class(*both),
        }


def build(options: dict, sizes: Sizes) -> Dist:
    return Dist(options)
