"""Which pairs of a batch contrastive pre-training goes forward and backward with.

The rules of DISSect's released code and what it compares with (Zhao et al., "Differential-informed
Sample Selection Accelerates Multimodal Contrastive Learning", ICCV 2025; MediaBrain-SJTU/DISSect),
by its names, and `oracle`. The whole batch is scored without gradients; the loss is of the kept
pairs alone, whose negatives are the kept ones.

| rule | score | keeps |
|---|---|---|
| random | none | any |
| small_loss, big_loss | contrastive loss within the batch, at the current scale | least, most |
| clipscore | 100 cos | largest |
| dissect_warmup | s = max(0, 100 cos), h = s of the last warm-up epoch | largest h - s |
| dissect_momentum | s; h = 0 at first, then s, then 0.9 h + 0.1 s | largest h - s |
| oracle | whether the pair is wrong, which no other rule is told | right pairs first |

While it warms up, `dissect_warmup` keeps random pairs, as many as later.
In its first epoch `dissect_momentum` keeps the *least similar* pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amid.selection.pair_rules import kept_count


class Scores(NamedTuple):
    """What rules look at, of each pair of a batch: contrastive loss and 100 times the cosine, not
    clamped, (B,) each."""

    losses: Tensor
    similarities: Tensor


def keep_largest(scores: Tensor, ratio: float) -> Tensor:
    """Indices (K,) int64, ascending, of the int(B ratio) largest scores (B,), at least one; of
    equal scores the lower index is kept."""
    order = scores.argsort(descending=True, stable=True)
    return order[: kept_count(len(scores), ratio)].sort().values


def keep_smallest(scores: Tensor, ratio: float) -> Tensor:
    """As `keep_largest`, of the smallest scores."""
    order = scores.argsort(stable=True)
    return order[: kept_count(len(scores), ratio)].sort().values


def keep_random(size: int, ratio: float) -> Tensor:
    """int(size ratio) of 0..size - 1, at least one, ascending, drawn from torch's generator."""
    return torch.randperm(size)[: kept_count(size, ratio)].sort().values


class PairSelector(nn.Module):
    """Keeps a share of each batch of pairs by one of `amid.selection.pair_rules.RULES`.

    Args:
        options: name, ratio, and the rule's `NUMBERS`.
        samples: number N of training pairs.
        wrong: (N,) bool, which pairs are wrong; for the rule `oracle` alone.

    Attributes:
        history: (N,) float32 similarity h of every pair, all that grows with the data: 4 bytes a
            pair; empty for rules that remember nothing.
    """

    history: Tensor

    def __init__(self, options: dict[str, Any], samples: int, wrong: Tensor | None = None) -> None:
        super().__init__()
        self.name: str = options["name"]
        if (self.name == "oracle") != (wrong is not None):
            raise ValueError("which pairs are wrong is for the rule 'oracle' alone")
        self.options, self.wrong, self.epoch = options, wrong, 0
        remembers = self.name.startswith("dissect")
        self.register_buffer("history", torch.zeros(samples if remembers else 0))

    def begin_epoch(self, epoch: int) -> None:
        """Called before epoch number `epoch` (from 0)."""
        self.epoch = epoch

    @property
    def scores(self) -> bool:
        """Whether the rule looks at a batch in this epoch. Of the warm-up only the last epoch's
        similarity is ever used, so that the ones before need not be computed."""
        if self.name == "dissect_warmup":
            return self.epoch >= self.options["warmup_epochs"] - 1
        return self.name not in ("random", "oracle")

    @torch.no_grad()
    def choose(self, samples: Tensor, score: Callable[[], Scores]) -> Tensor:
        """Positions in the batch (K,) int64, ascending, of the pairs to train on.

        samples: (B,) int64 numbers of the pairs in the training split. score: called, without
            gradients, in epochs in which the rule looks at the batch.
        """
        ratio, found = self.options["ratio"], score() if self.scores else None
        if self.name == "oracle":
            return keep_smallest(self.wrong[samples].to(torch.uint8), ratio)
        if found is None:
            return keep_random(len(samples), ratio)
        if self.name == "small_loss":
            return keep_smallest(found.losses, ratio)
        if self.name == "big_loss":
            return keep_largest(found.losses, ratio)
        if self.name == "clipscore":
            return keep_largest(found.similarities, ratio)
        return self._dissect(samples, found.similarities.clamp(min=0), ratio)

    def _dissect(self, samples: Tensor, current: Tensor, ratio: float) -> Tensor:
        past = self.history[samples]  # (B,)
        if self.name == "dissect_warmup":
            if self.epoch < self.options["warmup_epochs"]:
                self.history[samples] = current
                return keep_random(len(samples), ratio)
            return keep_largest(past - current, ratio)  # the means over the batch change no order
        momentum = self.options["momentum"] if self.epoch else 0.0
        self.history[samples] = momentum * past + (1 - momentum) * current
        return keep_largest(past - current, ratio)
