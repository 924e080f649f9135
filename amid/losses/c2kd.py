"""C2KD's selective distillation (Huo et al., CVPR 2024): of samples whose classes both rank alike.

Source: huofushuo/C2KD, and Gray-OREO/MST-Distill for vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import kl_div


@torch.no_grad()
def rank_correlation(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Kendall's tau-b of each sample's two rankings of the classes: (B, C), (B, C) -> (B,).

    In [-1, 1]; 0 where one side ranks nothing, all its logits being equal. Without gradient.
    """
    mine, theirs = (_order(rows) for rows in (student_logits, teacher_logits))  # (B, C, C)
    agreement = (mine * theirs).sum(dim=(1, 2))  # (B,); every pair counts twice, here and below
    pairs = mine.abs().sum(dim=(1, 2)) * theirs.abs().sum(dim=(1, 2))  # (B,)
    return agreement / pairs.clamp(min=1).sqrt()


def selected_divergence(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, threshold: float | Tensor
) -> Tensor:
    """KL(teacher || student) of the samples with a rank correlation above `threshold`, in nats.

    (B, C), (B, C), (B,) int64 -> scalar: the sum over these samples by the size of the whole batch;
    0 for an empty one.
    The true class's logit is set to 0 on both sides before the softmax, not left out, as in the
    released code. Gradients flow to the student alone, none through the choice of samples.
    """
    chosen = rank_correlation(student_logits, teacher_logits) > threshold  # (B,)
    student, teacher = (
        rows.scatter(1, labels[:, None], 0.0).log_softmax(dim=1)
        for rows in (student_logits, teacher_logits.detach())
    )
    divergence = kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)  # (B,)
    return (divergence * chosen).sum() / max(len(labels), 1)


def _order(logits: Tensor) -> Tensor:
    """Signs of the differences of any two classes: (B, C) -> (B, C, C)."""
    return (logits[:, :, None] - logits[:, None, :]).sign()
