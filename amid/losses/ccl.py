"""The contrastive loss of CCL (Chen et al., CVPR 2021), as its released code computes it."""

from __future__ import annotations

import torch
from torch import Tensor

from amid.losses.cosine import cosine_matrix
from amid.losses.labels import known_pairs

# Inside the logarithms of the released code: it bounds each term by 23 nats, so it is part of the
# definition.
EPSILON = 1e-10


def pair_contrastive(a: Tensor, b: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """C(a, b) = l(a, b) + l(b, a): (B, D), (B, D), (B,) int64 -> scalar in nats.

        l(a, b) = mean over i of [mean over j of i's class, i included, of -log(p_ij + 1e-10)
                                  + mean over k of other classes of -log(1 - p_ik + 1e-10)],
        p_ij = softmax over all j of the batch of cos(a_i, b_j) / temperature.
    b (K, B, D) -> (K,): the loss of each. Gradients flow to both. Unlike in Eq. 8, a sample's
    positives and its negatives weigh the same however many there are. A sample without a label
    (amid.losses.labels) is of its own class; a pair with it and another sample is in neither mean.

    Source: yanbeic/CCL. Differences: a batch of one class has no second mean (NaN there), and a
    zero row has cosine 0 (1/2 there).
    """
    if b.dim() == 3:
        return torch.stack([pair_contrastive(a, each, labels, temperature) for each in b])
    scores = cosine_matrix(a, b) / temperature  # (B, B)
    p = torch.stack([scores, scores.T]).softmax(dim=2)  # (2, B, B)
    # 1 - p of the largest p of each row as the sum of the others: the difference has no correct
    # digits when p is near 1.
    top = p.detach().argmax(dim=2, keepdim=True)  # (2, B, 1)
    others = p.scatter(2, top, 0.0)  # (2, B, B)
    complement = (1 - others).scatter(2, top, others.sum(dim=2, keepdim=True))  # (2, B, B)

    same, aside = known_pairs(labels)  # (B, B)
    positives = same.sum(dim=1, keepdim=True)  # (B, 1)
    negatives = len(labels) - aside.sum(dim=1, keepdim=True)  # (B, 1)
    counts = torch.where(same, positives, negatives)  # (B, B)
    logs = (torch.where(same, p, complement) + EPSILON).log()  # (2, B, B)
    logs = logs.masked_fill(aside & ~same, 0.0)
    return -(logs / counts.clamp(min=1)).sum() / len(labels)
