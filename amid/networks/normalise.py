"""Batch normalisation of any batch, also one that several processes share.

torch's modules refuse a batch with a single value a channel: a lone clip of one step. Which batch
that is depends on the order of the samples, so training would fail by chance. Here such a batch is
normalised by the running statistics, as in evaluation, and leaves them as they are. With more
values this is torch's module to the last bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from amid.core.distributed import all_gather, all_reduce

AXES = (0, 2, 3, 4)  # of (B, C, T, H, W), over which a channel is normalised


class BatchNorm1d(nn.BatchNorm1d):
    """(N, C) or (B, C, T) -> the same shape; names and numbers of the state are torch's."""

    def forward(self, x: Tensor) -> Tensor:
        alone = self.training and x.numel() == x.shape[1]
        return _by_running_statistics(self, x) if alone else super().forward(x)


class BatchNorm(nn.BatchNorm3d):
    """(B, C, T, H, W) -> the same shape; names and numbers of the state are BatchNorm3d's.

    processes: number of processes that share each batch; statistics are those of all its samples.
        A process may have none of them. (torch's SyncBatchNorm runs on GPUs only.)
    """

    processes: int = 1

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        if self.processes == 1:
            alone = x.numel() == x.shape[1]
            return _by_running_statistics(self, x) if alone else super().forward(x)
        count, mean, variance = statistics(x, self.processes)
        if count < 2:
            return _by_running_statistics(self, x)
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased = variance * (count / (count - 1))
            for kept, new in ((self.running_mean, mean), (self.running_var, unbiased)):
                kept.mul_(1 - self.momentum).add_(self.momentum * new)
        scale = (variance + self.eps).rsqrt()
        return _Normalised.apply(x, self.weight, self.bias, mean, scale, count)


def _by_running_statistics(norm: nn.Module, x: Tensor) -> Tensor:
    """What a module gives in evaluation."""
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def synchronize_statistics(encoder: nn.Module, processes: int) -> None:
    """Makes the batch statistics of an encoder those of a batch that `processes` share."""
    for module in encoder.modules():
        if isinstance(module, BatchNorm):
            module.processes = processes


@torch.no_grad()
def statistics(x: Tensor, processes: int) -> tuple[int, Tensor, Tensor]:
    """Over all processes: values a channel, their mean (C,) and biased variance (C,) float64.

    Each process's squared deviations are from its own mean, then brought to the common one (Chan et
    al., 1979): as exact as two passes, with one exchange.
    """
    own = x.numel() // x.shape[1]
    center = x.sum(AXES, dtype=torch.float64) / max(own, 1)  # (C,)
    apart = (_wide(x) - _channels(center, x)).square().sum(AXES, dtype=torch.float64)  # (C,)
    told = torch.cat([center.new_tensor([own]), center, apart])  # (1 + 2 C,)
    everyone = all_gather(told, processes)  # (W, 1 + 2 C)
    counts = everyone[:, :1]  # (W, 1)
    centers, aparts = everyone[:, 1:].chunk(2, dim=1)  # (W, C)
    count = counts.sum().clamp(min=1)
    mean = (counts * centers).sum(0) / count
    variance = (aparts + counts * (centers - mean).square()).sum(0) / count
    return int(count), mean, variance


class _Normalised(torch.autograd.Function):
    """x -> weight (x - mean) scale + bias.

    The gradient of x takes into account that mean and scale depend on all processes' samples. The
    gradients of weight and bias are those of this process's samples, to be summed over processes.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, count: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.count = count
        unit = (_wide(x) - _channels(mean, x)) * _channels(scale, x)
        return (unit * _channels(weight, x) + _channels(bias, x)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        unit = (_wide(x) - _channels(mean, x)) * _channels(scale, x)
        grad = _wide(grad_output)
        of_bias = grad.sum(AXES, dtype=torch.float64)  # (C,)
        of_weight = (grad * unit).sum(AXES, dtype=torch.float64)  # (C,)
        by_bias, by_weight = all_reduce(torch.stack([of_bias, of_weight])) / ctx.count  # (C,)
        rest = grad - _channels(by_bias, x) - unit * _channels(by_weight, x)
        of_x = (rest * _channels(scale * weight, x)).to(x.dtype)
        return of_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None, None


def _wide(values: Tensor) -> Tensor:
    """At least float32: sums in the half precision of mixed training would be too inexact."""
    return values if values.dtype == torch.float64 else values.float()


def _channels(values: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, 1, 1), in the type that `x` is computed with."""
    return values.to(torch.promote_types(x.dtype, torch.float32)).view(1, -1, 1, 1, 1)
