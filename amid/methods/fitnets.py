"""FitNets: a regressor predicts F from T (Romero, Ballas, Kahou et al., ICLR 2015).

Source of the default weight: HobbitLong/RepDistiller, in one stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from amid.losses.fitnets import hint
from amid.methods.base import Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """weight: of the hint beside the student's cross-entropy."""

    uses_unlabelled: ClassVar[bool] = True

    weight: Weight


class FitNets(Distilling):
    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__(options)
        self.regressor = init_seeded(
            lambda: nn.Linear(sizes.dim, sizes.dim), sizes.seed, "fitnets regressor"
        )

    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        predicted = self.regressor(reps.student)  # (B, D)
        return {"hint": self.options["weight"] * hint(predicted, reps.teacher)}


def build(options: dict, sizes: Sizes) -> FitNets:
    return FitNets(options, sizes)
