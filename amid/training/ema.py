"""Exponential moving average of a run's weights (Polyak and Juditsky, 1992; Tarvainen, 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from amid.training.run_state import add_prefixes

if TYPE_CHECKING:
    from amid.methods.base import Method
    from amid.networks.crossmodal import CrossModal


class WeightAverage:
    """Averages of tensors that training changes in place.

    After step n (from 1) every floating-point tensor's average is d average + (1 - d) tensor, with
    d = min(1 - 1 / window, n / (n + 9)): early averages forget the random start. Other tensors,
    such as the number of batches that a normalisation saw, are copied.

    Args:
        tensors: the tensors by name, parameters and buffers. Without any, nothing is done.
        window: number of steps that the average looks back, at least 1.
    """

    def __init__(self, tensors: Mapping[str, Tensor], window: float) -> None:
        self._tensors = {name: value.detach() for name, value in tensors.items()}
        self._window = max(window, 1.0)
        self._averages = {name: value.clone() for name, value in self._tensors.items()}
        floats = [n for n, value in self._tensors.items() if value.is_floating_point()]
        self._floats = [self._averages[n] for n in floats], [self._tensors[n] for n in floats]
        self._others = [name for name in self._tensors if name not in set(floats)]

    def update(self, step: int) -> None:
        """Called after every step of the optimiser with its number, from 1."""
        if not self._tensors:
            return
        decay = min(1 - 1 / self._window, step / (step + 9))
        averages, tensors = self._floats
        torch._foreach_mul_(averages, decay)
        torch._foreach_add_(averages, tensors, alpha=1 - decay)
        for name in self._others:
            self._averages[name].copy_(self._tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the averages in the tensors' place; afterwards they have their own values again."""
        own = {name: value.clone() for name, value in self._tensors.items()}
        self._write(self._averages)
        try:
            yield
        finally:
            self._write(own)

    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self._tensors.items():
            tensor.copy_(values[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averages, by name."""
        return dict(self._averages)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restores what `state_dict` returned; a tensor that it does not name keeps its average."""
        for name, value in state.items():
            self._averages[name].copy_(value)


def average_of(
    training: dict[str, Any], networks: CrossModal, method: Method, samples: int
) -> WeightAverage:
    """The average over `ema` epochs of `samples` training samples, of what is evaluated: networks
    with their running statistics, and the method's parameters but the adversary's. Without `ema` in
    `training` it averages nothing."""
    if "ema" not in training:
        return WeightAverage({}, 1)
    adversary = set(map(id, method.adversary_parameters()))
    own = {n: p for n, p in method.named_parameters() if id(p) not in adversary}
    batches = -(-samples // training["batch_size"])
    tensors = add_prefixes({"networks": networks.state_dict(), "method": own})
    return WeightAverage(tensors, training["ema"] * batches)
