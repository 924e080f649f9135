"""Batches the contrastive losses are tried on."""

from __future__ import annotations

import torch
from torch import Tensor

from amid.losses.crd import Drawn

Batch = tuple[Tensor, Tensor, Tensor]


def drawn_of(
    labels: Tensor, theirs: Tensor, times: list[int], count: int, candidates: Tensor | None = None
) -> Drawn:
    """Negatives of anchors of classes `labels` (B,) out of candidates of classes `theirs` (K',),
    drawn as often as `times` says, which ascend."""
    sizes = [times.count(n) for n in range(1, max(times) + 1)]
    others = ((labels[:, None] != theirs) * torch.tensor(times)).sum(dim=1)
    return Drawn(candidates, sizes, (labels, theirs), others, count)


def random_batch(
    seed: int, size: int = 7, dim: int = 4, classes: int = 3, dtype: torch.dtype = torch.float64
) -> Batch:
    """Two sets of rows that ask for gradients (B, D), (B, D), and labels (B,)."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(size, dim, generator=generator, dtype=torch.float64).to(dtype)
    b = torch.randn(size, dim, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(classes, (size,), generator=generator)
    return a.requires_grad_(), b.requires_grad_(), labels


def _edge_cases() -> dict[str, tuple[Tensor, Tensor, list[int]]]:
    a, b = (rows.detach() for rows in random_batch(5, 5)[:2])
    basis = torch.eye(5, 4, dtype=torch.float64)
    gap = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)[:, None]
    return {
        "one class": (a, b, [3, 3, 3, 3, 3]),
        "no same-class pair": (a, b, [4, 1, 0, 2, 9]),
        "batch of one": (a[:1], b[:1], [2]),
        "batch of two, one class": (a[:2], b[:2], [2, 2]),
        "batch of two, two classes": (a[:2], b[:2], [0, 1]),
        "one zero row each": (a * gap, b * gap.roll(1, 0), [0, 1, 0, 1, 2]),
        "zero rows only": (a * 0, b * 0, [0, 1, 0, 1, 2]),
        "batch of one zero row": (a[:1] * 0, b[:1] * 0, [0]),
        "identical sets": (a, a, [0, 1, 0, 1, 2]),
        "all rows equal": (a[:1].expand(5, 4), a[:1].expand(5, 4), [0, 1, 0, 1, 2]),
        "opposite sets": (a, -a, [0, 1, 0, 1, 2]),
        "saturated negatives": (basis, basis.roll(1, 0), [0, 1, 2, 3, 4]),
        "tied saturated negatives": (basis[:3], basis[[1, 1, 1]], [0, 1, 2]),
        "large rows": (a * 1e6, b * 1e6, [0, 1, 0, 1, 2]),
        "small rows": (a * 1e-6, b * 1e-6, [0, 1, 0, 1, 2]),
    }


EDGE_CASES = _edge_cases()


def edge_case(name: str, dtype: torch.dtype) -> Batch:
    a, b, labels = EDGE_CASES[name]
    a, b = a.to(dtype, copy=True), b.to(dtype, copy=True)
    return a.requires_grad_(), b.requires_grad_(), torch.tensor(labels)
