"""CLIP's contrastive loss: each row's partner against all other rows of the batch, both ways.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
ICML 2021; mlfoundations/open_clip. Labels play no part: samples of one class are negatives too.
"""

from __future__ import annotations

from torch import Tensor

from amid.losses.cosine import cosine_matrix


def per_sample(a: Tensor, b: Tensor, temperature: float | Tensor) -> Tensor:
    """Each pair's loss in nats: (B, D), (B, D) -> (B,), differentiable in both and in a temperature
    that is a tensor.

    With z_ij = cos(a_i, b_j) / temperature, l_i is the mean of the cross-entropies of picking b_i
    among all b for a_i, and a_i among all a for b_i. A zero row has cosine 0 with everything and
    gradient 0, where the released code gives it one of 1e12. With B = 1 the loss is 0.
    """
    scores = cosine_matrix(a, b) / temperature  # (B, B)
    rows, columns = scores.logsumexp(dim=1), scores.logsumexp(dim=0)  # (B,), (B,)
    return (rows + columns) / 2 - scores.diagonal()


def symmetric(a: Tensor, b: Tensor, temperature: float | Tensor) -> Tensor:
    """The batch mean of `per_sample`: (B, D), (B, D) -> scalar; log B when all rows are alike."""
    return per_sample(a, b, temperature).mean()
