"""Samples without a label: which terms of a batch know them.

A label of `amid.losses.UNLABELLED` means that the class is not known. Cross-entropy leaves such a
sample out; of its pairs only the one with itself is known to be of one class, and none to be of
two.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from amid.losses import UNLABELLED


def labelled_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the samples with a label, in nats; 0 where there is none.

    (B, C), (B,) int64 class indices or UNLABELLED -> scalar.
    """
    total = functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp(min=1)


def labelled_rows(labels: Tensor) -> Tensor | None:
    """Positions (L,) int64 of the samples with a label; None where all of (B,) have one. On a GPU
    this waits for the labels."""
    known = labels != UNLABELLED
    return None if bool(known.all()) else known.nonzero().squeeze(1)


def known_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) -> (B, B) bool, twice: pairs known to be of one class, a sample's with itself among
    them, and those that are not known to be of two classes. The first lie in the second."""
    same = labels[:, None] == labels
    unknown = labels == UNLABELLED
    either = unknown[:, None] | unknown
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return (same & ~either) | itself, same | either
