"""Student alone: cross-entropy on the target modality. Also pre-trains the auxiliary extractors."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch.nn import functional

from amid.methods.base import Method, MethodOptions, Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from amid.core.types import Representations


class Options(MethodOptions):
    """No numbers of its own."""

    sees_auxiliary: ClassVar[bool] = False
    compares_pairs: ClassVar[bool] = False


class Baseline(Method):
    heads = ("student",)
    trains = ("student",)

    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        return {"classification": functional.cross_entropy(reps.student_logits, labels)}


def build(options: dict, sizes: Sizes) -> Baseline:
    return Baseline()
