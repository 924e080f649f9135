"""The contrastive term of Eq. 8 as one (B, B) product against its explicit B x B x D form.

Forward and backward, one thread.
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

from functools import partial

import numpy as np
import torch
from torch import Tensor

from amid.losses.mutual_information import class_aware_nce


def explicit(anchors: Tensor, candidates: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Eq. 8 with every pair's rows side by side: (B, B, D) tensors, no shared matrix product."""
    count, dim = anchors.shape
    a = anchors[:, None].expand(count, count, dim)  # (B, B, D)
    b = candidates[None].expand(count, count, dim)  # (B, B, D)
    scores = torch.cosine_similarity(a, b, dim=2) / temperature  # (B, B)
    log_h = scores.log_softmax(1)  # (B, B)
    same = labels[:, None] == labels  # (B, B)
    return -torch.where(same, log_h, torch.log1p(-log_h.exp())).sum() / count


def step(loss, anchors: Tensor, candidates: Tensor, labels: Tensor) -> None:
    loss(anchors, candidates, labels, 0.1).backward()


def main() -> None:
    given = arguments(__doc__, repeats=15, dim=512)
    torch.set_num_threads(1)
    rows = []
    for batch in (16, 64, 256):
        torch.manual_seed(0)
        anchors, candidates = (torch.randn(batch, given.dim, requires_grad=True) for _ in range(2))
        labels = torch.randint(0, 51, (batch,))
        sides = {
            name: partial(step, loss, anchors, candidates, labels)
            for name, loss in (("product", class_aware_nce), ("explicit", explicit))
        }
        times = timed(sides, given.repeats)
        rows.append(
            {
                "B": batch,
                "one product, ms": 1000 * float(np.median(times["product"])),
                "explicit, ms": 1000 * float(np.median(times["explicit"])),
                "explicit / product": ratio(times["explicit"], times["product"]),
            }
        )
    show(rows, given.json)


if __name__ == "__main__":
    main()
