"""OFA-KD: logits of the student and of a branch on its features (Hao et al., NeurIPS 2023).

Source of the formulas and defaults: Hao840/OFAKD; of the branch on vectors: Gray-OREO/MST-Distill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from amid.losses.ofa import enhanced_cross_entropy
from amid.methods.base import Positive, Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """weight: of the loss on the student's logits; branch_weight: on the branch's.

    gamma: the power that raises the true class's weight by the teacher's certainty.
    """

    weight: Weight
    branch_weight: Weight
    gamma: Positive
    temperature: Positive


class OfaKd(Distilling):
    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__(options)
        self.branch = init_seeded(
            lambda: _branch(sizes.dim, sizes.classes), sizes.seed, "ofa branch"
        )

    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        numbers = self.options["gamma"], self.options["temperature"]
        values = {
            "distillation": (self.options["weight"], reps.student_logits),
            "branch": (self.options["branch_weight"], self.branch(reps.student)),
        }
        return {
            name: weight * enhanced_cross_entropy(logits, reps.teacher_logits, labels, *numbers)
            for name, (weight, logits) in values.items()
        }


def _branch(dim: int, classes: int) -> nn.Sequential:
    """(B, D) -> (B, C)"""
    layers = nn.Linear(dim, 2 * classes), nn.ReLU(), nn.Linear(2 * classes, classes)
    for linear in (layers[0], layers[2]):
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
    return nn.Sequential(*layers)


def build(options: dict, sizes: Sizes) -> OfaKd:
    return OfaKd(options, sizes)
