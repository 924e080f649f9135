"""Lower bounds of the mutual information between the teacher and another representation."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amid.losses.cosine import inverse_norms
from amid.losses.labels import known_pairs


def class_aware_nce(
    anchors: Tensor, candidates: Tensor, labels: Tensor, temperature: float
) -> Tensor:
    """L_FT of Eq. 8 with the critic of Eq. 7; L_FA of Eq. 9 with A as candidates.

    (B, D), (B, D), (B,) int64 -> scalar in nats:
        -(1/B) sum_i [sum over j of i's class, i included, of log h_ij
                      + sum over k of other classes of log(1 - h_ik)],
        h_ij = softmax over all j of the batch of cos(F_i, T_j) / temperature.
    candidates (K, B, D) -> (K,): the loss of each, in one go.

    A sample without a label (amid.losses.labels) is of its own class; a pair with it and another
    sample is in neither sum, but in the softmax.

    Status: the relative weights of the two sums are forced (Eqs. 2-6); the whole batch as the
    softmax's range, the mean over anchors and `anchors` as the only anchor are choices, and so is
    the treatment of samples without a label. Gradients flow to both representations, once (there
    are no second derivatives).
    """
    values = _ClassAwareNce.apply(
        anchors, candidates.reshape(-1, *anchors.shape), labels, temperature
    )
    return values.view(candidates.shape[:-2])


class _ClassAwareNce(torch.autograd.Function):
    """Value and gradient by the scores s_ij = cos / temperature together: of (K, B, B) arrays, K
    being the number of candidates, few are needed, and none is recorded.

    With n_i samples of i's class and, of other classes, u_ij = h_ij / (1 - h_ij), 0 elsewhere,
        B dL/ds_ij = (n_i - sum_k u_ik) h_ij + u_ij - [j is of i's class].
    """

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, candidates: Tensor, labels: Tensor, temperature: float
    ) -> Tensor:
        count, batch, dim = candidates.shape
        rows = torch.cat([anchors[None], candidates]).view(-1, dim)  # ((1 + K) B, D)
        inverse = inverse_norms(rows)  # ((1 + K) B,)
        units = rows * inverse[:, None]
        first, rest = units[:batch], units[batch:]
        scores = (first / temperature) @ rest.T  # (B, K B)
        log_h = scores.view(batch, count, batch).log_softmax(dim=2)  # (B, K, B)
        # log(1 - h) is log1p(-h) but for the largest h of each row, where h may round to 1: there
        # it is the log-sum-exp of all the others. So is 1 / (1 - h).
        log_top, top = log_h.max(dim=2, keepdim=True)  # (B, K, 1)
        others = log_h.scatter(2, top, -math.inf)
        log_rest = others.logsumexp(dim=2, keepdim=True)  # (B, K, 1)
        h = others.exp()  # 0 for the largest
        log_complement = torch.log1p(-h).scatter_(2, top, log_rest)

        # `aside`: not known to be of another class.
        same, aside = (pairs[:, None] for pairs in known_pairs(labels))  # (B, 1, B)
        log_complement = log_complement.masked_fill_(aside, 0.0)
        values = torch.where(same, log_h, log_complement).sum(dim=(0, 2)) / -batch  # (K,)

        odds = (h / (1 - h)).masked_fill_(aside, 0.0)
        excess = same.sum(dim=2, keepdim=True) - odds.sum(dim=2, keepdim=True)  # (B, K, 1)
        h_top = log_top.exp()
        # The largest, where it is of another class: u h of the others is u h_top times their share
        # in the rest, and its own u - u h is h_top.
        of_top = h_top.masked_fill(aside.expand_as(log_h).gather(2, top), 0.0)
        slope = h.scatter(2, top, h_top).mul_(excess).add_(odds)
        slope -= same.to(slope.dtype)
        log_rest.clamp_(min=torch.finfo(slope.dtype).min)  # alone in its batch
        slope.sub_((others - log_rest).exp_().mul_(of_top)).scatter_add_(2, top, of_top)
        slope /= temperature * batch
        ctx.save_for_backward(slope, units, inverse)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        slope, units, inverse = ctx.saved_tensors
        batch, count, _ = slope.shape
        slope = (slope * gradients[:, None]).view(batch, -1)  # (B, K B)
        first, rest = units[:batch], units[batch:]
        of_units = torch.cat([slope @ rest, slope.T @ first])  # ((1 + K) B, D)
        # What lies along a row changes its length alone.
        along = torch.linalg.vecdot(of_units, units)[:, None]
        found = (of_units - along * units) * inverse[:, None]
        found = found.view(1 + count, batch, -1)
        return found[0], found[1:], None, None
