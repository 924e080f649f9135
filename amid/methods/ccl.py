"""CCL: compositional contrastive learning (Chen, Xian, Koepke, Shan, Akata, CVPR 2021).

Source of formulas and defaults: yanbeic/CCL. A composition of auxiliary and student features has a
classifier of its own; student and composition learn from each other and from the auxiliary feature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from amid.losses.ccl import pair_contrastive
from amid.losses.cosine import unit_rows
from amid.losses.logits import symmetric_divergence
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.crossmodal import built

if TYPE_CHECKING:
    from amid.networks.crossmodal import CrossModal
    from amid.types import Batch, Representations


class Options(MethodOptions):
    """contrastive, divergence: weights of C and J beside the two cross-entropies."""

    contrastive_weight: Weight
    divergence_weight: Weight
    temperature: Positive


class Composition(nn.Module):
    """m = a + W [a / |a|; v / |v|] + b and its classifier: (B, E), (B, D) -> (B, E), (B, C)."""

    def __init__(self, length: int, dim: int, classes: int) -> None:
        super().__init__()
        self.residual = nn.Linear(length + dim, length)
        self.classifier = nn.Linear(length, classes)

    def forward(
        self, auxiliary: Tensor, student: Tensor, *, frozen: bool = False
    ) -> tuple[Tensor, Tensor]:
        """frozen: gradients reach the features, not the composition's parameters."""
        both = torch.cat([unit_rows(auxiliary), unit_rows(student)], dim=1)  # (B, E + D)
        composed = auxiliary + _linear(self.residual, both, frozen)  # (B, E)
        return composed, _linear(self.classifier, composed, frozen)


def _linear(layer: nn.Linear, x: Tensor, frozen: bool) -> Tensor:
    weight, bias = layer.weight, layer.bias
    if frozen:
        weight, bias = weight.detach(), bias.detach()
    return functional.linear(x, weight, bias)


class Ccl(Method):
    trains = ("student",)

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.compositions = nn.ModuleDict(
            {
                name: built(
                    lambda n=length: Composition(n, sizes.dim, sizes.classes),
                    sizes.seed,
                    f"composition {name}",
                )
                for name, length in sizes.auxiliary.items()
            }
        )

    def forward(self, networks: CrossModal, batch: Batch) -> Representations:
        """The composition (the mean of several) stands in the teacher's place."""
        reps = networks(batch)
        if self.training:
            return reps  # `losses` composes; nothing else looks at it
        parts = [c(reps.modalities[n], reps.student) for n, c in self.compositions.items()]
        composed, logits = (torch.stack(values).mean(0) for values in zip(*parts, strict=True))
        return replace(reps, teacher=composed, teacher_logits=logits)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        terms = {"classification": functional.cross_entropy(reps.student_logits, labels)}
        for name, compose in self.compositions.items():
            auxiliary = reps.modalities[name]
            for who, student, logits in (
                ("student", reps.student, reps.student_logits),
                ("composition", reps.student.detach(), reps.student_logits.detach()),
            ):
                composed, composed_logits = compose(auxiliary, student, frozen=who == "student")
                own = student if who == "student" else composed
                contrast = self._contrast(student, composed, labels)
                contrast = contrast + self._contrast(own, auxiliary, labels)
                divergence = symmetric_divergence(logits, composed_logits)
                found = {
                    "contrastive": self.options["contrastive_weight"] * contrast,
                    "divergence": self.options["divergence_weight"] * divergence,
                }
                if who == "composition":
                    found["classification"] = functional.cross_entropy(composed_logits, labels)
                for term, value in found.items():
                    key = f"{who}_{term}"
                    terms[key] = terms[key] + value if key in terms else value
        return terms

    def _contrast(self, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        return pair_contrastive(a, b, labels, self.options["temperature"])


def build(options: dict, sizes: Sizes) -> Ccl:
    return Ccl(options, sizes)
