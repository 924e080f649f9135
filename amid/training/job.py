"""The record that describes one training job, from the scheduler down to the training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amid.core.types import RunSpec

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"


@dataclass(frozen=True)
class TrainingJob:
    """One run to train: what is trained, the files it reads and writes, and who is told about it.

    Args:
        spec: specification of the run.
        data: folder of the data set, with `features/` and `embeddings/`.
        folder: folder of the run. The checkpoint and the model are written to it; if it holds a
            checkpoint already, training resumes from it.
        parent: last checkpoint of the warm-up that the run starts from, if it has one.
        teacher: model file of the fixed teacher that the run distils, if it distils one.
        checkpoint_every: epochs between two checkpoints.
        checkpoint_minutes: minutes after which a checkpoint is written in the middle of an epoch.
        stop: called after every batch. When it returns True, the state is saved and `Stopped` is
            raised.
        on_start: called once with the number of epochs already trained and their metrics.
        on_epoch: called after every epoch with its index (from 0) and its metrics.
    """

    spec: RunSpec
    data: Path
    folder: Path
    parent: Path | None = None
    teacher: Path | None = None
    checkpoint_every: int = 1
    checkpoint_minutes: float = math.inf
    stop: Callable[[], bool] = lambda: False
    on_start: Callable[[int, list[dict[str, float]]], None] = lambda done, history: None
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None
