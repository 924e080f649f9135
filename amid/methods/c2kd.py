"""C2KD: proxies between teacher and student, and samples chosen by rank correlation.

F. Huo, W. Xu, J. Guo, H. Wang, S. Guo, "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge
Distillation", CVPR 2024. Source of the formulas: huofushuo/C2KD; of the proxy on vectors:
Gray-OREO/MST-Distill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from amid.losses.c2kd import selected_divergence
from amid.losses.labels import labelled_rows
from amid.losses.logits import softened_divergence
from amid.methods.base import Sizes, Weight
from amid.methods.distilling import Distilling, TeacherOptions
from amid.networks.crossmodal import init_seeded

if TYPE_CHECKING:
    from amid.core.types import Representations


class Options(TeacherOptions):
    """proxy_weight: of the divergences between a network and its proxy, both ways.

    weight: of the divergences between the proxies, both ways. threshold: the rank correlation of
    the proxies' logits above which a sample is distilled.
    """

    uses_unlabelled: ClassVar[bool] = True

    proxy_weight: Weight
    weight: Weight
    threshold: Annotated[float, Field(ge=-1, le=1)]


class Proxy(nn.Module):
    """A second head of a network: (B, D) -> (B, C)."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.normalise = nn.BatchNorm1d(dim)
        self.classifier = nn.Linear(dim, classes)
        for linear in (self.hidden, self.classifier):
            nn.init.kaiming_normal_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hidden(x)  # (B, D)
        if self.training and len(x) == 1:  # without a deviation of its own: the running statistics
            known = self.normalise
            hidden = functional.batch_norm(
                hidden, known.running_mean, known.running_var, known.weight, known.bias
            )
        else:
            hidden = self.normalise(hidden)
        return self.classifier(functional.leaky_relu(hidden, 0.1))


class C2kd(Distilling):
    def __init__(self, options: dict, sizes: Sizes) -> None:
        super().__init__(options)
        self.proxies = nn.ModuleDict(
            {
                name: init_seeded(
                    lambda: Proxy(sizes.dim, sizes.classes), sizes.seed, f"c2kd {name}"
                )
                for name in ("student", "teacher")
            }
        )

    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        own, weight = self.options["proxy_weight"], self.options["weight"]
        threshold = self.options["threshold"]
        student = self.proxies["student"](reps.student)  # (B, C)
        teacher = self.proxies["teacher"](reps.teacher)  # (B, C)
        # The second argument of a divergence teaches the first, without receiving its gradient.
        of_teacher = softened_divergence(teacher, reps.teacher_logits, 1.0)
        if self.joint:  # a fixed one is not taught
            of_teacher = of_teacher + softened_divergence(reps.teacher_logits, teacher, 1.0)
        of_student = softened_divergence(student, reps.student_logits, 1.0)
        of_student = of_student + softened_divergence(reps.student_logits, student, 1.0)
        if (rows := labelled_rows(labels)) is not None:  # the true class's logit is set to 0
            student, teacher, labels = (v.index_select(0, rows) for v in (student, teacher, labels))
        return {
            "student_proxy": own * of_student,
            "teacher_proxy": own * of_teacher,
            "distillation": weight * selected_divergence(student, teacher, labels, threshold),
            "feedback": weight * selected_divergence(teacher, student, labels, threshold),
        }


def build(options: dict, sizes: Sizes) -> C2kd:
    return C2kd(options, sizes)
