"""Co-training: F and the student learn labels and each other's logits. MFH distils this teacher.

Source: zihuixue/MFH, the first of its three steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from amid.losses import agreement
from amid.methods.base import Method, MethodOptions, Sizes, Weight

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(MethodOptions):
    """weight: of the mean squared difference between the logits."""

    compares_pairs: ClassVar[bool] = False
    uses_unlabelled: ClassVar[bool] = True

    weight: Weight


class CoTrained(Method):
    heads = ("teacher",)  # what is kept of the run is for MFH, the student in it too
    trains = ("student", "teacher")

    def __init__(self, options: dict) -> None:
        super().__init__()
        self.options = options

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        classification = agreement.classification(reps.student_logits, reps.teacher_logits, labels)
        apart = functional.mse_loss(reps.student_logits, reps.teacher_logits)
        return {"classification": classification, "logits": self.options["weight"] * apart}


def build(options: dict, sizes: Sizes) -> CoTrained:
    return CoTrained(options)
