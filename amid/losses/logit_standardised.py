"""Distillation of standardised logits (Sun et al., CVPR 2024): their order and shape, not their
size.

Source: sunshangquan/logit-standardization-KD.
"""

from __future__ import annotations

import torch
from torch import Tensor

from amid.losses import logits as plain

# Beside the standard deviation in the released code: it decides what becomes of rows that are
# nearly constant, so it is part of the definition.
EPSILON = 1e-7


def standardised(logits: Tensor) -> Tensor:
    """z = (x - mean x) / (1e-7 + deviation of x) of each row: (B, C) -> (B, C).

    The deviation is the unbiased one, over the C - 1 degrees of freedom. A constant row becomes 0;
    so does a single class, where the released code gives NaN. Gradients flow through mean and
    deviation: the scale of a row has none.
    """
    # Shifted rows have the same z. Those of a constant row are then exactly 0, whatever its value.
    shifted = logits - logits.detach().amax(dim=1, keepdim=True)  # (B, C)
    centred = shifted - shifted.mean(dim=1, keepdim=True)  # (B, C)
    norm = torch.linalg.vector_norm(centred, dim=1, keepdim=True)  # (B, 1)
    return centred / (EPSILON + norm / max(logits.shape[1] - 1, 1) ** 0.5)


def softened_divergence(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    """temperature^2 KL(teacher || student) of the standardised logits, batch mean in nats.

    (B, C), (B, C) -> scalar. Gradients flow to the student alone; on a constant row they are of the
    order of 1e7, as in the released code.
    """
    teacher = standardised(teacher_logits.detach())
    return plain.softened_divergence(standardised(student_logits), teacher, temperature)
