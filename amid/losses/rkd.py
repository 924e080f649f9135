"""RKD (Park et al., CVPR 2019): distances and angles between the samples of a batch.

Source: lenscloth/RKD, and HobbitLong/RepDistiller. Widths of both sides may differ. As there, means
run over all pairs and triples, the degenerate ones included, so that a loss's size depends on B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from amid.losses.cosine import unit_rows

# Least squared distance in the released code: equal rows are 1e-6 apart and have no gradient.
EPSILON = 1e-12


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the distances of all pairs, each side's divided by its mean.

    (B, D), (B, D') -> scalar; 0 for fewer than three samples. Gradients flow to the student alone.
    """
    if len(student) < 2:
        return student.new_zeros(())
    return smooth_l1_loss(_distances(student), _distances(teacher.detach()))


def angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the cosines of the angles of all triples.

    (B, D), (B, D') -> scalar. The angle jik of sample i is that between the directions to j and k;
    towards an equal row the cosine is 0, and so is its gradient, which is 1e10 times a difference
    in the released code. Gradients flow to the student alone.
    """
    return smooth_l1_loss(_cosines(student), _cosines(teacher.detach()))


def _distances(rows: Tensor) -> Tensor:
    """(B, D) -> (B, B), 0 on the diagonal, with mean 1 elsewhere."""
    count = len(rows)
    itself = torch.eye(count, dtype=torch.bool, device=rows.device)  # (B, B)
    if rows.dtype == torch.float64:
        squared = _differences(rows).square().sum(dim=2)  # (B, B)
    else:
        products, unresolved = _products(rows)
        squared = _squared(products).masked_fill(unresolved, 0.0).to(rows.dtype)
    found = squared.clamp(min=EPSILON).sqrt().masked_fill(itself, 0.0)
    return found * (count * (count - 1) / found.sum())


def _cosines(rows: Tensor) -> Tensor:
    """cos of the angle jik at [i, j, k]: (B, D) -> (B, B, B)."""
    if rows.dtype == torch.float64:
        directions = unit_rows(_differences(rows))  # (B, B, D)
        return directions @ directions.mT
    products, unresolved = _products(rows)  # (B, B)
    lengths = _squared(products).masked_fill(unresolved, math.inf).sqrt()  # (B, B)
    # <x_j - x_i, x_k - x_i> = x_j x_k - (x_i x_j - x_i x_i / 2) - (x_i x_k - x_i x_i / 2)
    apart = products - products.diagonal()[:, None] / 2  # (B, B)
    dots = products - apart[:, :, None] - apart[:, None, :]  # (B, B, B)
    return (dots / lengths[:, :, None] / lengths[:, None, :]).to(rows.dtype)


# Differences of all pairs are B^2 rows, and their products for the angles more work than AMID's
# whole step at D = 512. Products of rows have the same in them, but lose half of the digits: of
# float32 that leaves enough in float64, of float64 itself it would not.


def _differences(rows: Tensor) -> Tensor:
    """x_j - x_i at [i, j]: (B, D) -> (B, B, D)."""
    return rows - rows[:, None]


def _products(rows: Tensor) -> tuple[Tensor, Tensor]:
    """<x_i, x_j> (B, B) in float64 from the middle of the batch, and which pairs (B, B) rounding
    does not tell apart, equal rows among them."""
    wide = rows.double()  # (B, D)
    centred = wide - wide.mean(dim=0)
    products = centred @ centred.T
    own = products.detach().diagonal()
    error = rows.shape[1] * torch.finfo(products.dtype).eps * (own + own[:, None])
    return products, _squared(products.detach()) <= error


def _squared(products: Tensor) -> Tensor:
    """|x_i - x_j|^2: (B, B) -> (B, B)."""
    own = products.diagonal()
    return own + own[:, None] - 2 * products
