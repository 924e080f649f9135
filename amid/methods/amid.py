"""AMID, Eq. 17: L = L_cls + L_JSD + alpha L_FT + beta L_FA + gamma L_adv.

The configurations of Table 4 are this method with some weights at 0 or another contrastive loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from amid.losses import adversarial, agreement
from amid.losses.ccl import pair_contrastive
from amid.losses.mutual_information import class_aware_nce
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.crossmodal import built
from amid.networks.discriminators import ENHANCED_LAYERS, FUNDAMENTAL_LAYERS, Discriminator

if TYPE_CHECKING:
    from amid.types import Representations

CONTRASTIVE = {"nce": class_aware_nce, "ccl": pair_contrastive}


class Options(MethodOptions):
    """alpha, beta, gamma: Eq. 17 (the paper's); the rest is our choice (docs/equations.md)."""

    alpha: Weight
    beta: Weight
    gamma: Weight
    contrastive: Literal["nce", "ccl"]
    temperature: Positive
    smoothing: Annotated[float, Field(ge=0, lt=1)]
    jensen_shannon: Weight
    discriminator_hidden: Annotated[int, Field(gt=0)]
    discriminator_learning_rate: Positive
    discriminator_momentum: Annotated[float, Field(ge=0, lt=1)]

    def canonical(self, warmup_epochs: int) -> dict:
        values = {**self.model_dump(), "warmup_epochs": warmup_epochs}
        idle: set[str] = set()
        if self.gamma == 0:
            idle |= {"smoothing", "warmup_epochs"}
            idle |= {name for name in values if name.startswith("discriminator_")}
        if self.alpha == 0 and self.beta == 0:
            idle |= {"contrastive", "temperature"}
        return {name: value for name, value in values.items() if name not in idle}

    def warmup(self) -> Options:
        """Eq. 17 without the gamma term."""
        return self.model_copy(update={"gamma": 0.0})


class Adversary(torch.nn.Module):
    """D1 and D2 with two verbs: `loss` trains them, `fooled` is the student's side of the game."""

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        hidden, dim, slope = options["discriminator_hidden"], sizes.dim, sizes.slope
        seed = sizes.seed
        self.d1 = built(lambda: Discriminator(dim, hidden, FUNDAMENTAL_LAYERS, slope), seed, "d1")
        self.d2 = built(lambda: Discriminator(dim, hidden, ENHANCED_LAYERS, slope), seed, "d2")

    def loss(self, student: Tensor, teacher: Tensor, repeated: Tensor) -> Tensor:
        """L_D of Eq. 13 on detached representations (B, D); gradients reach D1 and D2 alone."""
        student, teacher = student.detach(), teacher.detach()
        d1_teacher, d1_student = self.d1(torch.cat([teacher, student])).chunk(2)  # (B,) each
        both = torch.cat([teacher[repeated], student[repeated]])
        d2_teacher, d2_student = self.d2(both).chunk(2)  # (B_hat,) each
        frequency = repeated.float().mean()
        return adversarial.discriminator(d1_teacher, d1_student, d2_teacher, d2_student, frequency)

    def fooled(self, student: Tensor, repeated: Tensor, weights: Tensor) -> Tensor:
        """L_adv of Eqs. 11, 12; gradients reach the student alone."""
        self.requires_grad_(False)
        d1_student, d2_student = self.d1(student), self.d2(student[repeated])
        self.requires_grad_(True)
        frequency = repeated.float().mean()
        return adversarial.student_adversarial(d1_student, d2_student, weights, frequency)


class Amid(Method):
    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.adversary = Adversary(options, sizes) if options["gamma"] > 0 else None
        self.dynamic = adversarial.DynamicWeights(options.get("smoothing", 0.0))
        self.joint = False
        self._frequency: list[Tensor] = []

    def begin_epoch(self, epoch: int) -> None:
        self.joint = self.adversary is not None and epoch >= self.options["warmup_epochs"]
        self._frequency = []

    def adversary_losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        if not self.joint:
            return {}
        repeated = adversarial.repeated_class_mask(labels)  # (B,)
        return {"discriminator": self.adversary.loss(reps.student, reps.teacher, repeated)}

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        options = self.options
        terms = {
            "classification": agreement.classification(
                reps.student_logits, reps.teacher_logits, labels
            ),
            "jensen_shannon": options["jensen_shannon"]
            * agreement.jensen_shannon(reps.student_logits, reps.teacher_logits),
        }
        for name, weight, other in (
            ("l_ft", options["alpha"], reps.student),
            ("l_fa", options["beta"], reps.auxiliary),
        ):
            if weight > 0:
                contrast = CONTRASTIVE[options["contrastive"]]
                terms[name] = weight * contrast(reps.teacher, other, labels, options["temperature"])
        if self.joint:
            repeated = adversarial.repeated_class_mask(labels)  # (B,)
            fooled = self.adversary.fooled(reps.student, repeated, self.dynamic.weights)
            terms["l_adv"] = options["gamma"] * fooled
            self.dynamic.update(reps.teacher.detach(), reps.student.detach(), labels)
            self._frequency.append(repeated.float().mean())
        return terms

    def adversary_parameters(self) -> Sequence[torch.nn.Parameter]:
        return list(self.parameters())

    def adversary_optimiser(self) -> dict[str, float]:
        return {
            "learning_rate": self.options.get("discriminator_learning_rate", 0.0),
            "momentum": self.options.get("discriminator_momentum", 0.0),
        }

    def end_epoch(self) -> dict[str, float]:
        if not self.joint:
            return {}
        self.dynamic.end_epoch()
        frequency = torch.stack(self._frequency)
        s1, s2 = self.dynamic.similarities
        w1, w2 = self.dynamic.weights.tolist()
        metrics = {"w1": w1, "w2": w2, "s1": s1, "s2": s2, "eta": float(frequency.mean())}
        metrics["batches_without_pairs"] = float((frequency == 0).sum())
        return {name: value for name, value in metrics.items() if not math.isnan(value)}

    def schedule_state(self) -> dict:
        return self.dynamic.state_dict()

    def load_schedule_state(self, state: dict) -> None:
        self.dynamic.load_state_dict(state)


def build(options: dict, sizes: Sizes) -> Amid:
    return Amid(options, sizes)
