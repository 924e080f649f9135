"""The state of a run: how far it is, and the states of its networks and optimisers by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a run writes a checkpoint.

    Args:
        path: file of the checkpoint.
        epochs: epochs between two checkpoints. One is also written after the last epoch.
        minutes: minutes after which one is written in the middle of an epoch.
        stop: called after every batch. When it returns True, a checkpoint is written and the run
            stops.
    """

    path: Path
    epochs: int
    minutes: float = math.inf
    stop: Callable[[], bool] = lambda: False


@dataclass
class RunState:
    """Where a run is: `epoch` epochs and `position` batches of the next one are done.

    Attributes:
        sums: sum of every loss term over the batches of the unfinished epoch.
        random: states of the random generators after them.
        history: metrics of every finished epoch.
        best_epoch: index of the best epoch on validation, -1 before the first.
        best: weights of the networks and the method at that epoch.
        steps: counts as in `RunRecord.steps`.
    """

    epoch: int = 0
    position: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    random: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("steps", "samples", "scored"), 0)
    )

    TENSORS = ("sums", "random", "best")
    NUMBERS = ("epoch", "position", "history", "best_epoch", "steps")

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the state, named `sums.<term>`, `random.<generator>`, `best.<weight>`."""
        return add_prefixes({name: getattr(self, name) for name in self.TENSORS})

    def numbers(self) -> dict[str, Any]:
        """The rest of the state, which can be written as JSON."""
        return {name: getattr(self, name) for name in self.NUMBERS}

    @classmethod
    def restore(
        cls, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], device: torch.device
    ) -> Self:
        """The state that returned `tensors` and `numbers`; they may hold more entries."""
        state = cls(**{name: numbers[name] for name in cls.NUMBERS})
        for name in cls.TENSORS:
            setattr(state, name, strip_prefix(name, tensors))
        state.sums = {name: value.to(device) for name, value in state.sums.items()}
        return state


class Stateful(Protocol):
    """An object whose state is a dict of tensors, such as a module."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """The state, by name."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> Any:
        """Restores what `state_dict` returned."""


class StateRegistry:
    """Objects that are saved and restored together, each under its own name.

    The tensor `key` of the object `name` is called `<name>.<key>`. An object that the saved state
    has no tensor of keeps its state: a warm-up, for example, has no discriminators.
    """

    def __init__(self, **objects: Stateful) -> None:
        self._objects = objects

    def register(self, name: str, stateful: Stateful) -> None:
        """Adds an object. Its name must be new."""
        if name in self._objects:
            raise ValueError(f"'{name}' is registered already")
        self._objects[name] = stateful

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors of all objects."""
        return add_prefixes({name: one.state_dict() for name, one in self._objects.items()})

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores the objects; tensors of other names are ignored."""
        for name, one in self._objects.items():
            if state := strip_prefix(name, tensors):
                one.load_state_dict(state)


class OptimizerState:
    """The state of an optimiser as tensors named `<parameter's number>.<entry>`.

    Learning rates and other numbers are not part of it: the optimiser is built with them.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def state_dict(self) -> dict[str, Tensor]:
        states = self.optimizer.state_dict()["state"]
        found = add_prefixes({str(number): entries for number, entries in states.items()})
        return {name: value for name, value in found.items() if value is not None}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            number, entry = name.split(".", 1)
            states.setdefault(int(number), {})[entry] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """States of the random generators that dropout and the methods draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restores what `generator_states` returned."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def add_prefixes(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"a": {"x": 1}} -> {"a.x": 1}."""
    return {
        f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()
    }


def strip_prefix(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries whose names start with `<prefix>.`, without it: {"a.x": 1} -> {"x": 1}."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): value for name, value in values.items() if name.startswith(start)
    }
