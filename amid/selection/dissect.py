"""The rules of DISSect: keep the samples whose similarity has grown least since a former epoch.

Source: Zhao et al., "Differential-informed Sample Selection Accelerates Multimodal Contrastive
Learning", ICCV 2025; MediaBrain-SJTU/DISSect. Similarities are 100 times cosines, in [0, 100].
"""

from __future__ import annotations

import torch
from torch import Tensor

from amid.losses.cosine import unit_rows


@torch.no_grad()
def similarity(a: Tensor, b: Tensor) -> Tensor:
    """s_i = max(0, 100 cos(a_i, b_i)): (B, D), (B, D) -> (B,), without gradient."""
    return (100 * (unit_rows(a) * unit_rows(b)).sum(dim=1)).clamp(min=0)


def keep(current_similarity: Tensor, historical_similarity: Tensor, ratio: float) -> Tensor:
    """The int(B ratio) samples, at least one, of largest d_i = (h_i - mean h) - (s_i - mean s).

    s, h: (B,), (B,) -> indices (K,) int64, ascending. Of equal d the lower index is kept.
    """
    current = current_similarity - current_similarity.mean()  # (B,)
    historical = historical_similarity - historical_similarity.mean()  # (B,)
    return _largest(historical - current, ratio)


@torch.no_grad()
def keep_momentum(
    current_similarity: Tensor,
    historical_similarity: Tensor,
    ratio: float,
    momentum: float,
    first_epoch: bool,
) -> tuple[Tensor, Tensor]:
    """The int(B ratio) samples, at least one, of largest d_i = h_i - s_i, and the new history.

    s, h: (B,), (B,) -> indices (K,) int64, ascending, and (B,) momentum h + (1 - momentum) s of all
    samples, kept or not; s itself in the first epoch. Of equal d the lower index is kept.
    """
    kept = _largest(historical_similarity - current_similarity, ratio)
    if first_epoch:
        return kept, current_similarity.clone()
    return kept, momentum * historical_similarity + (1 - momentum) * current_similarity


def _largest(values: Tensor, ratio: float) -> Tensor:
    count = max(1, int(len(values) * ratio))
    return values.argsort(descending=True, stable=True)[:count].sort().values
