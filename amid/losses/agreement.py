"""Losses on the shared classifier's logits: both networks are right, and they agree."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amid.losses.labels import labelled_cross_entropy


def classification(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """L_cls of Eq. 15 (forced): CE(g(T), y) + CE(g(F), y), batch means in nats.

    (B, C), (B, C), (B,) int64 class indices -> scalar; gradients flow to both. The means are over
    the samples with a label (amid.losses.labels).
    """
    student = labelled_cross_entropy(student_logits, labels)
    return student + labelled_cross_entropy(teacher_logits, labels)


def jensen_shannon(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """L_JSD of Eq. 16 (forced): the Jensen-Shannon divergence of Lin (1991), batch mean in nats.

    (B, C), (B, C) -> scalar in [0, log 2], symmetric; gradients flow to both.
    """
    # In log-space throughout: a probability that underflows to 0 has no finite logarithm.
    log_p = student_logits.log_softmax(dim=1)  # (B, C)
    log_q = teacher_logits.log_softmax(dim=1)  # (B, C)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)  # (B, C)
    terms = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)  # (B, C)
    return terms.sum() / (2 * len(terms))
