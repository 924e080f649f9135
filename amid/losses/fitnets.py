"""The hint of FitNets (Romero et al., ICLR 2015): the student's features predict the teacher's."""

from __future__ import annotations

from torch import Tensor


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over samples and channels of (student - teacher)^2: (B, D), (B, D) -> scalar.

    `student` is what the regressor made of the student's features. Gradients flow to it alone.
    """
    return (student - teacher.detach()).square().mean()
