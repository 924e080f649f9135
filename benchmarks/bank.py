"""CRD's scores: products with rows of the bank against gathering B x K x d of them first.

Forward and backward of the estimator, batch 64, K 16,384 negatives a sample of other classes, d
128, one thread. The published code draws its negatives for every sample and gathers their rows;
here one set of candidates serves the batch (amid.networks.memory.Negatives).
"""

from __future__ import annotations

from benchmarks.side_by_side import arguments, ratio, show, timed  # isort: skip  pins kernels first

import numpy as np
import torch

from amid.losses.crd import drawn_contrastive, noise_contrastive_logits
from amid.networks.memory import MemoryBank, Negatives

TEMPERATURE = 0.07


def main() -> None:
    given = arguments(__doc__, repeats=5, batch=64, dim=128, negatives=16384, samples=50_000)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    bank = MemoryBank(given.samples, given.dim, 0.5, seed=0)
    labels = torch.randint(51, (given.samples,))
    drawn = Negatives(labels, given.negatives)
    rows = torch.randint(given.samples, (given.batch,))
    anchors = torch.nn.functional.normalize(torch.randn(given.batch, given.dim), dim=1)
    anchors.requires_grad_()
    each = torch.randint(given.samples, (given.batch, given.negatives))  # (B, K)

    def product() -> None:
        own = (anchors * bank.at(rows)).sum(1) / TEMPERATURE  # (B,)
        negatives = drawn.draw(labels[rows])
        drawn_contrastive(anchors, own, bank.rows, negatives, TEMPERATURE).backward()

    def gathered() -> None:
        own = (anchors * bank.at(rows)).sum(1) / TEMPERATURE  # (B,)
        theirs = bank.rows.index_select(0, each.flatten()).view(*each.shape, -1)  # (B, K, d)
        others = torch.bmm(theirs, anchors[:, :, None]).squeeze(2) / TEMPERATURE  # (B, K)
        weights = torch.ones_like(others)
        noise_contrastive_logits(own, others, given.samples, weights).backward()

    times = timed({"product": product, "gathered": gathered}, given.repeats, warm=1)
    show(
        [
            {
                "B": given.batch,
                "K": given.negatives,
                "product, ms": 1000 * float(np.median(times["product"])),
                "gather first, ms": 1000 * float(np.median(times["gathered"])),
                "gather / product": ratio(times["gathered"], times["product"]),
            }
        ],
        given.json,
    )


if __name__ == "__main__":
    main()
