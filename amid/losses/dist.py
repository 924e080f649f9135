"""DIST (Huang et al., NeurIPS 2022): correlations of probabilities in place of their divergence.

Source: hunto/image_classification_sota, of hunto/DIST_KD.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Beside the product of both norms in the released code: it takes the correlation of rare classes,
# of probabilities below 1e-4, to 0, so it is part of the definition.
EPSILON = 1e-8


def inter_class(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """temperature^2 (1 - correlation over the classes), mean over the samples.

    (B, C), (B, C) -> scalar in [0, 2 temperature^2], of softmax(logits / temperature). A constant
    row has correlation 0. Gradients flow to the student alone.
    """
    return _distance(*_softened(student_logits, teacher_logits, temperature), temperature)


def intra_class(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """temperature^2 (1 - correlation over the samples of the batch), mean over the classes.

    (B, C), (B, C) -> scalar in [0, 2 temperature^2], of softmax(logits / temperature). A constant
    column has correlation 0: a batch of one gives temperature^2. Gradients flow to the student
    alone.
    """
    student, teacher = _softened(student_logits, teacher_logits, temperature)
    return _distance(student.T, teacher.T, temperature)


def _softened(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    student = (student_logits / temperature).softmax(dim=1)
    return student, (teacher_logits.detach() / temperature).softmax(dim=1)


def _distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """temperature^2 (1 - mean over the rows of their correlation): (N, M), (N, M) -> scalar."""
    u, v = (rows - rows.mean(dim=1, keepdim=True) for rows in (student, teacher))
    norms = torch.linalg.vector_norm(u, dim=1) * torch.linalg.vector_norm(v, dim=1)  # (N,)
    return temperature**2 * (1 - ((u * v).sum(dim=1) / (norms + EPSILON)).mean())
