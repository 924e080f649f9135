"""The contrastive loss of CRD (Tian, Krishnan, Isola, ICLR 2020), as its released code computes it.

Source: HobbitLong/RepDistiller.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

# Inside the denominators of the released code: it matters where K / n is small, so it is part of
# the definition.
EPSILON = 1e-7


def bank_logits(anchors: Tensor, bank: Tensor, temperature: float) -> Tensor:
    """s_i . v_j / temperature, logarithms of scores not yet normalised: (B, d), (N, d) -> (B, N).

    Rows are used as they are. Gradients flow to both.
    """
    # One product with many rows of the bank is several times faster than gathering B x K of them.
    return (anchors / temperature) @ bank.T


def noise_contrastive(scores: Tensor, n_samples: int, weights: Tensor | None = None) -> Tensor:
    """Noise-contrastive estimation against K uniform negatives: (B, 1 + K) -> scalar in nats.

        -(1/B) sum_i [log(x_i0 / (x_i0 + c + 1e-7)) + sum_k log(c / (x_ik + c + 1e-7))],
        c = K / n_samples.
    scores: x > 0, normalised; column 0 is the positive. n_samples: rows of the memory bank.
    weights: (B, K) how often each negative was drawn, 0 for never; K of row i is then their sum,
    and negatives of weight 0 may have score 0. Gradients flow to the scores.
    """
    negatives = scores[:, 1:]  # (B, K)
    if weights is None:
        weights = torch.ones_like(negatives[:1]).expand_as(negatives)
    weights = weights.to(scores.dtype)
    count = weights.sum(dim=1)  # (B,)
    c = count / n_samples  # (B,)
    noise = c + EPSILON  # (B,)
    # x / (x + noise) is the sigmoid of log x - log noise: right digits however far x is from noise.
    # c / (x + noise) is (c / noise) / (1 + x / noise), both factors near 1: log1p keeps the digits
    # that the logarithm of a quotient loses K times over. xlog1py, because a row without negatives
    # has c = 0 and contributes 0.
    positive = logsigmoid(scores[:, 0].log() - noise.log())  # (B,)
    negative = (weights * torch.log1p(negatives / noise[:, None])).sum(dim=1)  # (B,)
    negative = negative + torch.special.xlog1py(count, EPSILON / c)
    return (negative - positive).mean()


def noise_contrastive_logits(
    positive: Tensor,
    negatives: Tensor,
    n_samples: int,
    weights: Tensor,
    log_z: Tensor | float = 0.0,
) -> Tensor:
    """`noise_contrastive` of logarithms of scores: (B,), (B, K), (B, K) multiplicities -> scalar.

    log_z: logarithm of the Z that the scores are to be divided by.
    The form for training: with thousands of negatives most of a step goes by in passes over (B, K),
    and here the exponential and the logarithm are one, and so are Z and the noise.
    """
    count = weights.sum(dim=1)  # (B,)
    c = count / n_samples  # (B,)
    noise = (c + EPSILON).log() + log_z  # (B,)
    # log(1 + x / noise) and log(x / (x + noise)) of x = exp(logit)
    negative = torch.linalg.vecdot(weights, softplus(negatives - noise[:, None]))  # (B,)
    negative = negative + torch.special.xlog1py(count, EPSILON / c)
    return (negative - logsigmoid(positive - noise)).mean()
