"""The batches of an epoch of training."""

from __future__ import annotations

import torch
from torch import Tensor


def training_batches(samples: int, size: int) -> list[Tensor]:
    """All of `samples` rows in random order, in batches of `size`; the last may be smaller.

    A last batch of a single row is joined to the batch before, which then has `size` + 1 rows: one
    sample has neither another to be compared with nor, after short sequences, a deviation that
    batch normalisation could use. With batches of one, which were asked for, nothing is joined.
    """
    batches = list(torch.randperm(samples).split(size))
    if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
