"""Samples without a label, and mixed ones, which have two: which terms of a batch know them.

A label of `amid.losses.UNLABELLED` means that the class is not known. Cross-entropy leaves such a
sample out; of its pairs only the one with itself is known to be of one class, and none to be of
two. A sample that another was mixed into has a label of both, by their shares, for cross-entropy.
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


def partner_excess(logits: Tensor, labels: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """Mean over the samples with a label of s (cross-entropy to the partner's label minus that to
    the own one), in nats; 0 where there is none.

    (B, C), (B,) and (B,) class indices or UNLABELLED, the same rows in both, (B,) shares s ->
    scalar. Beside the cross-entropy it makes (1 - s) CE to the own label + s CE to the partner's,
    which is the cross-entropy to mixed labels (Zhang et al., "mixup", ICLR 2018). The softmax of
    both is the same, so that the difference of two logits is left.
    """
    own, other = (
        -functional.nll_loss(logits, of, ignore_index=UNLABELLED, reduction="none")
        for of in (labels, partners)
    )  # (B,) each: the logit of that class
    return (shares * (own - other)).sum() / (labels != UNLABELLED).sum().clamp(min=1)


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
