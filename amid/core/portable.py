"""Tensor operations on the CPU with the same bits on every x86-64 processor that has AVX2.

Two kinds of torch's operations have other bits on another processor, whatever is set:

- Matrix products are MKL's, which takes other kernels, hence another order of sums, for another
  vendor. Its one setting that all share (MKL_CBWR=COMPATIBLE, see amid.core.reproducible) makes a
  product three to four times slower. numpy brings OpenBLAS, whose kernels can be named: the same
  ones everywhere, and about as fast as MKL's.
- Square roots and four trigonometric functions are MKL's too, and start from an instruction for an
  approximate reciprocal, which the vendors round differently. numpy's are exact or the C library's.

`route_to_numpy` replaces them for the whole process. What is left to MKL by other ways (`x ** 0.5`,
products within convolutions of float64) is under the setting above: square roots by `**` stay off.
"""

from __future__ import annotations

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch and numpy load

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

HANDLED = frozenset((torch.float32, torch.float64))  # other types keep torch's own kernels
FUNCTIONS = {
    "sqrt": np.sqrt,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "tan": np.tan,
}


def product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a b of tensors that need no gradient: (..., N, K), (..., K, M) -> (..., N, M).

    What torch.mm and torch.bmm are routed to; called directly it is quicker, as nothing is
    dispatched. out: where to write it; a new tensor by default.
    """
    left, right = _laid_out(a).numpy(), _laid_out(b).numpy()
    with np.errstate(all="ignore"):  # no warnings of what is not finite, as torch has none
        if out is None:
            return torch.from_numpy(np.matmul(left, right))
        np.matmul(left, right, out=out.numpy())
    return out


def _laid_out(matrix: Tensor) -> Tensor:
    """The matrix itself where BLAS can read it, else a copy: numpy would loop in plain C."""
    strides = matrix.stride()
    fits = (strides[-1] == 1 or strides[-2] == 1) and 0 not in strides
    return matrix if fits else matrix.contiguous()


@cache
def route_to_numpy() -> None:
    """Has torch compute products and the FUNCTIONS of float tensors on the CPU by numpy from now
    on, in this process: under `@`, torch.nn.Linear and the like, with their gradients."""
    library = torch.library.Library("aten", "IMPL")
    kernels = {
        "mm": _mm, "bmm": _mm, "addmm": _addmm, "baddbmm": _addmm,
        "mm.out": _mm_out, "bmm.out": _mm_out, "addmm.out": _addmm_out, "baddbmm.out": _addmm_out,
        "addmm_": _addmm_, "baddbmm_": _addmm_,
    }  # fmt: skip
    for name, function in FUNCTIONS.items():
        kernels |= {
            name: lambda x, f=function: _apply(f, x, torch.empty_like(x)),
            f"{name}_": lambda x, f=function: _apply(f, x, x),
            f"{name}.out": lambda x, *, out, f=function: _apply(f, x, out.resize_(x.shape)),
        }
    with warnings.catch_warnings():  # that kernels are replaced, which is what this is for
        warnings.simplefilter("ignore", UserWarning)
        for name, kernel in kernels.items():
            own = torch.library.get_kernel(f"aten::{name}", "CPU")
            library.impl(name, _by_type(kernel, own), "CPU", with_keyset=True)
    _KEPT.append(library)  # the kernels go when it goes


_KEPT: list[Any] = []


def _by_type(kernel: Callable[..., Tensor], own: Any) -> Callable[..., Tensor]:
    """`kernel` for the HANDLED types; for others, and for a mixture of types, which it refuses,
    torch's `own`."""

    def chosen(keys: Any, *tensors: Tensor, **options: Any) -> Tensor:
        dtype = tensors[-1].dtype
        if (
            dtype in HANDLED
            and tensors[0].dtype is dtype
            and tensors[len(tensors) // 2].dtype is dtype
        ):
            return kernel(*tensors, **options)
        return own.call_boxed(keys, *tensors, **options)

    return chosen


def _mm(a: Tensor, b: Tensor) -> Tensor:
    return product(a.detach(), b.detach())


def _mm_out(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    product(a.detach(), b.detach(), out.resize_(*a.shape[:-1], b.shape[-1]).detach())
    return out


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta bias + alpha a b; with beta = 0 whatever bias holds is left out, NaN too."""
    found = product(a.detach(), b.detach())
    if alpha != 1:
        found *= alpha
    if beta == 1:
        found += bias
    elif beta != 0:
        found += beta * bias
    return found


def _addmm_out(bias: Tensor, a: Tensor, b: Tensor, *, out: Tensor, **scales: float) -> Tensor:
    return out.resize_(*a.shape[:-1], b.shape[-1]).copy_(_addmm(bias, a, b, **scales))


def _addmm_(bias: Tensor, a: Tensor, b: Tensor, **scales: float) -> Tensor:
    return bias.copy_(_addmm(bias, a, b, **scales))


def _apply(function: np.ufunc, x: Tensor, out: Tensor) -> Tensor:
    with np.errstate(all="ignore"):  # a NaN of a negative number, without a word, as torch gives it
        function(x.detach().numpy(), out=out.detach().numpy())
    return out
