"""CRD: contrastive representation distillation of a fixed teacher (Tian, Krishnan, Isola, 2020).

Source of formulas and defaults: HobbitLong/RepDistiller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.memory import Negatives, PairedBanks

if TYPE_CHECKING:
    from amid.core.types import Batch, Representations
    from amid.networks.crossmodal import CrossModal


class Options(MethodOptions):
    """weight: of the contrastive term beside cross-entropy. dim: d of the linear heads.

    momentum: of the memory banks. negatives: K.
    """

    fixed_teacher: ClassVar[bool] = True

    weight: Weight
    temperature: Positive
    negatives: Annotated[int, Field(gt=0)]
    dim: Annotated[int, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]


class Crd(Method):
    trains = ("student",)

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.memory = PairedBanks(
            sizes.dim, options["dim"], sizes.samples, options["momentum"], sizes.seed
        )

    def prepare(self, train: Batch, teacher: CrossModal | None) -> None:
        self.negatives = Negatives(train.labels, self.options["negatives"])

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        terms = {"classification": functional.cross_entropy(reps.student_logits, labels)}
        for name, value in self.contrasts(*self.memory(reps), reps.samples, labels).items():
            terms[f"{name}_contrastive"] = self.options["weight"] * value
        return terms

    def contrasts(
        self, student: Tensor, teacher: Tensor, samples: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Contrastive terms of both sides, from the outputs (B, d) of their heads."""
        drawn = self.negatives.draw(labels)
        return {
            name: bank.contrast_drawn(anchors, samples, drawn, self.options["temperature"])
            for name, (anchors, bank) in self.memory.sides(student, teacher).items()
        }

    def end_step(self) -> None:
        self.memory.update()

    def similarity_pair(self, reps: Representations, between: str) -> tuple[Tensor, Tensor]:
        return self.memory(reps)


def build(options: dict, sizes: Sizes) -> Crd:
    return Crd(options, sizes)
