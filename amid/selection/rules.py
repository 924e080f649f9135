"""Which samples of a batch go forward and backward: DISSect, and what it has to beat.

The whole batch is scored first without gradients; training then sees the chosen samples alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from amid.selection import dissect

if TYPE_CHECKING:
    from amid.core.types import Batch, Representations
    from amid.methods.base import Method
    from amid.networks.crossmodal import CrossModal


class Selector(nn.Module):
    """Keeps a share of each batch by one of three rules.

    dissect: samples whose two representations have become less alike than they were, against the
    batch (`amid.selection.dissect`); random samples until there is something to compare with.
    random: any samples. small_loss: those with the smallest cross-entropy, summed over the heads.

    history: (N,) similarity of every training sample as of an earlier epoch.
    """

    history: Tensor

    def __init__(self, options: dict[str, Any], samples: int) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("history", torch.zeros(samples))
        self.epoch = 0

    def begin_epoch(self, epoch: int) -> None:
        """Called before epoch number `epoch` (from 0)."""
        self.epoch = epoch

    @property
    def scores(self) -> bool:
        """Whether the rule looks at a batch's samples before it chooses."""
        return self.options["name"] != "random"

    def choose(self, method: Method, networks: CrossModal, batch: Batch) -> Tensor:
        """Positions in the batch (K,) int64, ascending, of the samples to train on."""
        ratio = self.options["ratio"]
        if not self.scores:
            return _random(len(batch), ratio)
        reps = _score(method, networks, batch)
        if self.options["name"] == "small_loss":
            order = _losses(method, reps, batch.labels).argsort(stable=True)
            return order[: _kept(len(batch), ratio)].sort().values
        with torch.no_grad():
            pair = method.similarity_pair(reps, self.options["between"])
        return self._dissect(dissect.similarity(*pair), batch.samples, ratio)

    def _dissect(self, current: Tensor, samples: Tensor, ratio: float) -> Tensor:
        past = self.history[samples]  # (B,)
        if self.options["version"] == "momentum":
            kept, self.history[samples] = dissect.keep_momentum(
                current, past, ratio, self.options["momentum"], self.epoch == 0
            )
            return _random(len(current), ratio) if self.epoch == 0 else kept
        if self.epoch < self.options["warmup_epochs"]:
            self.history[samples] = current
            return _random(len(current), ratio)
        return dissect.keep(current, past, ratio)


def _kept(count: int, ratio: float) -> int:
    return max(1, int(count * ratio))


def _random(count: int, ratio: float) -> Tensor:
    return torch.randperm(count)[: _kept(count, ratio)].sort().values


@torch.no_grad()
def _score(method: Method, networks: CrossModal, batch: Batch) -> Representations:
    for module in (networks, method):  # leaves running statistics and dropout's draws alone
        module.eval()
    reps = method(networks, batch)
    for module in (networks, method):
        module.train()
    return reps


def _losses(method: Method, reps: Representations, labels: Tensor) -> Tensor:
    """Each sample's cross-entropy, (B,), summed over the method's heads."""
    return sum(
        functional.cross_entropy(getattr(reps, f"{head}_logits"), labels, reduction="none")
        for head in method.heads
    )
