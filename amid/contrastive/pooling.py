"""LeakyReLU and pooling of pairs of steps as one module, for training on a CPU.

torch's pooling that remembers where the maxima were is several times slower than its pooling
without a gradient, and a LeakyReLU before it does twice the work of one behind it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu, max_pool1d


class PooledLeakyReLU(nn.Module):
    """MaxPool1d(2, ceil_mode=True) of a LeakyReLU: (B, C, steps) -> (B, C, ceil(steps / 2)).

    Values are those of the two modules, since a LeakyReLU grows with its input; the gradient goes
    to the larger of two steps, of equal ones to the first. So it does there, but that steps which
    only rounding makes equal behind the LeakyReLU are told apart here.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(_Pooled.apply(x), self.slope)


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        found = max_pool1d(x, 2, ceil_mode=True)
        ctx.save_for_backward(x, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        # numpy is faster at every second step than torch.
        x, found, given = (t.numpy() for t in (*ctx.saved_tensors, grad_output))
        grad, pairs = np.empty_like(x), x.shape[-1] // 2
        with np.errstate(all="ignore"):  # no warnings of what is not finite, as torch has none
            np.multiply(given, x[..., ::2] == found, out=grad[..., ::2])
            np.subtract(given[..., :pairs], grad[..., : 2 * pairs : 2], out=grad[..., 1::2])
        return torch.from_numpy(grad)


def fuse_pooling(encoder: nn.Module) -> None:
    """Has an encoder pool before each LeakyReLU that is followed by a pooling of pairs of steps;
    names and numbers of its state stay the same."""
    for layers in encoder.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for at, (one, other) in enumerate(pairwise(list(layers))):
            if isinstance(one, nn.LeakyReLU) and _of_pairs(other):
                layers[at], layers[at + 1] = nn.Identity(), PooledLeakyReLU(one.negative_slope)


def _of_pairs(module: nn.Module) -> bool:
    if not isinstance(module, nn.MaxPool1d):
        return False
    numbers = module.kernel_size, module.stride, module.padding, module.dilation
    return numbers == (2, 2, 0, 1) and module.ceil_mode
