"""What the methods share that distil a teacher's outputs: the classification, and which teacher.

A fixed teacher is a run of its own, whose outputs come with the batches: so these methods were
published. A joint one, the full-modality network F, learns beside the student and shares its
extractor and classifier; its own loss is cross-entropy, and the distillation does not reach it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from amid.losses.labels import labelled_cross_entropy
from amid.methods.base import Method, MethodOptions

if TYPE_CHECKING:
    from amid.core.types import Representations


class TeacherOptions(MethodOptions):
    """teacher: "fixed", trained before and frozen, or "joint", trained with the student."""

    compares_pairs: ClassVar[bool] = False  # T and F of networks trained apart share no axes

    teacher: Literal["fixed", "joint"]

    @property
    def fixed_teacher(self) -> bool:
        return self.teacher == "fixed"


class Distilling(Method):
    """Cross-entropy of the student, of a joint teacher too, and the terms of `distillation`."""

    def __init__(self, options: dict) -> None:
        super().__init__()
        self.options = options
        self.joint = options.get("teacher") == "joint"
        self.trains = ("student", "teacher") if self.joint else ("student",)

    @abstractmethod
    def distillation(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """The terms beside classification, already weighted."""

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        right = labelled_cross_entropy(reps.student_logits, labels)
        terms = {"classification": self.options.get("classification_weight", 1.0) * right}
        if self.joint:
            terms["teacher_classification"] = labelled_cross_entropy(reps.teacher_logits, labels)
        return terms | self.distillation(reps, labels)
