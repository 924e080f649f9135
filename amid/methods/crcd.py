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
    from amid.core.types import Batch, Representations
    from amid.networks.crossmodal import CrossModal


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
        terms = {"classification": functional.cross_entropy(reps.student_logits, labels)}
        if weight := options["distillation_weight"]:
            temperature = options["distillation_temperature"]
            divergence = softened_divergence(reps.student_logits, reps.teacher_logits, temperature)
            terms["distillation"] = weight * divergence
        if weight := options["gradient_weight"]:
            mine = classification_gradient(reps.student_logits, labels, reps.student)  # (B, D)
            of_teacher = self.teacher_gradient.index_select(0, reps.samples)  # (B, D)
            terms["gradient"] = weight * gradient_agreement(mine, of_teacher)
        for name, value in self.relations(*self.memory(reps), reps.samples, labels).items():
            terms[f"{name}_relation"] = options["relation_weight"] * value
        return terms

    def end_step(self) -> None:
        self.memory.update()

    def similarity_pair(self, reps: Representations, between: str) -> tuple[Tensor, Tensor]:
        return self.memory(reps)

    def relations(
        self, student: Tensor, teacher: Tensor, samples: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Relation terms of both sides, from the outputs (B, d) of their heads; none for a single
        sample."""
        pairs = partners(len(labels), self.options["partners"])
        first, second = (positions.to(labels.device) for positions in pairs)  # (P,) each
        drawn = self.negatives.draw(labels)
        sides = self.memory.sides(student, teacher)
        anchors = torch.stack([rows for rows, _ in sides.values()])  # (2, B, d)
        own = torch.stack([bank.at(samples) for _, bank in sides.values()])  # (2, B, d)
        others = torch.stack(
            [bank.at(drawn.candidates) for _, bank in sides.values()]
        )  # (2, K', d)
        positive, negatives = relation_cosines(
            anchors.index_select(1, first),
            own.index_select(1, second),
            own.index_select(1, first),
            others,
        )  # (2, P), (2, P, K')
        if not len(first):
            return {}
        temperature, weights = self.options["temperature"], drawn.weights().index_select(0, first)
        logits = zip(
            (positive / temperature).unbind(), (negatives / temperature).unbind(), strict=True
        )
        return {
            name: bank.contrast(*of_side, weights)
            for (name, (_, bank)), of_side in zip(sides.items(), logits, strict=True)
        }


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
