"""Teacher alone: cross-entropy on the full-modality representation F. CRD and CRCD distil it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch.nn import functional

from amid.methods.base import Method, MethodOptions, Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from amid.core.types import Representations


class Options(MethodOptions):
    """No numbers of its own."""

    compares_pairs: ClassVar[bool] = False


class Teacher(Method):
    heads = ("teacher",)
    trains = ("student", "teacher")

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        return {"classification": functional.cross_entropy(reps.teacher_logits, labels)}


def build(options: dict, sizes: Sizes) -> Teacher:
    return Teacher()
