"""The relations of CRCD (Zhu et al., "Complementary Relation Contrastive Distillation", CVPR 2021).

Status: our reading. There is no official code; the public Lechatelia/CRCD is another reading.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amid.losses.cosine import unit_rows


def relation_cosines(
    anchors: Tensor, centres: Tensor, positives: Tensor, candidates: Tensor
) -> tuple[Tensor, Tensor]:
    """Cosines between relations: (..., P, d) three times, (..., K, d) -> (..., P), (..., P, K).

    All relations of row i start at centre t_i. The anchor's a_i - t_i is compared with the
    positive's p_i - t_i, then with c_k - t_i of every candidate k. A difference of zero has cosine
    0 and gradient 0; so has a candidate that rounding cannot tell from the centre. Gradients flow
    to all.
    """
    # Shapes are those without leading axes, which stand for computations side by side.
    relations = unit_rows(anchors - centres)  # (P, d)
    own = (relations * unit_rows(positives - centres)).sum(dim=-1)  # (P,)

    # The differences c_k - t_i would be (P, K, d): products give their dot products and lengths.
    along = relations @ candidates.mT - (relations * centres).sum(dim=-1, keepdim=True)  # (P, K)
    lengths = candidates.square().sum(dim=-1)[..., None, :]  # (1, K)
    scale = lengths + centres.square().sum(dim=-1, keepdim=True)  # (P, K)
    squared = torch.sub(scale, centres @ candidates.mT, alpha=2)  # (P, K)
    # Each of the three sums of d products is wrong by up to d roundings, so a smaller square (even
    # a negative one) says no more than "near zero": a candidate that is the centre itself, say.
    # Infinite lengths make both cosine and gradient 0, as in amid.losses.cosine.
    unresolved = candidates.shape[-1] * torch.finfo(squared.dtype).eps * scale.detach()  # (P, K)
    lengths = squared.masked_fill(squared <= unresolved, math.inf).sqrt()  # (P, K)
    # Of a length just above that bound few digits are right. No shorter than what lies along the
    # relation, it keeps its cosine one: at a low temperature the exponential of more would drown
    # all other candidates.
    return own, along / lengths.maximum(along.detach().abs())


def gradient_agreement(student_gradient: Tensor, teacher_gradient: Tensor) -> Tensor:
    """Mean over the batch of 1 - cos(dCE/dT_i, dCE/dF_i): (B, D), (B, D) -> scalar in [0, 2].

    A zero gradient has cosine 0. Gradients flow to both.
    """
    return 1 - (unit_rows(student_gradient) * unit_rows(teacher_gradient)).sum(dim=1).mean()
