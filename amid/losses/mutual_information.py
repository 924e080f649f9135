"""Lower bounds of the mutual information between the teacher and another representation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amid.losses.cosine import cosine_matrix


def class_aware_nce(
    anchors: Tensor, candidates: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """L_FT of Eq. 8 with the critic of Eq. 7; L_FA of Eq. 9 with A as candidates.

    (B, D), (B, D), (B,) int64 -> scalar in nats:
        -(1/B) sum_i [sum over j of i's class, i included, of log h_ij
                      + sum over k of other classes of log(1 - h_ik)],
        h_ij = softmax over all j of the batch of cos(F_i, T_j) / temperature.

    Status: the relative weights of the two sums are forced (Eqs. 2-6); the whole batch as the
    softmax's range, the mean over anchors and `anchors` as the only anchor are choices. Gradients
    flow to both representations.
    """
    scores = cosine_matrix(anchors, candidates) / temperature  # (B, B)
    log_h = scores.log_softmax(dim=1)  # (B, B)
    # log(1 - h) is log1p(-h) but for the largest h of each row, where h may round to 1: there it is
    # the log-sum-exp of all the others.
    top = log_h.detach().argmax(dim=1, keepdim=True)  # (B, 1)
    others = log_h.scatter(1, top, -math.inf)  # (B, B)
    log_rest = others.logsumexp(dim=1, keepdim=True)  # (B, 1)
    log_complement = torch.log1p(-others.exp()).scatter(1, top, log_rest)  # (B, B)

    same = labels[:, None] == labels  # (B, B)
    return -torch.where(same, log_h, log_complement).sum() / len(labels)
