"""CRCD: complementary relation contrastive distillation (Zhu et al., CVPR 2021). Our reading.

There is no official code; weights and temperatures are those of the public Lechatelia/CRCD.
Relations between samples take the place of CRD's features: what leads from teacher sample j to
student sample i should agree with what leads from teacher sample j to teacher sample i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from amid.losses.crcd import gradient_agreement, relation_cosines
from amid.losses.logits import softened_divergence
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.memory import Negatives, PairedBanks

if TYPE_CHECKING:
    from amid.networks.crossmodal import CrossModal
    from amid.types import Batch, Representations


class Options(MethodOptions):
    """Weights of the terms beside cross-entropy, and of the relations:

    negatives: K. partners: other samples j of the batch each sample i is related to, drawn for
    every batch. dim: d of the linear heads. momentum: of the memory banks.
    """

    fixed_teacher: ClassVar[bool] = True

    relation_weight: Weight
    gradient_weight: Weight
    distillation_weight: Weight
    distillation_temperature: Positive
    temperature: Positive
    negatives: Annotated[int, Field(gt=0)]
    partners: Annotated[int, Field(gt=0)]
    dim: Annotated[int, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]


class Crcd(Method):
    trains = ("student",)
    teacher_gradient: Tensor

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.memory = PairedBanks(
            sizes.dim, options["dim"], sizes.samples, options["momentum"], sizes.seed
        )

    def prepare(self, train: Batch, teacher: CrossModal | None) -> None:
        self.negatives = Negatives(train.labels, self.options["negatives"])
        features = train.teacher.clone().requires_grad_()  # (N, D)
        logits = teacher.classifier(features)  # (N, C)
        gradient = classification_gradient(logits, train.labels, features)
        self.teacher_gradient = gradient.detach()  # (N, D)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        options = self.options
        divergence = softened_divergence(
            reps.student_logits, reps.teacher_logits, options["distillation_temperature"]
        )
        gradient = classification_gradient(reps.student_logits, labels, reps.student)  # (B, D)
        agreement = gradient_agreement(gradient, self.teacher_gradient[reps.samples])
        terms = {
            "classification": functional.cross_entropy(reps.student_logits, labels),
            "distillation": options["distillation_weight"] * divergence,
            "gradient": options["gradient_weight"] * agreement,
        }
        for name, value in self._relations(reps, labels).items():
            terms[f"{name}_relation"] = options["relation_weight"] * value
        return terms

    def end_step(self) -> None:
        self.memory.update()

    def similarity_pair(self, reps: Representations, between: str) -> tuple[Tensor, Tensor]:
        return self.memory(reps)

    def _relations(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        student, teacher = self.memory(reps)  # (B, d) each
        first, second = partners(len(labels), self.options["partners"])  # (P,) each
        candidates, weights = self.negatives.draw(labels)
        weights = weights[first]  # (P, K')
        found = {}
        for name, (anchors, bank) in self.memory.sides(student, teacher).items():
            own = bank.rows[reps.samples]  # (B, d)
            cosines = relation_cosines(
                anchors[first], own[second], own[first], bank.rows[candidates]
            )  # (P, 1 + K')
            if len(cosines):
                logits = cosines / self.options["temperature"]  # (P, 1 + K')
                found[name] = bank.contrast(logits[:, 0], logits[:, 1:], weights)
        return found


def partners(count: int, each: int) -> tuple[Tensor, Tensor]:
    """Pairs of positions (P,), (P,), i != j: every i of `count` with `each` others, which lie at
    distances around the circle drawn for the whole batch; none in a batch of one."""
    distances = 1 + torch.randperm(max(count - 1, 0))[:each]
    first = torch.arange(count).repeat(len(distances))  # (P,)
    return first, (first + distances.repeat_interleave(count)) % count


def classification_gradient(logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
    """Gradient of each sample's cross-entropy with respect to its features (B, D), itself
    differentiable; `logits` (B, C) were made from `features` (B, D)."""
    total = functional.cross_entropy(logits, labels, reduction="sum")
    return torch.autograd.grad(total, features, create_graph=True)[0]


def build(options: dict, sizes: Sizes) -> Crcd:
    return Crcd(options, sizes)
