"""The batches of an epoch of training.

A method none of whose terms can use training samples without a label is trained on the others
alone, by as many steps as the others make: what is left out makes no run shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from amid.methods import METHODS

if TYPE_CHECKING:
    from amid.core.types import Batch, RunSpec


def used_samples(train: Batch, spec: RunSpec) -> tuple[Batch, Callable[[], list[Tensor]]]:
    """The samples of `train` that the run is trained on, and what draws the batches of an epoch:
    positions among them."""
    size = spec.training["batch_size"]
    used = train
    ranked = (spec.selection or {}).get("name") == "small_loss"  # by losses that need a label
    if ranked or not import_module(METHODS[spec.method]).Options.uses_unlabelled:
        used = train.labelled()
    if len(used) == len(train):
        return train, partial(training_batches, len(train), size)
    count = batch_count(len(train), size)
    return used, partial(repeated_batches, len(used), size, count)


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


def batch_count(samples: int, size: int) -> int:
    """Number of batches that `training_batches` returns."""
    count = -(-samples // size)
    return count - (size > 1 and count > 1 and samples % size == 1)


def repeated_batches(samples: int, size: int, count: int) -> list[Tensor]:
    """`count` batches of `size` rows at most: all of `samples` rows in random order, cut into equal
    parts, as often as needed. Without a repetition within a batch."""
    parts = -(-samples // size)
    batches: list[Tensor] = []
    while len(batches) < count:
        batches += torch.randperm(samples).tensor_split(parts)
    return batches[:count]
