"""GMC: geometric multimodal contrastive learning (Poklukar et al., ICML 2022).

Source of the loss and defaults: miguelsvasco/gmc. The joint representation F is aligned with each
modality's own and classified; at test the target modality's takes its place in the same classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from amid.losses.cosine import unit_rows
from amid.losses.gmc import joint_contrastive
from amid.losses.labels import labelled_cross_entropy
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(MethodOptions):
    """weight: of the contrastive term beside the joint representation's cross-entropy."""

    uses_unlabelled: ClassVar[bool] = True

    weight: Weight
    temperature: Positive

    def canonical(self, warmup_epochs: int) -> dict:
        return self.model_dump() if self.weight else {"weight": 0.0}


class Gmc(Method):
    trains = ("student", "teacher")
    normalize_representations = True  # all representations lie on a sphere

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.projections = nn.ModuleDict(
            {
                name: init_seeded(
                    lambda n=length: nn.Linear(n, sizes.dim), sizes.seed, f"gmc {name}"
                )
                for name, length in sizes.auxiliary.items()
            }
        )

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        terms = {"classification": labelled_cross_entropy(reps.teacher_logits, labels)}
        if self.options["weight"]:
            modalities = [unit_rows(reps.student)]  # (B, D) each
            for name, project in self.projections.items():
                modalities.append(unit_rows(project(reps.modalities[name])))
            joint = unit_rows(reps.teacher)  # (B, D)
            contrast = joint_contrastive(joint, modalities, self.options["temperature"])
            terms["contrastive"] = self.options["weight"] * contrast
        return terms

    def classified(self, reps: Representations) -> list[tuple[float, Tensor]]:
        return [(1.0, reps.teacher_logits)]


def build(options: dict, sizes: Sizes) -> Gmc:
    return Gmc(options, sizes)
