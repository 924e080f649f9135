"""The contrastive term of Eq. 8 as one (B, B) product against its explicit B x B x D form.

Both sides run interleaved in one process on one thread, forward and backward; prints medians and
quartiles of their times and of the ratio.
"""

from __future__ import annotations

import amid.reproducible  # isort: skip  # noqa: F401  pins kernels before torch loads

import argparse
import time

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


def seconds(loss, anchors: Tensor, candidates: Tensor, labels: Tensor) -> float:
    start = time.perf_counter()
    loss(anchors, candidates, labels, 0.1).backward()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--dim", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| B | one product, ms | explicit, ms | ratio (quartiles) |\n|---:|---:|---:|---:|")
    for batch in (16, 32, 64, 128):
        torch.manual_seed(0)
        anchors, candidates = (
            torch.randn(batch, arguments.dim, requires_grad=True) for _ in range(2)
        )
        labels = torch.randint(0, 51, (batch,))
        sides = (class_aware_nce, explicit)
        for side in sides:  # warm caches
            seconds(side, anchors, candidates, labels)
        times = np.array(
            [
                [seconds(side, anchors, candidates, labels) for side in sides]
                for _ in range(arguments.repeats)
            ]
        )  # (repeats, 2)
        low, middle, high = np.percentile(times[:, 1] / times[:, 0], (25, 50, 75))
        fast, slow = 1000 * np.median(times, axis=0)
        print(f"| {batch} | {fast:.2f} | {slow:.2f} | {middle:.0f} ({low:.0f}-{high:.0f}) |")


if __name__ == "__main__":
    main()
