"""Decoupled distillation (Zhao et al., CVPR 2022): the true class, and the others among themselves.

Source: megvii-research/mdistiller. Difference: everything from log-sum-exps over the classes in
question, hence finite for any logits. The released code takes the logarithm of probabilities,
which underflow, and removes the true class by a large negative number, which a larger gap outlasts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from amid.losses.logits import softened_divergence


def target_divergence(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """temperature^2 KL of the teacher's (p_y, 1 - p_y) from the student's, batch mean in nats.

    (B, C), (B, C), (B,) int64 -> scalar. 0 where there is one class only. Gradients flow to the
    student alone.
    """
    if student_logits.shape[1] < 2:
        return student_logits.new_zeros(())
    student = _odds(student_logits / temperature, labels)  # (B,)
    teacher = _odds(teacher_logits.detach() / temperature, labels)  # (B,)
    log_q, log_rest = logsigmoid(teacher), logsigmoid(-teacher)
    right = log_q.exp() * (log_q - logsigmoid(student))
    wrong = log_rest.exp() * (log_rest - logsigmoid(-student))
    return temperature**2 * (right + wrong).mean()


def non_target_divergence(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """temperature^2 KL(teacher || student) over the classes other than the true one, batch mean.

    (B, C), (B, C), (B,) int64 -> scalar in nats. 0 where fewer than two others are left. Gradients
    flow to the student alone.
    """
    if student_logits.shape[1] < 2:
        return student_logits.new_zeros(())
    student, teacher = _others(student_logits, labels), _others(teacher_logits, labels)
    return softened_divergence(student, teacher, temperature)


def _odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_y - log(1 - p_y): (B, C), (B,) -> (B,)."""
    own = logits.gather(1, labels[:, None]).squeeze(1)
    return own - _others(logits, labels).logsumexp(dim=1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits of the classes other than the label: (B, C), (B,) -> (B, C - 1)."""
    places = torch.arange(logits.shape[1] - 1, device=logits.device)  # (C - 1,)
    return logits.gather(1, places + (places >= labels[:, None]).long())
