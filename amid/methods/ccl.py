"""CCL: compositional contrastive learning (Chen, Xian, Koepke, Shan, Akata, CVPR 2021).

Source of formulas and defaults: yanbeic/CCL. A composition of auxiliary and student features has a
classifier of its own; student and composition learn from each other and from the auxiliary feature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from amid.losses.ccl import pair_contrastive
from amid.losses.cosine import unit_rows
from amid.losses.labels import labelled_cross_entropy
from amid.losses.logits import symmetric_divergence
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.core.types import Batch, Representations
    from amid.networks.crossmodal import CrossModal


class Options(MethodOptions):
    """contrastive, divergence: weights of C and J beside the two cross-entropies."""

    uses_unlabelled: ClassVar[bool] = True

    contrastive_weight: Weight
    divergence_weight: Weight
    temperature: Positive


class Composition(nn.Module):
    """m = a + W [a / |a|; v / |v|] + b and its classifier: (B, E), (B, D) -> (B, E), (B, C)."""

    def __init__(self, length: int, dim: int, classes: int) -> None:
        super().__init__()
        self.residual = nn.Linear(length + dim, length)
        self.classifier = nn.Linear(length, classes)

    def forward(self, auxiliary: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([unit_rows(auxiliary), unit_rows(student)], dim=1)  # (B, E + D)
        composed = auxiliary + self.residual(both)  # (B, E)
        return composed, self.classifier(composed)


class Ccl(Method):
    trains = ("student",)

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.compositions = nn.ModuleDict(
            {
                name: init_seeded(
                    lambda: Composition(sizes.dim, sizes.dim, sizes.classes),
                    sizes.seed,
                    f"composition {name}",
                )
                for name in sizes.auxiliary
            }
        )
        # Embeddings are compared with the student's: those of another length are brought to its.
        self.projections = nn.ModuleDict(
            {
                name: init_seeded(
                    lambda n=length: nn.Linear(n, sizes.dim), sizes.seed, f"ccl {name}"
                )
                for name, length in sizes.auxiliary.items()
                if length != sizes.dim
            }
        )

    def forward(self, networks: CrossModal, batch: Batch) -> Representations:
        """Evaluation returns the composition, or the mean of several, as the teacher."""
        reps = networks(batch)
        if self.training:
            return reps  # `losses` composes; nothing else looks at it
        parts = [c(self._auxiliary(reps, n), reps.student) for n, c in self.compositions.items()]
        composed, logits = (torch.stack(values).mean(0) for values in zip(*parts, strict=True))
        return replace(reps, teacher=composed, teacher_logits=logits)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """The student's loss CE(v) + C(v,m) + C(v,a) + J(v,m) trains the student alone, the
        composition's CE(m) + C(v,m) + C(m,a) + J(v,m) the composition alone. Shared terms stand
        once; in the composition's own the student's feature is a constant."""
        own = labelled_cross_entropy(reps.student_logits, labels)
        found = {"classification": [own]}
        weight, divergence = self.options["contrastive_weight"], self.options["divergence_weight"]
        for name, compose in self.compositions.items():
            auxiliary = self._auxiliary(reps, name)
            composed, logits = compose(auxiliary, reps.student)  # (B, E), (B, C)
            apart, apart_logits = compose(auxiliary, reps.student.detach())
            terms = {
                "contrastive": weight * self._contrast(reps.student, composed, labels),
                "divergence": divergence * symmetric_divergence(reps.student_logits, logits),
                "student_contrastive": weight * self._contrast(reps.student, auxiliary, labels),
                "composition_contrastive": weight * self._contrast(apart, auxiliary, labels),
                "composition_classification": labelled_cross_entropy(apart_logits, labels),
            }
            for term, value in terms.items():
                found.setdefault(term, []).append(value)
        return {term: sum(values) for term, values in found.items()}

    def _auxiliary(self, reps: Representations, name: str) -> Tensor:
        """(B, D)"""
        embedding = reps.modalities[name]  # (B, E)
        return self.projections[name](embedding) if name in self.projections else embedding

    def _contrast(self, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        return pair_contrastive(a, b, labels, self.options["temperature"])


def build(options: dict, sizes: Sizes) -> Ccl:
    return Ccl(options, sizes)
