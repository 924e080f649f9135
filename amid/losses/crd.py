"""The contrastive loss of CRD (Tian, Krishnan, Isola, ICLR 2020), as its released code computes it.

Source: HobbitLong/RepDistiller.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid, softplus

# Inside the denominators of the released code: it matters where K / n is small, so it is part of
# the definition.
EPSILON = 1e-7

# Candidates scored at a time on the CPU, so that what a block needs stays in the cache. A multiple
# of 4: see _log1p_sum.
BLOCK = 2048


class Drawn(NamedTuple):
    """A batch's negatives: candidates that all anchors share, less those of an anchor's own class.

    candidates: rows of the bank (K',), each once, ordered by how often they were drawn; None: all.
    sizes: how many of them were drawn once, twice, ...
    labels: of the anchors (B,) and of the candidates (K',).
    others: how many draws are of other classes than the anchor's (B,).
    count: K, to which an anchor's multiplicities add up; they are 0 where there are no others.
    """

    candidates: Tensor | None
    sizes: list[int]
    labels: tuple[Tensor, Tensor]
    others: Tensor
    count: int

    def weights(self) -> Tensor:
        """Multiplicities (B, K')."""
        anchors, candidates = self.labels
        times = torch.arange(1, 1 + len(self.sizes)).repeat_interleave(torch.tensor(self.sizes))
        other = (anchors[:, None] != candidates) * times.to(anchors.device)  # (B, K')
        return other * (self.count / self.others.clamp(min=1))[:, None]


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
    """
    count = weights.sum(dim=1)  # (B,)
    noise = (count / n_samples + EPSILON).log() + log_z  # (B,)
    # log(1 + x / noise) of x = exp(logit)
    negative = torch.linalg.vecdot(weights, softplus(negatives - noise[:, None]))  # (B,)
    return _estimate(positive - noise, negative, count, n_samples)


def drawn_contrastive(
    anchors: Tensor,
    positive: Tensor,
    bank: Tensor,
    drawn: Drawn,
    temperature: float,
    log_z: Tensor | float = 0.0,
) -> Tensor:
    """`noise_contrastive_logits` of `bank_logits`, for training: (B, d), (B,), (N, d) -> scalar.

    positive: logits of the positives. The logits of the thousands of candidates, their losses and
    the gradient are one pass over blocks of the bank; none of these is ever a (B, K') matrix.
    Gradients flow to anchors and positives, once; the bank is constant.
    """
    n_samples, others = len(bank), drawn.others.to(bank.dtype)  # (B,)
    count = drawn.count * (others > 0).to(bank.dtype)  # (B,)
    # Powers of 2 are twice as fast as those of e.
    scaled = (anchors / (temperature * math.log(2))).to(bank.dtype)
    noise = (math.log(drawn.count / n_samples + EPSILON) + log_z) / math.log(2)
    negative = _DrawnLosses.apply(scaled, bank, drawn, noise)  # (B,)
    negative = negative * (drawn.count / others.clamp(min=1))
    of_positive = (count / n_samples + EPSILON).log() + log_z  # (B,)
    return _estimate(positive - of_positive, negative, count, n_samples)


def _estimate(positive: Tensor, negative: Tensor, count: Tensor, n_samples: int) -> Tensor:
    """From log(x / noise) of the positives and the sums of log(1 + x / noise): (B,) thrice."""
    # log(c / (x + noise)) is log(c / noise) less log(1 + x / noise).
    negative = negative + torch.special.xlog1py(count, EPSILON / (count / n_samples))
    return (negative - logsigmoid(positive)).mean()


class _DrawnLosses(torch.autograd.Function):
    """Sums over the draws of other classes of log(1 + 2^(anchor . row - noise)): -> (B,)."""

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, bank: Tensor, drawn: Drawn, noise: Tensor | float
    ) -> Tensor:
        sums = anchors.new_zeros(len(anchors))  # (B,)
        gradient = torch.zeros_like(anchors)  # (B, d)
        columns = anchors.T.contiguous()  # (d, B)
        of_anchors, of_candidates = (labels.to(anchors.dtype) for labels in drawn.labels)
        block = BLOCK if anchors.device.type == "cpu" else 4 * len(bank)
        longest = min(block, -(-max(drawn.sizes) // 4) * 4)
        rows = anchors.new_empty(longest, anchors.shape[1])
        powers, scratch = anchors.new_empty(2, longest, len(anchors))
        # The product of four powers in _log1p_sum must not overflow.
        largest = math.log2(torch.finfo(anchors.dtype).max) // 4 - 1
        end = 0
        for times, number in enumerate(drawn.sizes, start=1):
            first, end = end, end + number
            for start in range(first, end, block):
                part = slice(start, min(start + block, end))
                n = part.stop - part.start
                if drawn.candidates is None:
                    theirs = bank[part]  # (n, d)
                else:
                    theirs = torch.index_select(bank, 0, drawn.candidates[part], out=rows[:n])
                x = torch.mm(theirs, columns, out=powers[:n]).sub_(noise)  # (n, B)
                other = torch.ne(of_candidates[part, None], of_anchors, out=scratch[:n])  # (n, B)
                if x.amax() > largest:  # where log(1 + 2^x) is x log 2
                    excess = (x - largest).relu_().mul_(other).sum(dim=0)
                    sums.add_(excess, alpha=times * math.log(2))
                    x.clamp_(max=largest)
                x.exp2_().mul_(other)
                padded = powers[: -(-n // 4) * 4]
                padded[n:] = 0
                sums.add_(_log1p_sum(padded, scratch), alpha=times)
                x.div_(torch.add(x, 1, out=scratch[:n]))
                torch.addmm(gradient, x.T, theirs, alpha=times, out=gradient)
        ctx.save_for_backward(gradient.mul_(math.log(2)))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_sums: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return of_sums[:, None] * gradient, None, None, None


def _log1p_sum(e: Tensor, buffer: Tensor) -> Tensor:
    """Sums of log(1 + e), e >= 0, over 4 n rows: (4 n, B) -> (B,). Overwrites the buffer (n, B)."""
    # log(1 + a) + log(1 + b) = log(1 + (a + a b + b)): positive numbers, so no digits are lost, and
    # one logarithm serves four.
    for _ in range(2):
        a, b = e.chunk(2)
        e = torch.addcmul(a, a, b, out=buffer[: len(a)]).add_(b)
    return e.log1p_().sum(dim=0)
