"""What a distillation method is to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from amid.types import Representations


class Method(nn.Module, ABC):
    """Named, already weighted loss terms on one batch.

    heads: which of "student" and "teacher" the run trains and reports; the last validation choice
    is made on the first of them. A method's parameters (discriminators) are its own: the engine
    steps them on `adversary_losses` with the optimiser that `adversary_optimiser` names.
    """

    heads: tuple[str, ...] = ("student", "teacher")

    @abstractmethod
    def losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """Terms whose sum the networks minimise; the names are the names of the metrics."""

    def adversary_losses(self, reps: Representations, labels: Tensor) -> dict[str, Tensor]:
        """Terms that the method's own parameters minimise on detached representations; {} when
        there is nothing to train."""
        return {}

    def adversary_optimiser(self) -> dict[str, float]:
        """learning_rate and momentum of the SGD on the method's own parameters."""
        return {"learning_rate": 0.0, "momentum": 0.0}

    def begin_epoch(self, epoch: int) -> None:
        """Called before epoch number `epoch` (from 0)."""

    def end_epoch(self) -> dict[str, float]:
        """Closes the epoch and returns what is to be logged of it (finite numbers only)."""
        return {}

    def schedule_state(self) -> dict:
        """What the method keeps from epoch to epoch beside its parameters, JSON-able."""
        return {}

    def load_schedule_state(self, state: dict) -> None:
        """Takes back what `schedule_state` gave."""
