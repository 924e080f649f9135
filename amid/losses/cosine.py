"""Cosine similarity between two sets of rows, the measure of all contrastive terms."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _norms(rows: Tensor) -> Tensor:
    """Euclidean norms, infinite for zero rows: (..., N, D) -> (..., N).

    Dividing by infinity makes both the cosine and the gradient of a zero row 0. A row whose squares
    leave the range of its type (norm below 1e-19 in float32) counts as zero.
    """
    norms = torch.linalg.vector_norm(rows, dim=-1)  # (..., N)
    return norms.masked_fill(norms < math.sqrt(torch.finfo(rows.dtype).tiny), math.inf)


def inverse_norms(rows: Tensor) -> Tensor:
    """1 / ||row||, 0 for zero rows: (..., N, D) -> (..., N)."""
    return _norms(rows).reciprocal()


def cosine_matrix(a: Tensor, b: Tensor) -> Tensor:
    """cos(a_i, b_j) for all pairs of rows: (N, D), (M, D) -> (N, M), differentiable in both.

    A zero row has cosine 0 with everything, itself included, and gradient 0.
    """
    # Scaling the (N, M) products instead of the rows keeps both passes free of (N, D) temporaries:
    # twice as fast as normalising a and b first (64 x 512, one thread). One norm at a time, because
    # the product of two could leave the range.
    return a @ b.T / _norms(a)[:, None] / _norms(b)


def unit_rows(rows: Tensor) -> Tensor:
    """Rows scaled to length 1, zero rows left at zero: (..., N, D) -> (..., N, D)."""
    return rows / _norms(rows)[..., None]
