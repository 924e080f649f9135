"""AMID, Eq. 17: L = L_cls + L_JSD + alpha L_FT + beta L_FA + gamma L_adv.

The configurations of Table 4 are this method with some weights at 0 or another contrastive loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from amid.losses import adversarial, agreement
from amid.losses.ccl import pair_contrastive
from amid.losses.labels import labelled_cross_entropy
from amid.losses.mutual_information import class_aware_nce
from amid.methods.base import Method, MethodOptions, Positive, Sizes, Weight
from amid.networks.crossmodal import init_seeded
from amid.networks.discriminators import (
    ENHANCED_LAYERS,
    FUNDAMENTAL_LAYERS,
    Discriminator,
    Sight,
)

if TYPE_CHECKING:
    from amid.core.types import Representations

CONTRASTIVE = {"nce": class_aware_nce, "ccl": pair_contrastive}


class Options(MethodOptions):
    """alpha, beta, gamma: Eq. 17 (the paper's); the rest is our choice (docs/equations.md).

    teacher: "joint", trained with the student, or "fixed", trained before and frozen (Tab. 5).
    smoothing: lambda of Eq. 14. jensen_shannon: weight of Eq. 16.
    enhanced: whether there is a D2; dynamic: whether w1, w2 follow Eq. 14 (Tab. 5).
    adversarial: reading of Eq. 11, as in amid.losses.adversarial. gamma_ramp: epochs after the
    warm-up over which gamma grows to its value, 0 for none.
    discriminator_*: hidden width; what D1 and D2 see (amid.networks.discriminators); their
    optimiser; steps they make for one of the student; weight of the gradient penalty R1 (Mescheder
    et al., 2018); spectral normalisation.
    """

    top_level: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma")
    uses_unlabelled: ClassVar[bool] = True

    alpha: Weight
    beta: Weight
    gamma: Weight
    contrastive: Literal["nce", "ccl"]
    temperature: Positive
    smoothing: Annotated[float, Field(ge=0, lt=1)]
    jensen_shannon: Weight
    teacher: Literal["joint", "fixed"]
    enhanced: bool
    dynamic: bool
    adversarial: adversarial.Form
    gamma_ramp: Annotated[int, Field(ge=0)]
    discriminator_hidden: Annotated[int, Field(gt=0)]
    discriminator_sees: Sight
    discriminator_enhanced_sees: Sight
    discriminator_optimiser: Literal["sgd", "adam"]
    discriminator_learning_rate: Positive
    discriminator_momentum: Annotated[float, Field(ge=0, lt=1)]
    discriminator_steps: Annotated[int, Field(gt=0)]
    discriminator_penalty: Weight
    discriminator_spectral: bool

    @property
    def fixed_teacher(self) -> bool:
        return self.teacher == "fixed"

    def canonical(self, warmup_epochs: int) -> dict:
        values = {**self.model_dump(), "warmup_epochs": warmup_epochs}
        idle: set[str] = set()
        if self.gamma == 0:
            idle |= {"enhanced", "dynamic", "smoothing", "adversarial", "gamma_ramp"}
            idle |= {"warmup_epochs"}
            idle |= {name for name in values if name.startswith("discriminator_")}
        if not self.enhanced:
            idle |= {"dynamic", "smoothing", "discriminator_enhanced_sees"}
        if not self.dynamic:
            idle |= {"smoothing"}
        if self.discriminator_optimiser == "adam":
            idle |= {"discriminator_momentum"}
        if self.fixed_teacher:  # L_FA moves the teacher alone
            idle |= {"beta"}
        if self.alpha == 0 and (self.beta == 0 or self.fixed_teacher):
            idle |= {"contrastive", "temperature"}
        return {name: value for name, value in values.items() if name not in idle}

    def warmup(self) -> Options:
        """Eq. 17 without the gamma term."""
        return self.model_copy(update={"gamma": 0.0})


class Adversary(torch.nn.Module):
    """D1 and D2 with two verbs: `loss` trains them, `fooled` is the student's side of the game."""

    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.form, self.penalty = options["adversarial"], options["discriminator_penalty"]

        def discriminator(layers: int, sees: str) -> Discriminator:
            return Discriminator(
                sizes.dim,
                options["discriminator_hidden"],
                layers,
                sizes.slope,
                sees=sees,
                classes=sizes.classes,
                spectral=options["discriminator_spectral"],
            )

        sees = options["discriminator_sees"]
        self.d1 = init_seeded(lambda: discriminator(FUNDAMENTAL_LAYERS, sees), sizes.seed, "d1")
        self.d2: Discriminator | None = None
        if options["enhanced"]:
            sees = options["discriminator_enhanced_sees"]
            self.d2 = init_seeded(lambda: discriminator(ENHANCED_LAYERS, sees), sizes.seed, "d2")
        self._repeated: tuple[Tensor, Tensor, Tensor] | None = None
        self.forget_counts()

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """L_D of Eq. 13 on detached representations (B, D); gradients reach D1 and D2 alone."""
        repeated, frequency = self.repeated(labels)
        both, twice = torch.cat([teacher, student]).detach(), labels.repeat(2)  # (2B, D), (2B,)
        d1_teacher, d1_student, d1_steepness = self._judged(self.d1, both, twice)
        if self.d2 is not None:
            rows = torch.cat([repeated, repeated + len(labels)])  # (2 B_hat,)
            both, twice = both.index_select(0, rows), twice.index_select(0, rows)
        d2_teacher, d2_student, d2_steepness = self._judged(self.d2, both, twice)
        self._count("d1", d1_teacher, d1_student)
        self._count("d2", d2_teacher, d2_student)
        value = adversarial.discriminator(
            d1_teacher, d1_student, d2_teacher, d2_student, frequency, self.form
        )
        if self.penalty:
            value = value + self.penalty / 2 * (d1_steepness + frequency * d2_steepness)
        return value

    def fooled(self, student: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """L_adv of Eqs. 11, 12; gradients reach the student alone."""
        repeated, frequency = self.repeated(labels)
        d1_student = self.d1(student, labels, frozen=True)  # (B,)
        d2_student = d1_student[:0]
        if self.d2 is not None:
            rows, classes = student.index_select(0, repeated), labels.index_select(0, repeated)
            d2_student = self.d2(rows, classes, frozen=True)  # (B_hat,)
        return adversarial.student_adversarial(
            d1_student, d2_student, weights, frequency, self.form
        )

    def forget_counts(self) -> None:
        """Begins the accuracies of an epoch anew."""
        self.counts: dict[str, list[Tensor | float]] = {"d1": [0.0, 0.0], "d2": [0.0, 0.0]}

    def accuracies(self) -> dict[str, float]:
        """Of the representations that each discriminator has judged since `forget_counts`, before
        it learned from them: the share that it took for what they are. 0.5 is chance."""
        counted = {name: (float(right), float(of)) for name, (right, of) in self.counts.items()}
        return {f"{name}_accuracy": right / of for name, (right, of) in counted.items() if of}

    def _count(self, name: str, teacher: Tensor, student: Tensor) -> None:
        with torch.no_grad():
            middle = 0.5 if self.form == "least_squares" else 0.0
            right = (teacher > middle).sum() + (student <= middle).sum()
            counts = self.counts[name]
            self.counts[name] = [counts[0] + right.double(), counts[1] + 2 * len(teacher)]

    def repeated(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B_hat,) of the samples that D2 sees, and their fraction eta; of the same
        batch, asked again, the same."""
        if self._repeated is None or self._repeated[0] is not labels:
            mask = adversarial.repeated_class_mask(labels)  # (B,)
            self._repeated = labels, mask.nonzero().squeeze(1), mask.float().mean()
        return self._repeated[1:]

    def _judged(
        self, judge: Discriminator | None, both: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | float]:
        """Logits (N,) of the teacher's and the student's half of (2N, D), and R1's mean squared
        gradient by what is seen of the teacher (0 where no penalty asks for it)."""
        if judge is None or not len(labels):
            return both.new_empty(0), both.new_empty(0), 0.0
        seen = judge.sight(both, labels)  # (2N, .)
        if self.penalty:
            seen = seen.requires_grad_()
        real, fake = judge.judge(seen).chunk(2)
        if not self.penalty:
            return real, fake, 0.0
        (gradient,) = torch.autograd.grad(real.sum(), seen, create_graph=True)  # (2N, .)
        return real, fake, gradient.square().sum() / len(real)


class Amid(Method):
    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.fixed = options["teacher"] == "fixed"
        if self.fixed:
            self.trains = ("student",)
        self.adversary = Adversary(options, sizes) if options["gamma"] > 0 else None
        self.adversary_steps = options.get("discriminator_steps", 1)
        self.dynamic = adversarial.DynamicWeights(options.get("smoothing", 0.0))
        self.joint = False
        self.gamma = 0.0
        self._frequency: list[Tensor] = []

    def begin_epoch(self, epoch: int) -> None:
        self.joint = self.adversary is not None and epoch >= self.options["warmup_epochs"]
        if self.joint:
            past, ramp = epoch - self.options["warmup_epochs"], self.options["gamma_ramp"]
            self.gamma = self.options["gamma"] * (min(1.0, (past + 1) / ramp) if ramp else 1.0)
            self.adversary.forget_counts()
        self._frequency = []

    def adversary_losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        if not self.joint:
            return {}
        return {"discriminator": self.adversary.loss(reps.student, reps.teacher, labels)}

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """The terms of Eq. 17; with a fixed teacher only those that train the student."""
        options = self.options
        right = agreement.classification(reps.student_logits, reps.teacher_logits, labels)
        if self.fixed:
            right = labelled_cross_entropy(reps.student_logits, labels)
        apart = agreement.jensen_shannon(reps.student_logits, reps.teacher_logits)
        terms = {"classification": right, "jensen_shannon": options["jensen_shannon"] * apart}
        weights = {"l_ft": options["alpha"], "l_fa": options.get("beta", 0.0)}
        others = {"l_ft": reps.student, "l_fa": reps.auxiliary}
        if names := [name for name, weight in weights.items() if weight > 0]:
            contrast = CONTRASTIVE[options["contrastive"]]
            candidates = torch.stack([others[name] for name in names])  # (K, B, D)
            values = contrast(reps.teacher, candidates, labels, options["temperature"]).unbind()
            terms |= {n: weights[n] * value for n, value in zip(names, values, strict=True)}
        if self.joint:
            terms["l_adv"] = self.gamma * self.adversary.fooled(
                reps.student, labels, self.weights()
            )
            self.dynamic.update(reps.teacher.detach(), reps.student.detach(), labels)
            self._frequency.append(self.adversary.repeated(labels)[1])
        return terms

    def weights(self) -> Tensor:
        """w1, w2 of Eq. 12: from Eq. 14 if `dynamic`, else equal; (1, 0) without D2."""
        if not self.options["enhanced"]:
            return torch.tensor([1.0, 0.0], dtype=torch.float64)
        if not self.options["dynamic"]:
            return torch.full((2,), 0.5, dtype=torch.float64)
        return self.dynamic.weights

    def adversary_parameters(self) -> Sequence[torch.nn.Parameter]:
        return list(self.parameters())

    def adversary_optimiser(self) -> dict[str, Any]:
        return {
            "optimiser": self.options["discriminator_optimiser"],
            "learning_rate": self.options["discriminator_learning_rate"],
            "momentum": self.options.get("discriminator_momentum", 0.0),
        }

    def end_epoch(self) -> dict[str, float]:
        if not self.joint:
            return {}
        self.dynamic.end_epoch()
        frequency = torch.stack([value.cpu() for value in self._frequency])
        self._frequency = []
        s1, s2 = self.dynamic.similarities
        w1, w2 = self.weights().tolist()
        metrics = {"w1": w1, "w2": w2, "s1": s1, "s2": s2, "eta": float(frequency.mean())}
        metrics["batches_without_pairs"] = float((frequency == 0).sum())
        metrics |= self.adversary.accuracies()
        return {name: value for name, value in metrics.items() if not math.isnan(value)}

    def schedule_state(self) -> dict:
        frequency = [float(value) for value in self._frequency]  # float32, so exact
        state = {"dynamic": self.dynamic.state_dict(), "frequency": frequency}
        if self.adversary is not None:
            counts = self.adversary.counts.items()
            state["judged"] = {name: [float(value) for value in values] for name, values in counts}
        return state

    def load_schedule_state(self, state: dict) -> None:
        self.dynamic.load_state_dict(state["dynamic"])
        self._frequency = [torch.tensor(value) for value in state["frequency"]]
        if self.adversary is not None and "judged" in state:  # a warm-up has none
            self.adversary.counts = state["judged"]


def build(options: dict, sizes: Sizes) -> Amid:
    return Amid(options, sizes)
